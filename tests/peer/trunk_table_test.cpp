// Which names lead to which trunk, and which of two trunks to one node is used: the table alone, without connections.
#include "peer/trunk_table.hpp"
#include "transport/memory.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace trunkline;

namespace {

NodeId node_id(char letter) { return *NodeId::from_bytes(std::string(16, letter)); }

/// A table of node 'm' and trunks as it would see them.
class Bed {
 public:
  using Known = std::shared_ptr<NodeLink>;

  Known dialled(const std::string& address, const std::string& remote_host = {}) {
    auto trunk = std::make_shared<NodeLink>(std::weak_ptr<NodeCore>(), address);
    trunk->set_remote(address, remote_host);
    table.add(trunk);
    return trunk;
  }
  Known accepted(const std::string& remote, const std::string& remote_host = {}) {
    auto trunk = std::make_shared<NodeLink>(std::weak_ptr<NodeCore>(), remote, remote_host);
    table.add(trunk);
    return trunk;
  }
  std::vector<Known> hello(const Known& trunk, char id, std::vector<std::string> addresses = {}) {
    RemoteNode remote;
    remote.id = node_id(id);
    remote.addresses = std::move(addresses);
    return table.identify(trunk, remote, ours);
  }

  Media media = with_default_media({{"mem", std::make_shared<MemoryMedium>()}});
  TrunkTable table{node_id('m'), media};
  std::vector<std::string> ours{"tcp://10.0.0.1:7000", "mem://me"};
};

} // namespace

TEST_CASE("trunk table: a dialled address leads to its trunk from the start, the node id from its hello") {
  Bed bed;
  const auto trunk = bed.dialled("tcp://10.0.0.7:7000", "10.0.0.7");

  CHECK(bed.table.find("tcp://10.0.0.7:7000") == trunk);
  CHECK_FALSE(bed.table.find(node_id('a')));
  bed.hello(trunk, 'a');
  CHECK(bed.table.find(node_id('a')) == trunk);
  CHECK(bed.table.find("node://" + node_id('a').to_string()) == trunk);
  CHECK_FALSE(bed.table.find("node://nonsense"));
}

TEST_CASE("trunk table: an address that the far side claims is believed when its connection comes from there") {
  Bed bed;
  const auto trunk = bed.accepted("tcp://10.0.0.7:38291", "10.0.0.7");

  bed.hello(trunk, 'a',
            {"tcp://10.0.0.7:7000", "tcp://0.0.0.0:7001", "tcp://[::]:7002", "tcp://:7003", "tcp://10.0.0.8:7000",
             "mem://elsewhere", "unix:/run/t.sock", "nonsense", "tcp://["});

  for (const char* address :
       {"tcp://10.0.0.7:7000", "tcp://10.0.0.7:7001", "tcp://10.0.0.7:7002", "tcp://10.0.0.7:7003"})
    CHECK(bed.table.find(address) == trunk);
  for (const char* address :
       {"tcp://10.0.0.8:7000", "tcp://0.0.0.0:7001", "mem://elsewhere", "unix:/run/t.sock", "nonsense", "tcp://["})
    CHECK_FALSE(bed.table.find(address));
}

TEST_CASE("trunk table: an address that no medium of ours can dial is not believed, wherever it claims to be") {
  Bed bed;
  const auto trunk = bed.accepted("tcp://10.0.0.7:38291", "10.0.0.7");

  bed.hello(trunk, 'a', {"a://10.0.0.7:7000", "a://:7001", "a://0.0.0.0:7002", "tcp://:7003"});

  CHECK(trunk->addresses == std::vector<std::string>{"tcp://10.0.0.7:7003"});
  CHECK_FALSE(bed.table.find("a://10.0.0.7:7001"));
}

TEST_CASE("trunk table: nobody is believed to be where we listen, or where somebody else is") {
  Bed bed;
  const auto other = bed.dialled("mem://other");
  bed.hello(other, 'b', {"mem://also other"});
  const auto trunk = bed.accepted("mem://me");

  bed.hello(trunk, 'a', {"mem://me", "mem://other", "mem://also other", "mem://free"});

  CHECK_FALSE(bed.table.find("mem://me"));
  CHECK(bed.table.find("mem://other") == other);
  CHECK(bed.table.find("mem://also other") == other);
  CHECK(bed.table.find("mem://free") == trunk);
}

TEST_CASE("trunk table: of two trunks in opposite directions the one dialled by the smaller id is preferred") {
  for (const char far : {'a', 'z'}) {
    for (const bool ours_first : {true, false}) {
      CAPTURE(far);
      CAPTURE(ours_first);
      Bed bed;
      const auto ours = bed.dialled("mem://far");
      const auto theirs = bed.accepted("mem://me");

      const auto superfluous_first = bed.hello(ours_first ? ours : theirs, far, {"mem://far"});
      const auto superfluous = bed.hello(ours_first ? theirs : ours, far, {"mem://far"});

      const auto winner = 'm' < far ? ours : theirs;
      CHECK(superfluous_first.empty());
      CHECK(bed.table.find("mem://far") == winner);
      CHECK(bed.table.find(node_id(far)) == winner);
      // Only the side that dialled the superfluous one drains it.
      CHECK(superfluous == (winner == ours ? std::vector<Bed::Known>{} : std::vector<Bed::Known>{ours}));
    }
  }
}

TEST_CASE("trunk table: of two that we dialled the first stays, of two that they dialled the last") {
  Bed bed;
  const auto first = bed.dialled("mem://far");
  const auto second = bed.dialled("mem://alias");
  bed.hello(first, 'a');
  const auto superfluous = bed.hello(second, 'a');
  CHECK(superfluous == std::vector<Bed::Known>{second});
  CHECK(bed.table.find("mem://alias") == first);

  const auto old_one = bed.accepted("mem://me");
  const auto new_one = bed.accepted("mem://me");
  bed.hello(old_one, 'b', {"mem://b"});
  const auto none = bed.hello(new_one, 'b', {"mem://b"});
  CHECK(none.empty());
  CHECK(bed.table.find("mem://b") == new_one);
}

TEST_CASE("trunk table: the names of a trunk that drains or is over go to another one to the same node, or are free") {
  for (const bool drains : {true, false}) {
    CAPTURE(drains);
    Bed bed;
    const auto old_one = bed.accepted("mem://me");
    const auto new_one = bed.accepted("mem://me");
    bed.hello(old_one, 'b', {"mem://b"});
    bed.hello(new_one, 'b', {"mem://b"});

    drains ? bed.table.set_draining(new_one) : bed.table.set_over(new_one);
    CHECK(bed.table.find("mem://b") == old_one);
    CHECK(bed.table.find(node_id('b')) == old_one);
    drains ? bed.table.set_draining(old_one) : bed.table.set_over(old_one);
    CHECK_FALSE(bed.table.find("mem://b"));
    CHECK_FALSE(bed.table.find(node_id('b')));
  }
}

TEST_CASE("trunk table: when a dial fails its address goes to a node that came from there meanwhile") {
  Bed bed;
  const auto ours = bed.dialled("mem://b");
  const auto theirs = bed.accepted("mem://me");
  bed.hello(theirs, 'b', {"mem://b"});
  CHECK(bed.table.find("mem://b") == ours);

  bed.table.set_over(ours);

  CHECK(bed.table.find("mem://b") == theirs);
  CHECK(bed.table.size() == 2);
  bed.table.erase(ours);
  CHECK(bed.table.size() == 1);
}
