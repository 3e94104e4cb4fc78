// The network facade and gossip. One thread per process.
//
//   conduit_1, conduit_50   64-byte messages from one node to one, or in turn to fifty, over tcp on loopback; the
//                           serving process has the other nodes, and its processors check every number
//   first_message           dial, handshake, first message and its ack, each time on a new connection; the median
//   broadcast_27, _81       1 KiB from one member to all others by the default strategy: nodes in one process, memory
//                           connections that are open already; the median time to the last delivery, and per broadcast
//                           all words (acks and questions too), all bytes on the connections, and the originator's
//                           share
//   mesh_27, mesh_81        the same by the originator sending to everybody through its conduit
#include "async/clock.hpp"
#include "own_options.hpp"
#include "peer/channel/network.hpp"
#include "services/gossip/gossip.hpp"
#include "tests/support/passing_medium.hpp"
#include "transport/memory.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace trunkline;

using Options = bench::OwnOptions;

constexpr std::size_t conduit_bytes = 64;
constexpr std::size_t broadcast_bytes = 1024;
constexpr std::uint64_t broadcasts_max = 32; // what is due to one of 81 members within the time that messages are held

struct Measured {
  double value = 0;
  const char* unit = "";
  std::vector<std::pair<const char*, double>> more; // rows of their own, named behind the workload
};

struct Goal {
  explicit Goal(const Options& options) : count(options.count), end(bench::now_seconds() + options.seconds) {}
  bool reached(std::uint64_t done) const { return count != 0 ? done >= count : bench::now_seconds() >= end; }
  std::uint64_t count;
  double end;
};

Payload numbered(std::size_t size, std::uint64_t number) {
  Payload payload = Payload::uninitialized(size);
  std::fill(payload.writable().begin(), payload.writable().end(), std::byte{'n'});
  std::memcpy(payload.writable().data(), &number, sizeof number);
  return payload;
}

/// The numbers that one node gets from each other one: all of them, in order.
struct Numbers {
  void check(const NodeId& origin, const Payload& payload, std::size_t size) {
    std::uint64_t number = 0;
    if (payload.size() != size) throw std::runtime_error(fmt::format("a message of {} bytes", payload.size()));
    std::memcpy(&number, payload.data(), sizeof number);
    std::uint64_t& expected = next[origin];
    if (number != expected)
      throw std::runtime_error(fmt::format("sequence {} on stream 0, expected {}", number, expected));
    ++expected;
  }
  std::map<NodeId, std::uint64_t> next;
};

/// What fails anywhere fails the run.
struct Failure {
  explicit Failure(asio::io_context& in) : io(in) {}
  void operator()(std::exception_ptr thrown) {
    if (!thrown || first) return;
    first = std::move(thrown);
    io.stop();
  }
  asio::io_context& io;
  std::exception_ptr first;
};

NetworkOptions network_options() {
  NetworkOptions options;
  options.node.log = [](LogLevel level, std::string_view line) {
    if (level >= LogLevel::error) std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  return options;
}

awaitable<void> ignore(NodeId, Message) { co_return; }

// The serving process.

struct Server {
  std::shared_ptr<Network> network;
  Conduit conduit;
  Numbers numbers;
};

struct Serving {
  Serving(asio::io_context& io, std::size_t count, Failure& failed) : failure(failed), servers(count) {
    for (Server& server : servers) {
      NetworkOptions options = network_options();
      options.listen = {"tcp://127.0.0.1:0"};
      server.network = std::make_shared<Network>(io.get_executor(), std::move(options));
      server.conduit = server.network->register_processor("numbers", [this, &server](NodeId origin, Message message) {
        return take(server, origin, std::move(message));
      });
      server.network->start();
    }
    where = servers.front().network->register_processor(
        "where", [this](NodeId origin, Message message) { return tell(origin, std::move(message)); });
  }
  awaitable<void> take(Server& server, NodeId origin, Message message) {
    try {
      server.numbers.check(origin, message.payload, conduit_bytes);
    } catch (...) {
      failure(std::current_exception());
    }
    co_return;
  }
  awaitable<void> tell(NodeId origin, Message message) {
    ending = message.payload.text() == "that was all";
    if (ending) co_return;
    std::string lines;
    for (const Server& server : servers)
      lines += server.network->local_id().to_string() + " " + server.network->addresses().front() + "\n";
    co_await where.send(origin, Message(std::move(lines)));
  }
  bool over() const {
    return ending && std::all_of(servers.begin(), servers.end(),
                                 [](const Server& server) { return server.network->node().links_count() == 0; });
  }
  Failure& failure;
  std::vector<Server> servers;
  Conduit where;
  bool ending = false;
};

void serve(const Options& options) {
  if (!options.workload.starts_with("conduit") && options.workload != "first_message") {
    bench::say_listening(0); // all nodes are in the driving process
    return;
  }
  asio::io_context io(1);
  Failure failure(io);
  Serving serving(io, options.workload == "conduit_50" ? 50 : 1, failure);
  while (!serving.servers.back().network->is_ready()) io.run_one();
  const std::string address = serving.servers.front().network->addresses().front();
  bench::say_listening(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  while (!serving.over() && !failure.first) io.run_one();
  if (failure.first) std::rethrow_exception(failure.first);
}

// Conduits.

/// The node that sends, and those to which it does.
struct Sender {
  explicit Sender(const Executor& executor)
      : network(std::make_shared<Network>(executor, network_options())),
        numbers(network->register_processor("numbers", ignore)),
        where(network->register_processor("where", [this](NodeId, Message message) { return hear(message); })) {
    network->start();
  }
  awaitable<void> hear(Message message) {
    network->address_book().parse(message.payload.text());
    heard.notify_all();
    co_return;
  }
  awaitable<void> find_all(std::string port) {
    co_await network->ready();
    first = co_await network->connect("tcp://127.0.0.1:" + port);
    co_await where.send(first, "?");
    while (nodes().size() <= 1) {
      co_await heard.wait();
      if (!nodes().empty()) break;
    }
  }
  std::vector<NodeId> nodes() const { return network->address_book().nodes(); }

  std::shared_ptr<Network> network;
  Conduit numbers;
  Conduit where;
  NodeId first;
  Signal heard;
};

void check(const SendResult& result) {
  if (!result) throw std::runtime_error(result.text);
}

awaitable<Measured> drive_conduits(Sender& sender, const Options& options) {
  const std::vector<NodeId> nodes = sender.nodes();
  std::vector<std::uint64_t> next(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) // the connections are there
    check(co_await sender.numbers.send_acked(nodes[i], numbered(conduit_bytes, next[i]++)));
  std::uint64_t sent = 0;
  const Goal goal(options);
  const double begin = bench::now_seconds();
  while (!goal.reached(sent)) {
    for (int i = 0; i < 500; ++i, ++sent) { // the clock is read rarely
      const std::size_t to = sent % nodes.size();
      if (options.skip_one && sent == 3) ++next[to];
      check(co_await sender.numbers.send(nodes[to], numbered(conduit_bytes, next[to]++)));
    }
  }
  for (std::size_t i = 0; i < nodes.size(); ++i) // the order is kept: with the last one all have been processed
    check(co_await sender.numbers.send_acked(nodes[i], numbered(conduit_bytes, next[i]++), std::chrono::seconds(60)));
  Measured measured;
  measured.value = static_cast<double>(sent) / (bench::now_seconds() - begin);
  measured.unit = "sends/s";
  co_return measured;
}

awaitable<Measured> drive_first_messages(Sender& sender, const Options& options) {
  bench::RoundTrips times;
  const Goal goal(options);
  std::uint64_t number = 0;
  while (times.count() == 0 || !goal.reached(times.count())) {
    for (const LinkInfo& view : sender.network->node().links())
      sender.network->node().end_link(view.trunk, Duration::zero(), End(error::draining, "once more"));
    while (sender.network->node().links_count() > 0) co_await asio::post(asio::use_awaitable);
    if (options.skip_one && number == 3) ++number;
    times.begin();
    check(co_await sender.numbers.send_acked(sender.first, numbered(conduit_bytes, number++)));
    times.end();
  }
  const bench::Result result = times.result();
  Measured measured;
  measured.value = result.value;
  measured.unit = result.unit;
  co_return measured;
}

// Broadcasts.

/// Counts what is written to the connections of one node.
class CountingTransport final : public test::PassingTransport {
 public:
  CountingTransport(std::unique_ptr<Transport> transport, std::shared_ptr<std::uint64_t> bytes)
      : PassingTransport(std::move(transport)), bytes_(std::move(bytes)) {}
  awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
    for (const auto& piece : pieces) *bytes_ += piece.size();
    return transport_->write(pieces);
  }

 private:
  std::shared_ptr<std::uint64_t> bytes_;
};

using CountingMedium = test::PassingMedium<CountingTransport, std::uint64_t>;

struct Member {
  std::shared_ptr<std::uint64_t> bytes = std::make_shared<std::uint64_t>(0); // on its connections
  std::shared_ptr<Network> network;
  std::shared_ptr<gossip::Gossip> service; // null in the mesh
  Conduit conduit; // of the mesh
  Numbers numbers;
};

struct Members {
  Members(asio::io_context& io, std::uint32_t count, bool by_tree, Failure& failed) : failure(failed), members(count) {
    const auto memory = std::make_shared<MemoryMedium>();
    std::vector<NodeId> ids;
    for (std::uint32_t number = 0; number < count; ++number)
      ids.push_back(*NodeId::from_bytes(fmt::format("member{:010}", number)));
    const auto book = gossip::Book::make(1, ids);
    for (std::uint32_t number = 0; number < count; ++number) {
      Member& member = members[number];
      NetworkOptions options = network_options();
      options.node.id = ids[number];
      options.node.media["mem"] = std::make_shared<CountingMedium>(memory, member.bytes);
      options.listen = {fmt::format("mem://{}", number)};
      for (std::uint32_t other = 0; other < count; ++other)
        if (other != number) options.book.add(ids[other], fmt::format("mem://{}", other));
      member.network = std::make_shared<Network>(io.get_executor(), std::move(options));
      member.network->start();
      if (by_tree) {
        gossip::GossipOptions how;
        how.on_message = [this, &member](NodeId origin, Payload payload) {
          return take(member, origin, std::move(payload));
        };
        member.service = std::make_shared<gossip::Gossip>(member.network, std::move(how));
        member.service->set_book(book);
        member.service->start(scope);
      } else {
        member.conduit = member.network->register_processor("mesh", [this, &member](NodeId origin, Message message) {
          return take(member, origin, std::move(message.payload));
        });
      }
    }
    others = std::move(ids);
    others.erase(others.begin());
  }
  awaitable<void> take(Member& member, NodeId origin, Payload payload) {
    try {
      member.numbers.check(origin, payload, broadcast_bytes);
      ++delivered;
    } catch (...) {
      failure(std::current_exception());
    }
    changed.notify_all();
    co_return;
  }
  awaitable<void> broadcast_one(std::uint64_t number) {
    const std::uint64_t wanted = delivered + others.size();
    Member& originator = members.front();
    if (originator.service) {
      originator.service->broadcast(numbered(broadcast_bytes, number));
    } else {
      const std::vector<SendResult> results =
          co_await originator.conduit.broadcast(others, Message(numbered(broadcast_bytes, number)));
      for (const SendResult& result : results) check(result);
    }
    while (delivered < wanted) co_await changed.wait();
  }
  /// Until nobody has anything more to say about what was broadcast: the cleanup asks a second later.
  awaitable<void> settle() {
    for (std::uint64_t before = ~0ull; members.front().service && before != messages();) {
      before = messages();
      co_await sleep_for(std::chrono::milliseconds(1500));
    }
  }
  std::uint64_t messages() const {
    std::uint64_t sum = 0;
    for (const Member& member : members) sum += messages_of(member);
    return sum;
  }
  static std::uint64_t messages_of(const Member& member) {
    std::uint64_t sum = 0;
    for (const auto& [name, traffic] : member.network->metrics().channels) sum += traffic.messages_sent;
    return sum;
  }
  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const Member& member : members) sum += *member.bytes;
    return sum;
  }

  Failure& failure;
  std::shared_ptr<Scope> scope = Scope::make_root({});
  std::vector<Member> members;
  std::vector<NodeId> others; // than the originator
  std::uint64_t delivered = 0;
  Signal changed;
};

awaitable<Measured> drive_broadcasts(Members& all, const Options& options) {
  for (const Member& member : all.members) co_await member.network->ready();
  for (const Member& member : all.members)
    if (member.service) co_await member.service->ready();
  std::uint64_t number = 0;
  for (int i = 0; i < 2; ++i) co_await all.broadcast_one(number++); // every connection of its way is there
  co_await all.settle();
  const Member& originator = all.members.front();
  const std::uint64_t messages = all.messages();
  const std::uint64_t bytes = all.bytes();
  const std::uint64_t messages_here = Members::messages_of(originator);
  const std::uint64_t bytes_here = *originator.bytes;

  bench::RoundTrips times;
  const Goal goal(options);
  while (times.count() == 0 || (times.count() < broadcasts_max && !goal.reached(times.count()))) {
    if (options.skip_one && times.count() == 0) ++number;
    times.begin();
    co_await all.broadcast_one(number++);
    times.end();
  }
  co_await all.settle();
  const auto each = [&](std::uint64_t after, std::uint64_t before) {
    return static_cast<double>(after - before) / static_cast<double>(times.count());
  };
  Measured measured;
  measured.more = {{"messages", each(all.messages(), messages)},
                   {"bytes", each(all.bytes(), bytes)},
                   {"originator_messages", each(Members::messages_of(originator), messages_here)},
                   {"originator_bytes", each(*originator.bytes, bytes_here)}};
  measured.value = times.result().value / 1000;
  measured.unit = "ms";
  all.scope->cancel();
  for (const Member& member : all.members)
    if (member.service) co_await member.service->done();
  for (const Member& member : all.members) co_await member.network->stop();
  co_return measured;
}

// The driving process.

awaitable<void> drive_sender(Sender& sender, const Options& options, Measured& measured) {
  co_await sender.find_all(options.port);
  if (options.workload == "first_message") {
    measured = co_await drive_first_messages(sender, options);
  } else {
    measured = co_await drive_conduits(sender, options);
  }
  check(co_await sender.where.send_acked(sender.first, "that was all"));
  co_await sender.network->stop();
}

awaitable<void> drive_members(Members& all, const Options& options, Measured& measured) {
  measured = co_await drive_broadcasts(all, options);
}

Measured drive(const Options& options) {
  asio::io_context io(1);
  Failure failure(io);
  Measured measured;
  const auto ended = [&failure](std::exception_ptr thrown) { failure(std::move(thrown)); };
  const std::string& workload = options.workload;
  if (workload.starts_with("broadcast_") || workload.starts_with("mesh_")) {
    const auto count = static_cast<std::uint32_t>(std::stoul(workload.substr(workload.find('_') + 1)));
    Members all(io, count, workload.starts_with("broadcast_"), failure);
    asio::co_spawn(io, drive_members(all, options, measured), ended);
    io.run();
  } else {
    Sender sender(io.get_executor());
    asio::co_spawn(io, drive_sender(sender, options, measured), ended);
    io.run();
  }
  if (failure.first) std::rethrow_exception(failure.first);
  return measured;
}

} // namespace

int main(int argc, char** argv) {
  return bench::exit_code_of(argv[0], [&] {
    const Options options = bench::parse_own(
        argc, argv, "network",
        {"conduit_1", "conduit_50", "first_message", "broadcast_27", "broadcast_81", "mesh_27", "mesh_81"});
    if (options.serving) {
      serve(options);
      return;
    }
    const Measured measured = drive(options);
    std::string more;
    for (const auto& [name, value] : measured.more)
      more += fmt::format("{}\"{}\": {:.6g}", more.empty() ? "" : ", ", name, value);
    std::printf("{\"value\": %.6g, \"unit\": \"%s\", \"more\": {%s}}\n", measured.value, measured.unit, more.c_str());
  });
}
