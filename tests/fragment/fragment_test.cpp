#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "fragment/fragment.hpp"

namespace {

using namespace trunkline;

std::string keys_of(const Args& args) {
  std::string keys;
  for (const auto& [key, value] : args) {
    if (!keys.empty()) keys += ' ';
    keys.append(key).append("=").append(value);
  }
  return keys;
}

TEST_CASE("args: keys stay in the order in which they were first set") {
  Args args;

  args.set("zebra", "1");
  args.set("ant", "2");
  args.set("zebra", "3");

  CHECK(keys_of(args) == "zebra=3 ant=2");
  CHECK(args.size() == 2);
}

TEST_CASE("args: a key that is not there is not found, one with an empty value is") {
  Args args;

  args.set("present", "");

  REQUIRE(args.find("present"));
  CHECK(args.find("present")->empty());
  CHECK(!args.find("absent"));
  CHECK(!args.find(""));
}

TEST_CASE("args: a value that is replaced by one of another size leaves the others as they were") {
  Args args;
  args.set("first", "1");
  args.set("second", "short");
  args.set("third", "3");

  args.set("second", std::string(1000, 'l'));
  CHECK(args.find("second") == std::string(1000, 'l'));
  args.set("second", "");

  CHECK(keys_of(args) == "first=1 second= third=3");
  CHECK(args.size() == 3);
}

TEST_CASE("args: a user cannot set a key of the system, and the text says which key") {
  Args args;

  CHECK_THROWS_WITH_AS(args.set("#deadline", "1"), doctest::Contains("#deadline"), std::invalid_argument);
  CHECK_THROWS_AS(args.set("", "1"), std::invalid_argument);
  CHECK(args.empty());

  args.set_system("deadline", "1");
  REQUIRE(args.find("#deadline"));
  CHECK(*args.find("#deadline") == "1");
}

TEST_CASE("args: equality regards keys, values and their order") {
  Args one;
  one.set("a", "1");
  one.set("b", "2");
  Args same = one;
  Args turned;
  turned.set("b", "2");
  turned.set("a", "1");

  CHECK(one == same);
  CHECK_FALSE(one == turned);
  same.clear();
  CHECK(same.empty());
  CHECK(same == Args());
}

TEST_CASE("fragment: one with an err is an error fragment, any other is data") {
  CHECK(Fragment(7, "payload").type() == FragmentType::data);
  CHECK(Fragment::error("disk full", 7).type() == FragmentType::error);
  CHECK(Fragment::error("disk full", 7).op == 7);
  CHECK(Fragment::error("", 7).type() == FragmentType::data);
}

TEST_CASE("fragment: before it was received it has no sender, no circuit and no serial") {
  const Fragment fragment(1, "subject", "payload");

  CHECK(fragment.serial() == 0);
  CHECK(fragment.circuit_id() == 0);
  CHECK(fragment.from_peer_id().empty());
  CHECK(fragment.to_peer_id().empty());
  CHECK(fragment.from_service().empty());
  CHECK(fragment.to_service().empty());
}

TEST_CASE("fragment: the stamp of a circuit names the far side as the sender and our side as the receiver") {
  PeerName local;
  local.id = *PeerId::from_bytes("local-peer-local");
  local.service = "store";
  PeerName remote;
  remote.id = *PeerId::from_bytes("remote-peer-remo");
  remote.service = "feed";
  CircuitNames names;
  names.local = std::make_shared<const PeerName>(local);
  names.remote = std::make_shared<const PeerName>(remote);
  names.circuit_id = 42;

  Fragment fragment(1);
  fragment.stamp(std::make_shared<const CircuitNames>(names), 3);

  CHECK(fragment.from_peer_id() == remote.id);
  CHECK(fragment.to_peer_id() == local.id);
  CHECK(fragment.from_service() == "feed");
  CHECK(fragment.to_service() == "store");
  CHECK(fragment.circuit_id() == 42);
  CHECK(fragment.serial() == 3);
}

TEST_CASE("fragment: it is not an aggregate, which g++ 12 would destroy twice inside a co_await") {
  CHECK_FALSE(std::is_aggregate_v<Fragment>);
  CHECK(std::is_nothrow_move_constructible_v<Fragment>);
}

}  // namespace
