// What a program does wrong with the handle of a circuit: every such call is an error in words, which names the call and
// the circuit, and nothing crashes, hangs or says yes.
#include "circuit/caller.hpp"
#include "tests/peer/node_pair.hpp"
#include "tests/support/co_test_case.hpp"

#include <string>
#include <utility>

using namespace trunkline;
using namespace trunkline::test;

namespace {

awaitable<std::string> words_of_failure(awaitable<void> operation) {
  std::string words = "nothing was thrown";
  try {
    co_await std::move(operation);
  } catch (const boost::system::system_error& thrown) {
    words = thrown.code() == error::handle_misused ? thrown.what() : "another error: " + std::string(thrown.what());
  }
  co_return words;
}

template <class T> awaitable<void> drop_result(awaitable<T> operation) { co_await std::move(operation); }

template <class Call> awaitable<void> at_once(Call call) {
  call();
  co_return;
}

awaitable<void> expect_misuse(const char* call, awaitable<void> operation) {
  const std::string words = co_await words_of_failure(std::move(operation));
  CHECK_MESSAGE(words.starts_with(std::string(call) + " on "), call, ": ", words);
}

awaitable<void> misuse_empty(Circuit& empty, LocalPeer& peer) {
  co_await expect_misuse("send_one_way", at_once([&] { empty.send_one_way(Fragment(1)); }));
  co_await expect_misuse("send", empty.send(Fragment(1)));
  co_await expect_misuse("receive", drop_result(empty.receive()));
  co_await expect_misuse("receive_error", drop_result(empty.receive_error()));
  co_await expect_misuse("receive_any", drop_result(empty.receive_any()));
  co_await expect_misuse("try_receive", at_once([&] { empty.try_receive(); }));
  co_await expect_misuse("finish", at_once([&] { empty.finish(); }));
  co_await expect_misuse("finish_acknowledged", empty.finish_acknowledged());
  co_await expect_misuse("close", at_once([&] { empty.close(); }));
  co_await expect_misuse("reset", at_once([&] { empty.reset(); }));
  co_await expect_misuse("accepted", empty.accepted());
  co_await expect_misuse("ended", drop_result(empty.ended()));
  co_await expect_misuse("end", at_once([&] { empty.end(); }));
  co_await expect_misuse("new_circuit", at_once([&] { empty.new_circuit(); }));
  co_await expect_misuse("new_circuit", at_once([&] { empty.new_circuit(Fragment(1)); }));
  co_await expect_misuse("local_url", at_once([&] { empty.local_url(); }));
  co_await expect_misuse("remote_url", at_once([&] { empty.remote_url(); }));
  co_await expect_misuse("metadata_changed", empty.metadata_changed());
  co_await expect_misuse("set_listener", at_once([&] { empty.set_listener(nullptr); }));
  co_await expect_misuse("call", drop_result(call(empty, Fragment(1))));
  Caller caller{Circuit()};
  co_await expect_misuse("Caller::call", drop_result(caller.call(Fragment(1))));
  co_await expect_misuse("spawn", at_once([&] { peer.spawn(echo, Circuit()); }));
  CHECK(empty.id() == 0);
  CHECK(empty.name().empty());
  CHECK(empty.user_string().empty());
  CHECK(empty.local_peer().id.empty());
  CHECK(empty.remote_peer().service.empty());
  CHECK_FALSE(empty.opened_here());
  CHECK_FALSE(empty.dialled());
  CHECK_FALSE(empty.is_open());
  CHECK(empty.counters().fragments_sent == 0);
  CHECK(empty.credit_bytes() == 0);
  CHECK_FALSE(empty.congested());
  CHECK(empty.remote_metadata() == nullptr);
  CHECK_FALSE(empty);
}

CO_TEST_CASE("misuse: every call of a handle that is empty or was moved from is an error in words", both_ways,
             NodePair& pair) {
  const auto me = pair.here.new_peer("asker");
  Circuit never;
  co_await misuse_empty(never, *me);

  pair.there.serve("echo", echo);
  Circuit moved = me->join_or_start(pair.there_address, "echo", std::nullopt);
  const Circuit kept = std::move(moved);
  co_await misuse_empty(moved, *me); // NOLINT(bugprone-use-after-move)
  CHECK(kept.is_open());
}

awaitable<void> receive_one(Circuit& circuit, std::string& text) {
  const std::optional<Fragment> fragment = co_await circuit.receive();
  text = test::text_of(fragment);
}

CO_TEST_CASE("misuse: waiting for what was never asked for, or twice, is an error in words", both_ways,
             NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto store = pair.there.start_local_peer("store");
  const auto me = pair.here.new_peer("asker");
  Circuit near = me->new_circuit(pair.url_there(*store), Fragment(0, "first"));
  Circuit far = co_await keeper.next();

  const std::string unasked = co_await words_of_failure(near.accepted());
  CHECK(unasked.starts_with("accepted on circuit " + std::to_string(near.id()) + ": it was opened without"));
  const std::string theirs = co_await words_of_failure(far.accepted());
  CHECK(theirs.starts_with("accepted on circuit " + std::to_string(far.id()) + ": the far side opened it"));
  const std::string refused = co_await words_of_failure(at_once([&] { near.refuse(error::access_denied, "no"); }));
  CHECK(refused.starts_with("refuse on circuit " + std::to_string(near.id()) + ": this side opened it"));
  CHECK(near.is_open());
  const std::string unfinished = co_await words_of_failure(near.finish_acknowledged());
  CHECK(unfinished.starts_with("finish_acknowledged on circuit "));

  std::string text;
  me->spawn(receive_one(near, text));
  co_await settle();
  for (int i = 0; i < 2; ++i) {
    const std::string twice = co_await words_of_failure(drop_result(near.receive()));
    CHECK(twice.starts_with("receive on circuit " + std::to_string(near.id()) + ": another coroutine is receiving"));
  }
  const std::string any = co_await words_of_failure(drop_result(near.receive_any()));
  CHECK(any.starts_with("receive_any on circuit "));
  co_await far.send(Fragment(0, "answer"));
  co_await far.send(Fragment(0, "another"));
  co_await settle();
  CHECK(text == "answer"); // the one that waited has it
  const std::optional<Fragment> another = co_await near.receive();
  CHECK(test::text_of(another) == "another");
}

CO_TEST_CASE("misuse: a service that refuses the circuit that it works on hears so, and everything goes on", both_ways,
             NodePair& pair) {
  std::string words;
  pair.there.serve("refuser", [&words](Circuit circuit) -> awaitable<void> {
    words = co_await words_of_failure(at_once([&] { circuit.refuse(error::access_denied, "no"); }));
    co_await circuit.send(Fragment(0, "still here"));
    circuit.finish();
  });
  const auto me = pair.here.new_peer("asker");
  Circuit circuit = me->join_or_start(pair.there_address, "refuser", std::nullopt);

  const std::optional<Fragment> answer = co_await circuit.receive();

  CHECK(test::text_of(answer) == "still here");
  CHECK(words.starts_with("refuse on circuit " + std::to_string(circuit.id()) + ": a service works on it"));
  const std::optional<Fragment> none = co_await circuit.receive();
  CHECK_FALSE(none);
}

} // namespace
