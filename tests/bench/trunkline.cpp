// trunkline as its users have it: nodes, peers and circuits over one tcp connection, one thread per end. With BENCH_TLS
// the same over tls, with BENCH_WS over a WebSocket.

#include "async/tasks.hpp"
#include "bench.hpp"
#include "circuit/caller.hpp"
#include "circuit/circuit.hpp"
#include "peer/node.hpp"
#include "transport/tls.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <sys/resource.h>

#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace bench;
using namespace trunkline;

constexpr std::int32_t op_message = 1;
constexpr std::int32_t op_reply = 2;

NodeOptions node_options(const Options& options) {
  NodeOptions node;
  node.expose_errors = true; // the sender says what the receiver found
  node.trunks_max = 100'000;
  node.handshakes_max = 100'000;
  node.handshakes_per_host_max = 100'000;
  node.limits.circuits_max = 1'000'000;
#ifdef BENCH_TLS
  TrustOptions trust;
  trust.strangers = Strangers::accept;
  node.identity = std::make_shared<Identity>(IdentityKey::draw(), trust);
#endif
  if (options.workload == Workload::idle_circuit_bytes) node.limits.cancelled_opens_per_second_max = 1'000'000;
  return node;
}

std::uint16_t port_of(const std::string& address) {
  return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

void allow_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

#if defined(BENCH_TLS)
constexpr const char* host = "tls://127.0.0.1:";
#elif defined(BENCH_WS)
constexpr const char* host = "ws://127.0.0.1:";
#else
constexpr const char* host = "tcp://127.0.0.1:";
#endif

const char* text_of(const Fragment& fragment) { return reinterpret_cast<const char*>(fragment.payload.data()); }

/// Serving: everything one run needs, and whether it is over.
struct Serving {
  explicit Serving(const Options& run) : options(run), checks(run) {}

  const Options& options;
  Checks checks;
  std::vector<Circuit> idle;
  std::exception_ptr failure;
};

/// Ends with the circuit's finish; the count goes back so that the driver can compare.
awaitable<void> receive_one_way(Circuit circuit, Serving* serving, std::uint32_t stream) {
  std::uint64_t received = 0;
  for (;;) {
    std::optional<Fragment> fragment = circuit.try_receive();
    if (!fragment) fragment = co_await circuit.receive(); // in a hot loop only what has to wait pays for a coroutine
    if (!fragment) break;
    serving->checks.check(text_of(*fragment), fragment->payload.size(), stream);
    ++received;
  }
  Fragment reply(op_reply);
  reply.part = static_cast<std::int64_t>(received);
  co_await circuit.send(std::move(reply));
  circuit.finish();
}

awaitable<void> echo(Circuit circuit, Serving* serving) {
  for (;;) {
    std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) break;
    serving->checks.check(text_of(*fragment), fragment->payload.size(), 0);
    if (circuit.send_one_way(*fragment) != SendOutcome::queued) co_await circuit.send(std::move(*fragment));
  }
  circuit.finish();
}

/// A reply is its request: the part that says whose it is goes back with the payload.
awaitable<void> answer_calls(Circuit circuit, Serving* serving) {
  for (;;) {
    std::optional<Fragment> request = circuit.try_receive();
    if (!request) request = co_await circuit.receive();
    if (!request) break;
    serving->checks.check(text_of(*request), request->payload.size(), 0);
    request->op = op_reply;
    if (circuit.send_one_way(*request) != SendOutcome::queued) co_await circuit.send(std::move(*request));
  }
  circuit.finish();
}

/// The service of every workload. Short circuits are answered where they are taken, without a coroutine of their own.
awaitable<void> bench_service(LocalPeer& peer, CircuitInbox& circuits, Serving* serving) {
  std::uint32_t stream = 0;
  for (;;) {
    std::optional<Circuit> circuit = circuits.try_next();
    if (!circuit) circuit = co_await circuits.next();
    if (!circuit) break;
    if (serving->options.one_way()) {
      peer.spawn(receive_one_way, std::move(*circuit), serving, stream++);
    } else if (serving->options.workload == Workload::round_trip) {
      peer.spawn(echo, std::move(*circuit), serving);
    } else if (serving->options.workload == Workload::calls_64) {
      peer.spawn(answer_calls, std::move(*circuit), serving);
    } else if (serving->options.workload == Workload::opens) {
      std::optional<Fragment> first = circuit->try_receive();
      if (!first) first = co_await circuit->receive();
      if (!first) throw std::runtime_error("a circuit came without its first fragment");
      serving->checks.check(text_of(*first), first->payload.size(), 0);
      circuit->close();
    } else {
      const std::optional<Fragment> fragment = co_await circuit->receive();
      if (!fragment || fragment->payload.size() != small_bytes)
        throw std::runtime_error("no first fragment of 64 bytes");
      Fragment reply(op_reply);
      reply.part = static_cast<std::int64_t>(serving->idle.size());
      serving->idle.push_back(std::move(*circuit));
      Fragment* const answer = &reply;
      if (serving->idle.back().send_one_way(*answer) != SendOutcome::queued)
        throw std::runtime_error("no credit for a reply");
    }
  }
}

awaitable<void> guarded_service(LocalPeer& peer, CircuitInbox& circuits, Serving* serving, asio::io_context* io) {
  try {
    co_await bench_service(peer, circuits, serving);
  } catch (const boost::system::system_error& ended) {
    if (ended.code().category() != trunkline_category()) serving->failure = std::current_exception();
  } catch (...) {
    serving->failure = std::current_exception();
  }
  if (serving->failure) io->stop();
}

void serve(const Options& options) {
  allow_descriptors();
  asio::io_context io(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO); // one thread: no locks around its sockets
  Serving serving(options);
  NodeOptions with = node_options(options);
  bool connected = false;
  with.log = [&](LogLevel level, std::string_view line) {
    if (level < LogLevel::warning || options.workload == Workload::handshakes) return; // they end without a Hello
    const std::string text(line);
    std::fprintf(stderr, "%s\n", text.c_str());
  };
  Node node(io.get_executor(), std::move(with));
  node.register_service(
      "bench", [&](LocalPeer& peer, CircuitInbox& circuits) { return guarded_service(peer, circuits, &serving, &io); });
  say_listening(port_of(node.listen(host + std::string("0"))));
  // Over when every connection is gone again.
  while (!(connected && node.links_count() == 0) && !io.stopped()) {
    io.run_one();
    connected = connected || node.links_count() > 0;
  }
  if (serving.failure) std::rethrow_exception(serving.failure);
}

std::string address_of(const Options& options) { return host + std::to_string(options.port); }

struct Driving {
  explicit Driving(const Options& run) : options(run) {}

  const Options& options;
  Result result;
  std::shared_ptr<LocalPeer> peer;
};

Fragment stamped(Stamps& stamps, std::uint32_t stream) {
  Fragment fragment(op_message, Payload::uninitialized(small_bytes));
  stamps.stamp(reinterpret_cast<char*>(fragment.payload.writable().data()), stream);
  return fragment;
}

/// 64 KiB messages that are written from where they lie; a buffer is used again when the connection has let go of it.
class Buffers {
 public:
  Fragment stamped(Stamps& stamps, std::uint32_t stream) {
    if (buffers_.empty() || buffers_.front().use_count() > 1) {
      buffers_.push_front(std::make_shared<std::vector<char>>(bulk_bytes, 'x'));
    }
    std::shared_ptr<std::vector<char>> buffer = std::move(buffers_.front());
    buffers_.pop_front();
    stamps.stamp(buffer->data(), stream);
    Fragment fragment(op_message, Payload::shared(buffer, std::as_bytes(std::span(*buffer))));
    buffers_.push_back(std::move(buffer));
    return fragment;
  }

 private:
  std::deque<std::shared_ptr<std::vector<char>>> buffers_;
};

std::vector<Circuit> open_circuits(Driving& driving, std::uint32_t count) {
  std::vector<Circuit> circuits;
  circuits.push_back(driving.peer->join_or_start(address_of(driving.options), "bench", std::nullopt));
  while (circuits.size() < count)
    circuits.push_back(driving.peer->join_or_start(address_of(driving.options), "bench", std::nullopt));
  return circuits;
}

awaitable<void> drive_one_way(Driving& driving) {
  const Options& options = driving.options;
  std::vector<Circuit> circuits = open_circuits(driving, options.streams());
  co_await circuits.back().accepted();
  Stamps stamps(options);
  Buffers buffers;
  const Goal goal(options);
  std::uint32_t stream = 0;
  for (;;) {
    const std::uint64_t more = goal.more(stamps.sent(), options.bulk() ? 16 : 1024);
    if (more == 0) break;
    for (std::uint64_t i = 0; i < more; ++i) {
      Fragment fragment = options.bulk() ? buffers.stamped(stamps, stream) : stamped(stamps, stream);
      // In a hot loop: only what has to wait pays for a coroutine.
      if (circuits[stream].congested() || circuits[stream].send_one_way(fragment) != SendOutcome::queued)
        co_await circuits[stream].send(std::move(fragment));
      if (++stream == options.streams()) stream = 0;
    }
  }
  for (Circuit& circuit : circuits) circuit.finish();
  std::uint64_t confirmed = 0;
  for (Circuit& circuit : circuits) {
    const std::optional<Fragment> reply = co_await circuit.receive();
    if (!reply) throw std::runtime_error("no count came back");
    confirmed += static_cast<std::uint64_t>(reply->part);
  }
  driving.result = one_way_result(options, stamps.sent(), confirmed, goal.elapsed());
}

awaitable<void> drive_round_trip(Driving& driving) {
  std::vector<Circuit> circuits = open_circuits(driving, 1);
  Circuit& circuit = circuits.front();
  co_await circuit.accepted();
  Stamps stamps(driving.options);
  Checks checks(driving.options);
  RoundTrips round_trips;
  const Goal goal(driving.options);
  while (goal.more(round_trips.count(), 1) != 0) {
    round_trips.begin();
    Fragment fragment = stamped(stamps, 0);
    if (circuit.send_one_way(fragment) != SendOutcome::queued) co_await circuit.send(std::move(fragment));
    const std::optional<Fragment> reply = co_await circuit.receive();
    round_trips.end();
    if (!reply) throw std::runtime_error("no reply came back");
    checks.check(text_of(*reply), reply->payload.size(), 0);
  }
  circuit.finish();
  driving.result = round_trips.result();
}

awaitable<void> call_again_and_again(Caller* caller, Stamps* stamps, const Goal* goal) {
  while (goal->more(stamps->sent(), 1) != 0) {
    Fragment request = stamped(*stamps, 0);
    const std::uint64_t expected = stamped_sequence(text_of(request));
    const Fragment reply = co_await caller->call(std::move(request));
    if (reply.payload.size() != small_bytes || stamped_sequence(text_of(reply)) != expected)
      throw std::runtime_error("a call of sequence " + std::to_string(expected) + " got the reply to another one");
  }
}

awaitable<void> drive_calls(Driving& driving) {
  std::vector<Circuit> circuits = open_circuits(driving, 1);
  co_await circuits.front().accepted();
  Caller caller(std::move(circuits.front()));
  Stamps stamps(driving.options);
  std::exception_ptr failure;
  Tasks calls(driving.peer->executor(), [&](std::exception_ptr thrown) {
    if (!failure) failure = std::move(thrown);
  });
  const Goal goal(driving.options);
  for (std::uint64_t i = 0; i < calls_outstanding; ++i) calls.spawn(call_again_and_again(&caller, &stamps, &goal));
  co_await calls.join();
  if (failure) std::rethrow_exception(failure);
  driving.result = {static_cast<double>(stamps.sent()) / goal.elapsed(), "calls/s"};
  caller.circuit().finish();
}

awaitable<void> drive_opens(Driving& driving) {
  Stamps stamps(driving.options);
  // The instance that the first circuit starts takes all others; the first brings a message like every other.
  Circuit first = driving.peer->start(address_of(driving.options), "bench", std::optional(stamped(stamps, 0)));
  first.finish();
  std::deque<Circuit> open;
  std::uint64_t closed = 0;
  const Goal goal(driving.options);
  for (;;) {
    const std::uint64_t more = goal.more(stamps.sent(), opens_outstanding - open.size());
    for (std::uint64_t i = 0; i < more; ++i) {
      Fragment fragment = stamped(stamps, 0);
      open.push_back(first.new_circuit(std::move(fragment)));
      open.back().finish();
    }
    if (open.empty()) break;
    const std::optional<Fragment> nothing = co_await open.front().receive(); // its end
    if (nothing) throw std::runtime_error("an answer nobody sent");
    open.pop_front();
    ++closed;
    while (!open.empty() && !open.front().is_open()) {
      open.pop_front();
      ++closed;
    }
  }
  driving.result = {static_cast<double>(closed) / goal.elapsed(), "opens/s"};
}

awaitable<void> drive_idle_circuits(Driving& driving) {
  const Options& options = driving.options;
  Stamps stamps(options);
  std::vector<Circuit> circuits;
  Fragment first_message = stamped(stamps, 0);
  circuits.push_back(driving.peer->join_or_start(address_of(options), "bench", std::move(first_message)));
  const std::optional<Fragment> first_reply = co_await circuits.front().receive();
  if (!first_reply) throw std::runtime_error("no reply to the first circuit");
  circuits.reserve(options.count + 1);
  std::size_t replied = 1;
  const Footprint footprint(options);
  for (std::uint64_t i = 0; i < options.count; ++i) {
    Fragment message = stamped(stamps, 0);
    circuits.push_back(circuits.front().new_circuit(std::move(message)));
    if (i % 64 != 63 && i + 1 != options.count) continue;
    for (; replied < circuits.size(); ++replied) { // what a service can take at once
      const std::optional<Fragment> reply = co_await circuits[replied].receive();
      if (!reply) throw std::runtime_error("no reply to a circuit");
    }
  }
  driving.result = footprint.per(options.count);
}

awaitable<void> drive_idle_connections(Driving& driving, asio::io_context& io) {
  const Options& options = driving.options;
  std::vector<std::unique_ptr<Node>> nodes; // one connection each
  std::vector<Circuit> circuits;
  const auto connect = [&] {
    nodes.push_back(std::make_unique<Node>(io.get_executor(), node_options(options)));
    Stamps stamps(options);
    circuits.push_back(
        nodes.back()->new_peer("driver")->join_or_start(address_of(options), "bench", stamped(stamps, 0)));
  };
  connect();
  const std::optional<Fragment> first = co_await circuits.back().receive();
  const Footprint footprint(options);
  for (std::uint64_t i = 0; i < options.count; ++i) {
    connect();
    const std::optional<Fragment> reply = co_await circuits.back().receive();
    if (!reply) throw std::runtime_error("no reply on a connection");
  }
  driving.result = footprint.per(options.count);
  for (Circuit& circuit : circuits) circuit.close();
  for (auto& node : nodes) co_await node->close();
}

/// Dials again and again, as the medium does it for a node; the far side is one, which accepts and waits for a Hello.
awaitable<void> drive_handshakes(Driving& driving) {
  TrustOptions trust;
  trust.strangers = Strangers::accept;
  const auto medium = make_tls_medium(std::make_shared<Identity>(IdentityKey::draw(), trust));
  const Goal goal(driving.options);
  std::uint64_t done = 0;
  for (; goal.more(done, 1) != 0; ++done) {
    const auto transport = co_await medium->dial(address_of(driving.options));
    transport->close();
  }
  driving.result = {static_cast<double>(done) / goal.elapsed(), "handshakes/s"};
}

awaitable<void> run_workload(Driving& driving, Node& node, asio::io_context& io) {
  driving.peer = node.new_peer("driver");
  switch (driving.options.workload) {
    case Workload::round_trip: co_await drive_round_trip(driving); break;
    case Workload::opens: co_await drive_opens(driving); break;
    case Workload::handshakes: co_await drive_handshakes(driving); break;
    case Workload::calls_64: co_await drive_calls(driving); break;
    case Workload::idle_circuit_bytes: co_await drive_idle_circuits(driving); break;
    case Workload::idle_connection_bytes: co_await drive_idle_connections(driving, io); break;
    default: co_await drive_one_way(driving);
  }
  co_await node.close();
}

Result drive(const Options& options) {
  allow_descriptors();
  asio::io_context io(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO); // one thread: no locks around its sockets
  Driving driving(options);
  Node node(io.get_executor(), node_options(options));
  std::exception_ptr failure;
  asio::co_spawn(io, run_workload(driving, node, io), [&](std::exception_ptr thrown) {
    failure = thrown;
    if (thrown) io.stop();
  });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return driving.result;
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, serve, drive); }
