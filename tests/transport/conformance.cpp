#include "tests/transport/conformance.hpp"

#include "async/tasks.hpp"
#include "fragment/error.hpp"
#include "tests/support/seed.hpp"
#include "transport/address.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

namespace trunkline::test {
namespace {

using namespace asio::experimental::awaitable_operators;
using Bytes = std::vector<std::byte>;
using TransportPtr = std::unique_ptr<Transport>;
using ListenerPtr = std::unique_ptr<Listener>;

/// More than every buffer between two ends holds.
constexpr std::size_t too_much = 24 << 20;

/// Runs a check to its end, and then the context until it has nothing left to do.
void run(MediumUnderTest& kit, awaitable<void> check) {
  std::exception_ptr failure;
  bool finished = false;
  asio::co_spawn(kit.io(), std::move(check), [&](std::exception_ptr thrown) {
    failure = thrown;
    finished = true;
    if (thrown) kit.io().stop();
  });
  kit.run();
  if (failure) std::rethrow_exception(failure);
  REQUIRE_MESSAGE(finished, "the check waits for something that never comes");
}

/// Lets everything that is ready run up to where it waits.
awaitable<void> turns(int count = 8) {
  for (int i = 0; i < count; ++i) co_await asio::post(asio::use_awaitable);
}

/// The byte that belongs at a position of a stream: a wrong place shows at once.
std::byte byte_at(std::size_t position) { return static_cast<std::byte>((position * 2654435761u) >> 13); }

Bytes stream_of(std::size_t size, std::size_t from = 0) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = byte_at(from + i);
  return bytes;
}

/// Compares in one assertion: millions of them would take longer than the bytes.
bool is_stream(std::span<const std::byte> bytes, std::size_t from = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (bytes[i] != byte_at(from + i)) return false;
  return true;
}

awaitable<void> write_all(Transport& to, Bytes bytes) {
  const std::span<const std::byte> piece(bytes);
  co_await to.write(std::span(&piece, 1));
}

/// Reads until so many bytes are there, in reads of at most `step`.
awaitable<Bytes> read_exactly(Transport& from, std::size_t size, std::size_t step = 100'000) {
  Bytes bytes(size);
  std::size_t have = 0;
  while (have < size) {
    const std::span<std::byte> into = std::span(bytes).subspan(have, std::min(step, size - have));
    const std::size_t read = co_await from.read_some(into);
    if (read == 0) break;
    have += read;
  }
  bytes.resize(have);
  co_return bytes;
}

awaitable<void> expect_stream(Transport& from, std::size_t size, std::size_t step = 100'000) {
  const Bytes bytes = co_await read_exactly(from, size, step);
  CHECK(bytes.size() == size);
  CHECK(is_stream(bytes));
}

awaitable<std::size_t> read_one(Transport& from) {
  std::byte byte{};
  const std::size_t read = co_await from.read_some(std::span(&byte, 1));
  co_return read;
}

/// Runs `op` and says with which code it failed; success when it did not.
template <class T> awaitable<boost::system::error_code> failure_of(awaitable<T> op) {
  try {
    co_await std::move(op);
  } catch (const boost::system::system_error& thrown) {
    co_return thrown.code();
  }
  co_return boost::system::error_code();
}

template <class T> awaitable<std::string> failure_text_of(awaitable<T> op) {
  try {
    co_await std::move(op);
  } catch (const boost::system::system_error& thrown) {
    co_return thrown.what();
  }
  co_return "no failure";
}

/// Stores how `op` ended, for one that runs as a task.
template <class T> awaitable<void> note_failure(awaitable<T> op, boost::system::error_code& into, bool& ended) {
  const auto code = co_await failure_of(std::move(op));
  into = code;
  ended = true;
}

/// A task that a check starts and watches.
struct Watched {
  boost::system::error_code code;
  bool ended = false;
};

template <class T> void watch(Tasks& tasks, awaitable<T> op, Watched& watched) {
  tasks.spawn(note_failure(std::move(op), watched.code, watched.ended));
}

struct Pair {
  ListenerPtr listener;
  TransportPtr dialled;
  TransportPtr accepted;
};

/// A connection that is ready for bytes: of an accepted one the handshake, where there is one, is still to be done.
awaitable<TransportPtr> accept_ready(Listener& listener) {
  TransportPtr accepted = co_await listener.accept();
  co_await accepted->handshake();
  co_return accepted;
}

awaitable<Pair> connect(MediumUnderTest& kit) {
  const Executor executor = co_await asio::this_coro::executor;
  Pair pair;
  pair.listener = kit.listening().listen(executor, kit.address());
  auto both = co_await (kit.dialling().dial(pair.listener->address()) && accept_ready(*pair.listener));
  pair.dialled = std::move(std::get<0>(both));
  pair.accepted = std::move(std::get<1>(both));
  co_return pair;
}

awaitable<void> order(MediumUnderTest& kit) {
  constexpr std::size_t size = 300'000;
  Pair pair = co_await connect(kit);
  std::mt19937_64 random(test_seed());
  auto write_in_parts = [](Transport& to, std::mt19937_64& dice) -> awaitable<void> {
    for (std::size_t at = 0; at < size;) {
      const std::size_t part = std::min<std::size_t>(1 + dice() % 5000, size - at);
      co_await write_all(to, stream_of(part, at));
      at += part;
    }
  };
  co_await (write_in_parts(*pair.dialled, random) && expect_stream(*pair.accepted, size, 3000));
  co_await (write_in_parts(*pair.accepted, random) && expect_stream(*pair.dialled, size, 7000));
}

awaitable<void> reads_of_one_byte(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  co_await (write_all(*pair.accepted, stream_of(5000)) && expect_stream(*pair.dialled, 5000, 1));
}

/// Into both places by turns: the second gets nothing before the first is full.
awaitable<void> scattered_reads(MediumUnderTest& kit) {
  constexpr std::size_t size = 300'000;
  Pair pair = co_await connect(kit);
  std::mt19937_64 random(test_seed());
  Tasks writer(co_await asio::this_coro::executor);
  writer.spawn(write_all(*pair.accepted, stream_of(size)));
  Bytes received;
  Bytes first(5000);
  Bytes rest(7000);
  while (received.size() < size) {
    const auto into = std::span(first).first(1 + random() % first.size());
    const auto then = std::span(rest).first(random() % rest.size());
    const std::size_t count = co_await pair.dialled->read_scattered(into, then);
    REQUIRE(count > 0);
    REQUIRE(count <= into.size() + then.size());
    const auto in_first = into.first(std::min(count, into.size()));
    const auto in_rest = then.first(count - in_first.size());
    received.insert(received.end(), in_first.begin(), in_first.end());
    received.insert(received.end(), in_rest.begin(), in_rest.end());
  }
  CHECK(is_stream(received));
  co_await writer.join();
}

/// One that is cancelled took nothing, wherever its bytes were on their way to.
awaitable<void> cancelled_scattered_read(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  Tasks reading(co_await asio::this_coro::executor);
  Bytes first(100);
  Bytes rest(1000);
  auto read = [](Transport& from, Bytes& into, Bytes& then) -> awaitable<void> {
    co_await from.read_scattered(into, then);
  };
  reading.spawn(read(*pair.accepted, first, rest));
  co_await turns();
  co_await write_all(*pair.dialled, stream_of(600));
  reading.cancel();
  co_await reading.join();
  co_await expect_stream(*pair.accepted, 600);
}

awaitable<void> many_pieces(MediumUnderTest& kit) {
  std::mt19937_64 random(test_seed());
  for (const std::size_t count : {1u, 64u, 65u, 1024u, 1025u, 5000u}) {
    Pair pair = co_await connect(kit);
    std::vector<Bytes> memory;
    std::size_t size = 0;
    for (std::size_t i = 0; i < count; ++i) {
      memory.push_back(stream_of(random() % 2000, size));
      size += memory.back().size();
    }
    std::vector<std::span<const std::byte>> pieces(memory.begin(), memory.end());

    co_await (pair.dialled->write(pieces) && expect_stream(*pair.accepted, size));
  }
}

awaitable<void> empty_pieces(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  const Bytes bytes = stream_of(2);
  std::vector<std::span<const std::byte>> none;
  std::vector<std::span<const std::byte>> empty(3);
  std::vector<std::span<const std::byte>> mixed(7);
  mixed[2] = std::span(bytes).first(1);
  mixed[5] = std::span(bytes).last(1);

  co_await pair.dialled->write(none);
  co_await pair.dialled->write(empty);
  co_await pair.dialled->write(mixed);
  co_await expect_stream(*pair.accepted, 2);
}

awaitable<void> both_directions(MediumUnderTest& kit) {
  constexpr std::size_t size = 3 << 20;
  Pair pair = co_await connect(kit);
  co_await (write_all(*pair.dialled, stream_of(size)) && write_all(*pair.accepted, stream_of(size)) &&
            expect_stream(*pair.dialled, size) && expect_stream(*pair.accepted, size));
}

awaitable<void> backpressure(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  Tasks tasks(co_await asio::this_coro::executor);
  Watched write;
  watch(tasks, write_all(*pair.dialled, stream_of(too_much)), write);
  co_await expect_stream(*pair.accepted, 1000); // something flows
  co_await turns(100);
  CHECK_FALSE(write.ended);
  const std::uint64_t stuck = pair.dialled->write_progress();
  CHECK(stuck < too_much);

  constexpr std::size_t half = too_much / 2;
  const Bytes more = co_await read_exactly(*pair.accepted, half - 1000);
  CHECK(is_stream(more, 1000));
  CHECK_FALSE(write.ended);
  CHECK(pair.dialled->write_progress() > stuck); // it moves
  const Bytes rest = co_await read_exactly(*pair.accepted, too_much - half);
  CHECK(is_stream(rest, half));
  co_await tasks.join();
  CHECK(write.ended);
  CHECK_FALSE(write.code);
}

awaitable<void> end_is_seen_after_the_bytes(MediumUnderTest& kit) {
  constexpr std::size_t size = 1 << 20;
  Pair pair = co_await connect(kit);
  auto write_and_close = [](Transport& to) -> awaitable<void> {
    co_await write_all(to, stream_of(size));
    to.close();
  };
  co_await (write_and_close(*pair.dialled) && expect_stream(*pair.accepted, size));
  if (kit.tells_a_cut()) { // then nothing but the word for it is an end; close waits for nothing to say it
    const auto cut = co_await failure_of(read_one(*pair.accepted));
    CHECK((!cut || cut == make_error_code(error::trunk_lost)));
    co_return;
  }
  const std::size_t end = co_await read_one(*pair.accepted);
  const std::size_t again = co_await read_one(*pair.accepted);
  CHECK(end == 0);
  CHECK(again == 0);
}

awaitable<void> write_to_closed_fails(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  pair.accepted->close();
  const auto code = co_await failure_of(write_all(*pair.dialled, stream_of(too_much)));
  CHECK(code);
  CHECK(code != asio::error::operation_aborted);
}

awaitable<void> finish_ends_one_direction(MediumUnderTest& kit) {
  constexpr std::size_t size = 1 << 20;
  Pair pair = co_await connect(kit);
  auto write_and_finish = [](Transport& to) -> awaitable<void> {
    co_await write_all(to, stream_of(size));
    to.finish();
    to.finish();
  };
  co_await (write_and_finish(*pair.dialled) && expect_stream(*pair.accepted, size));
  const std::size_t end = co_await read_one(*pair.accepted);
  CHECK(end == 0);

  co_await (write_and_finish(*pair.accepted) && expect_stream(*pair.dialled, size));
  const std::size_t other_end = co_await read_one(*pair.dialled);
  CHECK(other_end == 0);
}

awaitable<void> close_wakes_read(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  Tasks tasks(co_await asio::this_coro::executor);
  Watched read;
  watch(tasks, read_one(*pair.dialled), read);
  co_await turns();
  CHECK_FALSE(read.ended);

  pair.dialled->close();
  co_await tasks.join();
  CHECK(read.code == asio::error::operation_aborted);
}

awaitable<void> close_wakes_write(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  Tasks tasks(co_await asio::this_coro::executor);
  Watched write;
  watch(tasks, write_all(*pair.dialled, stream_of(too_much)), write);
  co_await expect_stream(*pair.accepted, 10);
  co_await turns();
  CHECK_FALSE(write.ended);

  pair.dialled->close();
  pair.dialled->close();
  co_await tasks.join();
  CHECK(write.code == asio::error::operation_aborted);
}

awaitable<void> use_after_close(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  co_await write_all(*pair.accepted, stream_of(10));
  pair.dialled->close();
  const auto read = co_await failure_of(read_one(*pair.dialled));
  const auto write = co_await failure_of(write_all(*pair.dialled, stream_of(1)));
  CHECK(read == asio::error::operation_aborted);
  CHECK(write == asio::error::operation_aborted);

  pair.listener->close();
  pair.listener->close();
  const auto accept = co_await failure_of(pair.listener->accept());
  CHECK(accept == asio::error::operation_aborted);
}

awaitable<void> destroyed_while_waiting(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  Tasks tasks(co_await asio::this_coro::executor);
  Watched read;
  Watched write;
  watch(tasks, read_one(*pair.dialled), read);
  watch(tasks, write_all(*pair.dialled, stream_of(too_much)), write);
  co_await turns();

  pair.dialled.reset();
  co_await tasks.join();
  CHECK(read.code == asio::error::operation_aborted);
  CHECK(write.code == asio::error::operation_aborted);
}

awaitable<void> cancelled_read(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  Watched read;
  {
    Tasks tasks(co_await asio::this_coro::executor);
    watch(tasks, read_one(*pair.accepted), read);
    co_await turns();
    tasks.cancel();
    co_await tasks.join();
  }
  CHECK(read.code == asio::error::operation_aborted);

  co_await (write_all(*pair.dialled, stream_of(1000)) && expect_stream(*pair.accepted, 1000));
}

awaitable<void> read_into(Transport& from, Bytes& received) {
  std::byte bytes[700];
  const std::size_t read = co_await from.read_some(bytes);
  received.insert(received.end(), bytes, bytes + read);
}

awaitable<void> cancelled_reads_lose_nothing(MediumUnderTest& kit) {
  constexpr std::size_t size = 100'000;
  const Executor executor = co_await asio::this_coro::executor;
  Pair pair = co_await connect(kit);
  std::mt19937_64 random(test_seed());
  Tasks writer(executor);
  auto write_slowly = [](Transport& to) -> awaitable<void> {
    for (std::size_t at = 0; at < size; at += 500) {
      co_await write_all(to, stream_of(500, at));
      co_await turns(3);
    }
  };
  writer.spawn(write_slowly(*pair.dialled));

  Bytes received;
  while (received.size() < size) {
    Tasks attempt(executor);
    attempt.spawn(read_into(*pair.accepted, received));
    co_await turns(static_cast<int>(random() % 8));
    if (writer.running() > 0) attempt.cancel(); // afterwards time must pass for the bytes to come
    co_await attempt.join();
  }
  CHECK(received.size() == size);
  CHECK(is_stream(received));
  co_await writer.join();
}

awaitable<void> cancelled_write(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  Tasks tasks(co_await asio::this_coro::executor);
  Watched write;
  watch(tasks, write_all(*pair.dialled, stream_of(too_much)), write);
  co_await expect_stream(*pair.accepted, 10);
  co_await turns();
  tasks.cancel();
  co_await tasks.join();
  CHECK(write.code == asio::error::operation_aborted);
}

awaitable<void> what_it_says_of_itself(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  const Medium& medium = kit.listening();
  const std::string scheme(medium.scheme());
  const std::string address = pair.listener->address();
  CHECK(scheme == scheme_of(address));
  CHECK(scheme == kit.dialling().scheme());
  CHECK(scheme == scheme_of(medium.form()));
  CHECK(medium.has_hosts() == !pair.accepted->remote_host().empty());
  CHECK(medium.has_hosts() == !pair.dialled->remote_host().empty());
  if (medium.has_hosts()) CHECK(host_of(address) == pair.dialled->remote_host());
  CHECK(kit.proves_identity() == pair.accepted->proves_identity());
  CHECK(kit.proves_identity() == (pair.accepted->proof() != nullptr));
  CHECK(kit.proves_identity() == (pair.dialled->proof() != nullptr));
  CHECK((medium.proves_identity() || !kit.proves_identity()));
  if (medium.has_ports()) {
    CHECK(medium.has_hosts());
    CHECK(parse_host_port_address(without_pin(address), scheme).port > 0);
  }
}

awaitable<void> names(MediumUnderTest& kit) {
  Pair pair = co_await connect(kit);
  CHECK(pair.dialled->remote().find(pair.listener->address()) == 0);
  CHECK_FALSE(pair.accepted->remote().empty());
  const std::string host = pair.accepted->remote_host();
  CHECK(pair.accepted->remote().find(host) != std::string::npos);
}

awaitable<void> dial_nobody(MediumUnderTest& kit) {
  const std::string address = kit.address_of_nobody();
  const std::string text = co_await failure_text_of(kit.dialling().dial(address));
  const std::string expected = "cannot connect to " + address + ": ";
  CAPTURE(text);
  CHECK(text.substr(0, expected.size()) == expected);
  CHECK(text.find('[', expected.size()) == std::string::npos); // no source positions
}

awaitable<void> bad_address(MediumUnderTest& kit) {
  const Executor executor = co_await asio::this_coro::executor;
  const std::string text = co_await failure_text_of(kit.dialling().dial("nonsense"));
  CHECK(text.find("address \"nonsense\" is not " + std::string(kit.dialling().form())) == 0);
  CHECK_THROWS_AS(kit.listening().listen(executor, "nonsense"), boost::system::system_error);
}

awaitable<void> listen_twice(MediumUnderTest& kit) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto first = kit.listening().listen(executor, kit.address());
  const std::string expected = "cannot listen on " + std::string(without_pin(first->address())) + ": Address already in use";
  try {
    const auto second = kit.listening().listen(executor, first->address());
    FAIL("two listeners on one address");
  } catch (const boost::system::system_error& thrown) {
    CHECK(std::string(thrown.what()) == expected);
  }
}

awaitable<void> address_is_free_after_close(MediumUnderTest& kit) {
  const Executor executor = co_await asio::this_coro::executor;
  Pair pair = co_await connect(kit);
  const std::string address = pair.listener->address();
  pair.listener->close();
  const auto refused = co_await failure_of(kit.dialling().dial(address));
  CHECK(refused);

  pair.listener = kit.listening().listen(executor, address);
  CHECK(pair.listener->address() == address);
  const auto both = co_await (kit.dialling().dial(address) && accept_ready(*pair.listener));
  co_await (write_all(*std::get<0>(both), stream_of(10)) && expect_stream(*std::get<1>(both), 10));
}

awaitable<void> accept_and_echo(Listener& listener) {
  const auto transport = co_await accept_ready(listener);
  Bytes bytes = co_await read_exactly(*transport, 1);
  co_await write_all(*transport, std::move(bytes));
  co_await read_one(*transport); // until the far side has closed
}

awaitable<void> dial_and_ask(MediumUnderTest& kit, std::string address, std::byte question) {
  const auto transport = co_await kit.dialling().dial(std::move(address));
  co_await write_all(*transport, Bytes(1, question));
  const Bytes answer = co_await read_exactly(*transport, 1);
  CHECK(answer == Bytes(1, question));
}

awaitable<void> parallel_accepts(MediumUnderTest& kit) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto listener = kit.listening().listen(executor, kit.address());
  int failures = 0;
  Tasks tasks(executor, [&](std::exception_ptr) { ++failures; });
  for (int i = 0; i < 10; ++i) tasks.spawn(accept_and_echo(*listener));
  co_await turns();
  for (int i = 0; i < 10; ++i) tasks.spawn(dial_and_ask(kit, listener->address(), static_cast<std::byte>(i)));
  co_await tasks.join();
  CHECK(failures == 0);
}

awaitable<void> close_wakes_accept(MediumUnderTest& kit) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto listener = kit.listening().listen(executor, kit.address());
  Tasks tasks(executor);
  Watched accepts[2];
  for (Watched& accept : accepts) watch(tasks, listener->accept(), accept);
  co_await turns();
  listener->close();
  co_await tasks.join();
  for (const Watched& accept : accepts) CHECK(accept.code == asio::error::operation_aborted);
}

awaitable<void> listener_destroyed_while_waiting(MediumUnderTest& kit) {
  const Executor executor = co_await asio::this_coro::executor;
  auto listener = kit.listening().listen(executor, kit.address());
  Tasks tasks(executor);
  Watched accept;
  watch(tasks, listener->accept(), accept);
  co_await turns();
  listener.reset();
  co_await tasks.join();
  CHECK(accept.code == asio::error::operation_aborted);
}

awaitable<void> cancelled_accept(MediumUnderTest& kit) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto listener = kit.listening().listen(executor, kit.address());
  Watched accept;
  {
    Tasks tasks(executor);
    watch(tasks, listener->accept(), accept);
    co_await turns();
    tasks.cancel();
    co_await tasks.join();
  }
  CHECK(accept.code == asio::error::operation_aborted);

  const auto both = co_await (kit.dialling().dial(listener->address()) && accept_ready(*listener));
  co_await (write_all(*std::get<0>(both), stream_of(10)) && expect_stream(*std::get<1>(both), 10));
}

/// Keeps waiting in every way there is until the context is destroyed.
awaitable<void> wait_forever(MediumUnderTest& kit, bool& waits) {
  Pair pair = co_await connect(kit);
  waits = true;
  co_await (read_one(*pair.dialled) && write_all(*pair.dialled, stream_of(too_much)) && pair.listener->accept());
}

} // namespace

void check_order(MediumUnderTest& kit) { run(kit, order(kit)); }
void check_reads_of_one_byte(MediumUnderTest& kit) { run(kit, reads_of_one_byte(kit)); }
void check_scattered_reads(MediumUnderTest& kit) { run(kit, scattered_reads(kit)); }
void check_cancelled_scattered_read(MediumUnderTest& kit) { run(kit, cancelled_scattered_read(kit)); }
void check_many_pieces(MediumUnderTest& kit) { run(kit, many_pieces(kit)); }
void check_empty_pieces(MediumUnderTest& kit) { run(kit, empty_pieces(kit)); }
void check_both_directions(MediumUnderTest& kit) { run(kit, both_directions(kit)); }
void check_backpressure(MediumUnderTest& kit) { run(kit, backpressure(kit)); }
void check_end_is_seen_after_the_bytes(MediumUnderTest& kit) { run(kit, end_is_seen_after_the_bytes(kit)); }
void check_write_to_closed_fails(MediumUnderTest& kit) { run(kit, write_to_closed_fails(kit)); }
void check_finish_ends_one_direction(MediumUnderTest& kit) { run(kit, finish_ends_one_direction(kit)); }
void check_close_wakes_read(MediumUnderTest& kit) { run(kit, close_wakes_read(kit)); }
void check_close_wakes_write(MediumUnderTest& kit) { run(kit, close_wakes_write(kit)); }
void check_use_after_close(MediumUnderTest& kit) { run(kit, use_after_close(kit)); }
void check_destroyed_while_waiting(MediumUnderTest& kit) { run(kit, destroyed_while_waiting(kit)); }
void check_cancelled_read(MediumUnderTest& kit) { run(kit, cancelled_read(kit)); }
void check_cancelled_reads_lose_nothing(MediumUnderTest& kit) { run(kit, cancelled_reads_lose_nothing(kit)); }
void check_cancelled_write(MediumUnderTest& kit) { run(kit, cancelled_write(kit)); }
void check_what_it_says_of_itself(MediumUnderTest& kit) { run(kit, what_it_says_of_itself(kit)); }
void check_names(MediumUnderTest& kit) { run(kit, names(kit)); }
void check_dial_nobody(MediumUnderTest& kit) { run(kit, dial_nobody(kit)); }
void check_bad_address(MediumUnderTest& kit) { run(kit, bad_address(kit)); }
void check_listen_twice(MediumUnderTest& kit) { run(kit, listen_twice(kit)); }
void check_address_is_free_after_close(MediumUnderTest& kit) { run(kit, address_is_free_after_close(kit)); }
void check_parallel_accepts(MediumUnderTest& kit) { run(kit, parallel_accepts(kit)); }
void check_close_wakes_accept(MediumUnderTest& kit) { run(kit, close_wakes_accept(kit)); }
void check_listener_destroyed_while_waiting(MediumUnderTest& kit) { run(kit, listener_destroyed_while_waiting(kit)); }
void check_cancelled_accept(MediumUnderTest& kit) { run(kit, cancelled_accept(kit)); }

void check_context_destroyed_first(MediumUnderTest& kit) {
  bool waits = false;
  asio::co_spawn(kit.io(), wait_forever(kit, waits), [](std::exception_ptr) {});
  while (!waits) kit.run_some();
  // The kit's destructor destroys the context with everything that waits on it.
}

} // namespace trunkline::test
