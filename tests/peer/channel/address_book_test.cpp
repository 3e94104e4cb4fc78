// The address book: what a file may say, what is learned, and how much of it is kept.
#include "peer/channel/address_book.hpp"

#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

using namespace trunkline;

namespace {

using Addresses = std::vector<std::string>;

NodeId node(char letter) { return *NodeId::from_bytes(std::string(16, letter)); }

std::string refusal(const std::string& text) {
  AddressBook book;
  try {
    book.parse("\n" + text);
  } catch (const std::invalid_argument& refused) {
    CHECK(book.nodes().empty()); // nothing was added
    return refused.what();
  }
  return {};
}

} // namespace

TEST_CASE("address book: a file has a line per node, with comments and empty lines between") {
  AddressBook book;
  book.parse("# our nodes\n" + node('a').to_string() + " tcp://10.0.0.1:7000 \t unix:/run/a.sock\r\n\n" +
             node('b').to_string() + " mem://b # the other\n" + node('a').to_string() + " tcp://10.0.0.9:7000");
  CHECK(book.find(node('a')) == Addresses{"tcp://10.0.0.1:7000", "unix:/run/a.sock", "tcp://10.0.0.9:7000"});
  CHECK(book.find(node('b')) == Addresses{"mem://b"});
  CHECK(book.find(node('c')).empty());
  CHECK(book.nodes().size() == 2);
}

TEST_CASE("address book: a wrong line is refused by its number, and then nothing of the file is taken") {
  const std::string id = node('a').to_string();
  CHECK(refusal("nonsense tcp://x:1").find("line 2: \"nonsense\" is no node id") != std::string::npos);
  CHECK(refusal(id).find("line 2: a node has 1 to 16 addresses, this one 0") != std::string::npos);
  CHECK(refusal(id + " here").find("line 2: \"here\" is no address") != std::string::npos);
  CHECK(refusal(id + " tcp://" + std::string(600, 'x')).find("line 2: address of 606 bytes exceeds") !=
        std::string::npos);
  std::string many = id;
  for (int i = 0; i < 17; ++i) many += " mem://" + std::to_string(i);
  CHECK(refusal(node('b').to_string() + " mem://b\n" + many).find("line 3") != std::string::npos);
  CHECK(refusal(std::string(22, 'A') + " mem://none") != ""); // the id that means none
  CHECK_THROWS_AS(AddressBook().load("/nowhere/at/all"), boost::system::system_error);
}

TEST_CASE("address book: what was added comes before what was learned, and is not forgotten for it") {
  AddressBook book(2);
  book.learn(node('a'), {"mem://learned"});
  book.add(node('a'), "mem://added");
  book.add(node('a'), "mem://added");
  CHECK(book.find(node('a')) == Addresses{"mem://added", "mem://learned"});
  book.learn(node('a'), {"mem://newer", "mem://added"});
  CHECK(book.find(node('a')) == Addresses{"mem://added", "mem://newer"});
  book.learn(node('b'), {"mem://b"});
  book.learn(node('a'), {"mem://newest"});
  book.learn(node('c'), {"mem://c"}); // b was heard of least recently
  CHECK(book.learned_nodes() == 2);
  CHECK(book.find(node('b')).empty());
  book.learn(node('b'), {"mem://b"});
  CHECK(book.find(node('a')) == Addresses{"mem://added"});
  book.remove(node('a'));
  CHECK(book.find(node('a')).empty());
  CHECK(book.nodes().size() == 2);
}

TEST_CASE("address book: what a far node says is taken within limits only") {
  AddressBook book(100);
  for (int i = 0; i < 1000; ++i) {
    const std::string text = std::to_string(i) + std::string(16, 'x');
    std::vector<std::string> claims = {"", "no scheme", "mem://" + std::string(1000, 'y')};
    for (int j = 0; j < 50; ++j) claims.push_back("mem://" + std::to_string(j));
    book.learn(*NodeId::from_bytes(text.substr(0, 16)), claims);
  }
  CHECK(book.learned_nodes() == 100);
  CHECK(book.nodes().size() == 100);
  CHECK(book.find(book.nodes().front()).size() == AddressBook::addresses_per_node_max);
  AddressBook none(0);
  none.learn(node('a'), {"mem://a"});
  CHECK(none.nodes().empty());
}
