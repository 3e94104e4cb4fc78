// Known nodes as a file, and whose keys are trusted on which connection.
#include "transport/trust.hpp"

#include "fragment/error.hpp"
#include "tests/support/temporary_directory.hpp"

#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

namespace trunkline::test {
namespace {

NodeId id_of(char letter) { return *NodeId::from_bytes(std::string(16, letter)); }

ShownKey key_of(char letter, std::vector<NodeId> formerly = {}) {
  ShownKey shown;
  shown.id = id_of(letter);
  shown.formerly = std::move(formerly);
  return shown;
}

Meeting dialled(const std::string& address) {
  Meeting meeting;
  meeting.dialled = true;
  meeting.address = address;
  meeting.own = id_of('m');
  return meeting;
}

Meeting accepted() {
  Meeting meeting;
  meeting.address = "tls://10.0.0.7:38291";
  meeting.own = id_of('m');
  return meeting;
}

std::string failure_of(const std::string& text) {
  try {
    KnownNodes::parse(text, "known");
  } catch (const boost::system::system_error& thrown) {
    return thrown.what();
  }
  return "no failure";
}

} // namespace

TEST_CASE("known nodes: a file says ids, names and addresses, and keeps its comments") {
  const std::string text = "# mine\n" + id_of('a').to_string() + " laptop tls://h:1 tls://h:2\n" +
                           id_of('b').to_string() + "\n" + id_of('c').to_string() + " - tls://h:3\n";
  KnownNodes nodes = KnownNodes::parse(text, "known");
  CHECK(nodes.to_text() == text);
  CHECK(nodes.find("laptop")->id == id_of('a'));
  CHECK(nodes.at("tls://h:3").size() == 1);
  CHECK(nodes.at("tls://h:4").empty());
  CHECK_FALSE(nodes.find(std::string_view()));

  nodes.trust(KnownNode{id_of('b'), "desk", {"tls://h:4"}});
  CHECK(nodes.find("desk")->id == id_of('b'));
  CHECK_THROWS_AS(nodes.trust(KnownNode{id_of('c'), "desk", {}}), std::invalid_argument);
  CHECK_THROWS_AS(nodes.trust(KnownNode{id_of('c'), "a name", {}}), std::invalid_argument);
  CHECK_THROWS_AS(nodes.trust(KnownNode{id_of('c'), id_of('d').to_string(), {}}), std::invalid_argument);
  CHECK(nodes.forget(id_of('a')));
  CHECK_FALSE(nodes.forget(id_of('a')));
  CHECK_FALSE(nodes.find("laptop"));
}

TEST_CASE("known nodes: a line that is not understood is named") {
  CHECK(failure_of("nonsense\n").find("\"known\" line 1: expected the 22 characters of a node id") != std::string::npos);
  CHECK(failure_of("\n" + id_of('a').to_string() + " na/me\n").find("line 2: expected a name") != std::string::npos);
  CHECK(failure_of(id_of('a').to_string() + " x\n" + id_of('b').to_string() + " x\n").find("line 2: the name") !=
        std::string::npos);
}

TEST_CASE("known nodes: a file that others may write is not believed") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("known", id_of('a').to_string() + "\n", 0666);
  CHECK_THROWS_AS(KnownNodes::load(path), boost::system::system_error);
  CHECK(KnownNodes::load(directory.write("known", id_of('a').to_string() + "\n", 0644)).nodes().size() == 1);
  CHECK(KnownNodes::load(directory / "none").nodes().empty());
}

TEST_CASE("trust: the pin of an address decides alone") {
  TrustOptions options;
  options.pins = {id_of('a')};
  Trust trust(options);
  Meeting meeting = dialled("tls://h:1");
  meeting.pin = id_of('b');
  CHECK(trust.judge(key_of('b'), meeting).code == error::none);
  const Judgement wrong = trust.judge(key_of('a'), meeting);
  CHECK(wrong.code == error::wrong_key);
  CHECK(wrong.text == "tls://h:1 shows the key " + id_of('a').to_string() + ", expected " + id_of('b').to_string());
  CHECK(trust.judge(key_of('c', {id_of('b')}), meeting).code == error::none); // its successor
}

TEST_CASE("trust: an address that is known has the keys that it is known for") {
  const TemporaryDirectory directory;
  TrustOptions options;
  options.known_nodes_file = directory.write(
      "known", id_of('a').to_string() + " shop tls://h:1\n" + id_of('b').to_string() + "\n" + id_of('c').to_string() + " - tls://h:3\n");
  options.strangers = Strangers::accept;
  Trust trust(options);

  CHECK(trust.judge(key_of('a'), dialled("tls://h:1")).who.name == "shop");
  const Judgement wrong = trust.judge(key_of('b'), dialled("tls://h:1"));
  CHECK(wrong.code == error::wrong_key);
  CHECK(wrong.text.find("expected " + id_of('a').to_string() + " (shop)") != std::string::npos);
  CHECK(trust.judge(key_of('x'), dialled("tls://h:1")).code == error::wrong_key); // strangers or not
  CHECK(trust.judge(key_of('b'), dialled("tls://h:2")).code == error::none);
  CHECK(trust.judge(key_of('c'), accepted()).code == error::none);
}

/// As a handshake does whose far side proves the key.
Judgement prove(Trust& trust, const ShownKey& shown, const Meeting& meeting) {
  Judgement judgement = trust.judge(shown, meeting);
  return judgement.is_new ? trust.remember(std::move(judgement), meeting) : judgement;
}

TEST_CASE("trust: a pin of its own does not stand in for the key that is known at an address") {
  const TemporaryDirectory directory;
  TrustOptions options;
  options.known_nodes_file = directory.write("known", id_of('a').to_string() + " - tls://h:1\n");
  options.pins.push_back(id_of('b'));
  const Trust trust(options);

  CHECK(trust.judge(key_of('b'), dialled("tls://h:1")).code == error::wrong_key);
  CHECK(trust.judge(key_of('b'), dialled("tls://h:2")).code == error::none);
  CHECK(trust.judge(key_of('b'), accepted()).code == error::none);
}

TEST_CASE("trust: a stranger that only shows a key is not remembered") {
  const TemporaryDirectory directory;
  TrustOptions options;
  options.known_nodes_file = directory / "known";
  options.strangers = Strangers::remember;
  Trust trust(options);

  CHECK(trust.judge(key_of('a'), dialled("tls://h:1")).is_new);

  CHECK(trust.known().nodes().empty());
  CHECK(KnownNodes::load(directory / "known").nodes().empty());
}

TEST_CASE("trust: what another process has met at an address meanwhile is known there") {
  const TemporaryDirectory directory;
  TrustOptions options;
  options.known_nodes_file = directory / "known";
  options.strangers = Strangers::remember;
  Trust here(options);
  Trust there(options);
  CHECK(prove(there, key_of('a'), dialled("tls://h:1")).code == error::none);
  const std::string written = directory.read("known");

  const Judgement other = prove(here, key_of('b'), dialled("tls://h:1"));
  CHECK(other.code == error::wrong_key);
  CHECK(other.text.find("expected " + id_of('a').to_string()) != std::string::npos);
  CHECK(directory.read("known") == written);
  CHECK(prove(here, key_of('a'), dialled("tls://h:1")).code == error::none);
}

TEST_CASE("trust: strangers are refused, remembered or accepted, as was asked for") {
  const TemporaryDirectory directory;
  TrustOptions options;
  options.known_nodes_file = directory / "known";
  CHECK(Trust(options).judge(key_of('a'), dialled("tls://h:1")).code == error::unknown_key);
  CHECK(Trust(options).judge(key_of('a'), accepted()).code == error::unknown_key);

  options.strangers = Strangers::accept;
  CHECK(Trust(options).judge(key_of('a'), accepted()).code == error::none);
  CHECK(KnownNodes::load(directory / "known").nodes().empty());

  options.strangers = Strangers::remember;
  Trust remembering(options);
  const Judgement first = prove(remembering, key_of('a'), dialled("tls://h:1"));
  CHECK(first.code == error::none);
  CHECK(first.is_new);
  CHECK_FALSE(prove(remembering, key_of('a'), dialled("tls://h:1")).is_new);
  CHECK(prove(remembering, key_of('b'), dialled("tls://h:1")).code == error::wrong_key);
  CHECK(directory.read("known") == id_of('a').to_string() + " - tls://h:1\n");
}

TEST_CASE("trust: a stranger that cannot be remembered is not trusted") {
  TrustOptions options;
  options.known_nodes_file = "/proc/no/such/place";
  options.strangers = Strangers::remember;
  Trust trust(options);
  const Judgement judgement = prove(trust, key_of('a'), accepted());
  CHECK(judgement.code == error::unknown_key);
  CHECK(judgement.text.find("cannot be remembered") != std::string::npos);
}

TEST_CASE("trust: strangers are remembered up to a limit, which is named; then the file is left alone") {
  const TemporaryDirectory directory;
  const auto id_at = [](std::size_t number) {
    std::string bytes(16, 's');
    bytes[0] = static_cast<char>(number % 251);
    bytes[1] = static_cast<char>(number / 251);
    return *NodeId::from_bytes(bytes);
  };
  constexpr std::size_t most = 4096;
  std::string text;
  for (std::size_t number = 0; number + 1 < most; ++number) text += id_at(number).to_string() + "\n";
  TrustOptions options;
  options.known_nodes_file = directory.write("known", text);
  options.strangers = Strangers::remember;
  Trust trust(options);
  Trust other(options); // of another process, which does not know yet what this one remembers

  CHECK(prove(trust, key_of('a'), accepted()).code == error::none);
  const std::string full = directory.read("known");
  for (Trust* one : {&trust, &other}) {
    const Judgement judgement = prove(*one, key_of('b'), accepted());
    CHECK(judgement.code == error::unknown_key);
    CHECK(judgement.text.find("remembered_nodes_max 4096") != std::string::npos);
  }
  CHECK(directory.read("known") == full);
  CHECK(prove(trust, key_of('a'), accepted()).code == error::none);
  CHECK(Trust(options).known().nodes().size() == most);
}

TEST_CASE("known nodes: a file is not replaced by one that could not be read again") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("known", id_of('a').to_string() + "\n");
  const std::string address(2 << 20, 'x');
  CHECK_THROWS_WITH_AS(
      KnownNodes::change(path, [&](KnownNodes& nodes) { nodes.trust(KnownNode{id_of('b'), {}, {address}}); }),
      doctest::Contains("expected at most 1048576"), boost::system::system_error);
  CHECK(KnownNodes::load(path).nodes().size() == 1);
}

TEST_CASE("known nodes: lines of one node add up, and a name that it has given up is free") {
  const std::string a = id_of('a').to_string();
  const KnownNodes nodes = KnownNodes::parse(
      a + " old tls://h:1\n" + a + " new tls://h:1 tls://h:2\n" + id_of('b').to_string() + " old\n", "known");
  CHECK(nodes.to_text() == a + " new tls://h:1 tls://h:2\n" + id_of('b').to_string() + " old\n");
}

TEST_CASE("trust: a certificate of an authority is for the host that was dialled, and for whoever asks") {
  Trust trust;
  ShownKey certified = key_of('a');
  certified.certified = "shop.example";
  CHECK(prove(trust, certified, accepted()).code == error::none);
  CHECK(prove(trust, certified, dialled("tls://other.example:1")).code == error::unknown_key);
  certified.certified_here = true;
  CHECK(prove(trust, certified, dialled("tls://shop.example:1")).code == error::none);
}

TEST_CASE("trust: this node's own key on the far side is this node itself") {
  TrustOptions options;
  options.strangers = Strangers::accept;
  options.pins = {id_of('m')};
  CHECK(Trust(options).judge(key_of('m'), dialled("tls://h:1")).code == error::dialled_self);
  CHECK(Trust(options).judge(key_of('m'), accepted()).code == error::dialled_self);
}

} // namespace trunkline::test
