// An end of a circuit is told from a failure of the program, by itself and inside of what `&&` throws.
#include "circuit/circuit_ended.hpp"

#include "tests/peer/node_pair.hpp"
#include "tests/support/co_test_case.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <exception>
#include <stdexcept>
#include <string>

using namespace trunkline;
using namespace trunkline::test;

namespace {

template <class T> awaitable<std::exception_ptr> thrown_by(awaitable<T> operation) {
  std::exception_ptr thrown;
  try {
    co_await std::move(operation);
  } catch (...) {
    thrown = std::current_exception();
  }
  co_return thrown;
}

bool is_end(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& failure) {
    return is_circuit_end(failure);
  }
}

CO_TEST_CASE("circuit: every way in which it ends under an operation is an end, and nothing else is", both_ways,
             NodePair& pair) {
  using namespace asio::experimental::awaitable_operators;
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto me = pair.here.new_peer("asker");

  Circuit reset = me->join_or_start(pair.there_address, "store", Fragment(1));
  Circuit far = co_await keeper.next();
  far.reset(End(error::access_denied, "no\nand no"));
  const auto of_reset = co_await thrown_by(reset.receive());
  CHECK(is_end(of_reset));
  const std::shared_ptr<const CircuitEnded> ended = circuit_end_of(of_reset);
  REQUIRE(ended);
  CHECK(ended->end().text == "no\nand no"); // as it was said
  CHECK(ended->end().theirs);
  CHECK(std::string(ended->what()).starts_with("the far side says: no\\x0aand no"));
  CHECK(ended->names().circuit_id == reset.id());
  CHECK(ended->opened_here());
  const auto of_both = co_await thrown_by(reset.receive() && reset.receive_error());
  CHECK(is_end(of_both));

  Circuit closed = me->join_or_start(pair.there_address, "store", Fragment(1));
  Circuit closing = co_await keeper.next();
  closing.close();
  co_await closed.ended();
  const auto of_closed = co_await thrown_by(closed.send(Fragment(1)));
  CHECK(is_end(of_closed));

  Circuit own = me->join_or_start(pair.there_address, "store", Fragment(1));
  own.finish();
  const auto of_own = co_await thrown_by(own.send(Fragment(1))); // our mistake
  CHECK_FALSE(is_end(of_own));
  Circuit empty;
  const auto of_misuse = co_await thrown_by(empty.receive());
  CHECK_FALSE(is_end(of_misuse));
  CHECK_FALSE(is_end(std::make_exception_ptr(std::runtime_error("something else"))));
  CHECK(circuit_end_of(nullptr) == nullptr);

  Circuit refused = me->join_or_start(pair.there_address, "nobody", Fragment(1));
  const auto of_refused = co_await thrown_by(refused.receive());
  CHECK(is_end(of_refused));
}

} // namespace
