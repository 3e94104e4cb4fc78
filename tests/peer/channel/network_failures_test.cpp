// The seventeen things that go wrong with connections and that an earlier project left untested, over networks whose
// connections a test can break, and hostile far ends that write bytes by hand.
#include "tests/peer/channel/town.hpp"
#include "tests/peer/faulty.hpp"
#include "tests/support/passing_medium.hpp"

#include "circuit/trunk.hpp"

using namespace trunkline;
using namespace trunkline::test;

namespace {

/// A couple of which `one` goes through a network that the test breaks.
struct FragileCouple : Couple {
  FragileCouple() : Couple() {}
  explicit FragileCouple(std::shared_ptr<std::shared_ptr<FaultyMedium>> into, FailPoint* point = nullptr)
      : Couple([into, point](NetworkOptions& options) {
          if (options.node.name != "one") return;
          *into = std::make_shared<FaultyMedium>(options.node.media["sim"], point);
          options.node.media["sim"] = *into;
        }) {}
};

/// A transport operation that fails when it is told to: the n-th dial, write or read of one network.
struct Breakable {
  enum class What { nothing, dial, read, write };
  struct State {
    What what = What::nothing;
    std::size_t after = 0; // operations of this kind that still work

    void pass(What kind, const char* failure) {
      if (what != kind) return;
      if (after > 0) {
        --after;
        return;
      }
      what = What::nothing;
      throw boost::system::system_error(asio::error::connection_reset, failure);
    }
  };
  class Wrapped final : public PassingTransport {
   public:
    Wrapped(std::unique_ptr<Transport> transport, std::shared_ptr<State> state)
        : PassingTransport(std::move(transport)), state_(std::move(state)) {}
    awaitable<std::size_t> read_some(std::span<std::byte> into) override {
      const std::size_t count = co_await transport_->read_some(into);
      state_->pass(What::read, "planted read failure");
      co_return count;
    }
    awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
      state_->pass(What::write, "planted write failure");
      return transport_->write(pieces);
    }

   private:
    std::shared_ptr<State> state_;
  };
  class Medium final : public PassingMedium<Wrapped, State> {
   public:
    using PassingMedium::PassingMedium;
    awaitable<std::unique_ptr<Transport>> dial(std::string address) override {
      state_->pass(What::dial, "planted dial failure");
      return PassingMedium::dial(std::move(address));
    }
  };
};

/// A couple of which `one` fails where the test says.
struct BreakableCouple : Couple {
  explicit BreakableCouple(std::shared_ptr<Breakable::State> at = std::make_shared<Breakable::State>(),
                           bool both = false)
      : Couple([at, both](NetworkOptions& options) {
          if (options.node.name != "one" && !both) return;
          auto& medium = options.node.media["sim"];
          medium = std::make_shared<Breakable::Medium>(medium, at);
        }),
        state(std::move(at)) {}
  std::shared_ptr<Breakable::State> state;
};

/// Writes bytes by hand to the listener at an address, and keeps the connection open as long as it is wanted.
struct Stranger {
  Stranger(Town& in, std::string address) : town(in) {
    const auto dial = [&]() -> awaitable<void> { transport = co_await in.world.medium("stranger")->dial(address); };
    in.world.run(dial());
  }
  void write(std::string bytes) {
    const auto send = [&]() -> awaitable<void> {
      const std::span<const std::byte> piece = std::as_bytes(std::span(bytes));
      co_await transport->write(std::span(&piece, 1));
    };
    town.world.run(send());
  }
  /// Reads until the far side ends it, and says when.
  TimePoint ended() {
    const auto read = [&]() -> awaitable<void> {
      std::array<std::byte, 4096> buffer;
      try {
        for (std::size_t count = 1; count != 0;) count = co_await transport->read_some(buffer);
      } catch (const boost::system::system_error&) {}
    };
    town.world.run(read());
    return town.world.now();
  }
  Town& town;
  std::unique_ptr<Transport> transport;
};

awaitable<void> send_into(const Conduit& conduit, NodeId to, std::string text, SendResult* into,
                          Duration deadline = 1h) {
  *into = co_await conduit.send(to, Message(std::move(text)), deadline);
}

awaitable<void> send_acked_into(const Conduit& conduit, NodeId to, std::string text, SendResult* into,
                                Duration deadline = 1h) {
  *into = co_await conduit.send_acked(to, Message(std::move(text)), deadline);
}

/// What was lost may be sent again: the connection comes back by itself.
void check_recovered(Couple& couple) {
  const SendResult result = couple.run(couple.from_one.send_acked(couple.other->local_id(), "recovered", 1min));
  CHECK(result);
  CHECK(couple.at_other.count("recovered") == 1);
  CHECK(couple.one->metrics().queue_bytes == 0);
  couple.stop();
}

} // namespace

TEST_CASE("network: many writers at once send whole messages in the order of their calls (K13 concurrent write)") {
  Couple couple;
  couple.world.set_link("one", "other", [] {
    sim::LinkOptions link;
    link.bytes_per_second = 1'000'000;
    return link;
  }());
  std::vector<SendResult> results(60);
  std::vector<std::string> texts;
  Tasks tasks(couple.world.executor());
  for (std::size_t i = 0; i < results.size(); ++i) {
    texts.push_back(std::to_string(i) + std::string(i * 997 % 40'000, 'x'));
    tasks.spawn(send_into(couple.from_one, couple.other->local_id(), texts.back(), &results[i]));
  }
  couple.run(tasks.join());
  couple.run(couple.at_other.at_least(results.size()));
  for (const SendResult& result : results) CHECK(result);
  CHECK(couple.at_other.texts() == texts);
  couple.stop();
}

TEST_CASE(
    "network: a write that fails ends the connection, waiters hear of it, and the next send reconnects (K13 write "
    "failure)") {
  for (std::size_t after = 0; after < 4; ++after) {
    CAPTURE(after);
    BreakableCouple couple;
    REQUIRE(couple.send("first"));
    couple.run(couple.at_other.at_least(1));
    couple.state->after = after;
    couple.state->what = Breakable::What::write;
    SendResult acked;
    Tasks tasks(couple.world.executor());
    tasks.spawn(send_acked_into(couple.from_one, couple.other->local_id(), "in danger", &acked));
    couple.settle(30s);
    if (after == 0) CHECK(acked.error == SendError::connection_lost);
    couple.run(tasks.join());
    couple.state->what = Breakable::What::nothing;
    check_recovered(couple);
  }
}

TEST_CASE("network: last words that cannot be written do not keep it from stopping (K13 flush failure)") {
  BreakableCouple couple;
  REQUIRE(couple.send("first"));
  couple.run(couple.at_other.at_least(1));
  couple.state->what = Breakable::What::write;
  couple.stop();
  CHECK(couple.state->what == Breakable::What::nothing); // it did strike
}

TEST_CASE(
    "network: a sender that goes away leaves what it had sent, and the receiver forgets the connection (K13 writer "
    "closes)") {
  Couple couple;
  for (int i = 0; i < 100; ++i) REQUIRE(couple.send(std::to_string(i)));
  couple.run(couple.one->stop()); // an orderly end: what it sent arrives
  couple.settle(1s);
  CHECK(couple.at_other.heard.size() == 100);
  CHECK(couple.other->metrics().connections_inbound == 0);
  CHECK_FALSE(couple.other->metrics().peers.at(couple.one->local_id()).connected);
  CHECK(couple.run(couple.from_other.send(couple.one->local_id(), "x")).error == SendError::connect_failed);
  couple.stop();
}

TEST_CASE("network: a message beyond fragment_bytes_max is refused here and harms nothing (K13 payload too big)") {
  Couple couple([](NetworkOptions& options) { options.node.limits.fragment_bytes_max = 100'000; });
  for (int i = 0; i < 2; ++i) { // without a connection, and with one
    const SendResult result = couple.send(std::string(100'001, 'x'));
    CHECK(result.error == SendError::too_large);
    CHECK(result.text.find("100001") != std::string::npos);
    CHECK(couple.send(std::string(100'000, 'y')));
  }
  CHECK(couple.run(couple.from_one.write(couple.other->local_id(), std::string(100'001, 'x'))).error ==
        SendError::too_large);
  Args many;
  for (int i = 0; i < 200; ++i) many.set("key" + std::to_string(i), "value");
  CHECK(couple.run(couple.from_one.send(couple.other->local_id(), Message(Payload("x"), many))).error ==
        SendError::too_large);
  couple.settle(1s);
  CHECK(couple.at_other.heard.size() == 2);
  CHECK(failures(couple.one->metrics().channels.at("chat"), SendError::too_large) == 4);
  CHECK(couple.one->metrics().dials == 1);
  couple.stop();
}

TEST_CASE("network: a read that fails ends the connection, and the next send reconnects (K13 reader failure)") {
  BreakableCouple couple;
  REQUIRE(couple.send("first"));
  couple.run(couple.at_other.at_least(1));
  couple.state->what = Breakable::What::read;
  SendResult acked;
  Tasks tasks(couple.world.executor());
  tasks.spawn(send_acked_into(couple.from_one, couple.other->local_id(), "in danger", &acked));
  couple.run(tasks.join());
  CHECK(acked.error == SendError::connection_lost); // its ack was never read
  check_recovered(couple);
}

TEST_CASE(
    "network: bytes that are no protocol end their connection with a reason, and no other (K13 decoder failure)") {
  Couple couple;
  REQUIRE(couple.send("first"));
  {
    Stranger stranger(couple, "sim://other");
    stranger.write(std::string("\x89TRNK\r\n\x01", 8) + std::string(64, '\xFF')); // a preface, and then nonsense
    stranger.ended();
  }
  CHECK(couple.send("second"));
  couple.run(couple.at_other.at_least(2));
  CHECK(couple.other->metrics().connections_inbound == 1);
  CHECK(couple.one->metrics().dials == 1);
  CHECK(couple.log.count("other: trunk with") >= 1);
  couple.stop();
}

TEST_CASE(
    "network: a connection whose first read fails is forgotten, and accepting goes on (K13 read routine I/O failure)") {
  const auto state = std::make_shared<Breakable::State>();
  BreakableCouple couple(state, true);
  state->what = Breakable::What::read; // whichever side reads first
  const SendResult result = couple.send("first");
  CHECK(state->what == Breakable::What::nothing); // it did strike
  CHECK(result.error == SendError::connect_failed);
  couple.settle(30s);
  check_recovered(couple);
}

TEST_CASE(
    "network: garbage instead of a greeting is turned away at once, and accepting goes on (K13 read routine decoder "
    "failure)") {
  Couple couple;
  for (const char* greeting : {"GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n", "\x16\x03\x01 not ours", "\n"}) {
    CAPTURE(greeting);
    Stranger stranger(couple, "sim://other");
    const TimePoint begin = couple.world.now();
    stranger.write(greeting);
    CHECK(stranger.ended() - begin < 5s); // not only at its deadline
  }
  CHECK(couple.send("fine"));
  couple.run(couple.at_other.at_least(1));
  CHECK(couple.other->node().counters().connections_unrecognised == 4);
  couple.stop();
}

TEST_CASE(
    "network: a blocked processor stalls its channel alone, its sender sees its deadline, and nothing is lost (K13 "
    "sink blocks)") {
  Couple couple;
  Recorder free_recorder;
  Conduit free_there = couple.other->register_processor("free", free_recorder.processor());
  Conduit free_here = couple.one->register_processor("free", couple.at_one.processor());
  couple.at_other.blocked = true;
  SendResult last;
  std::size_t accepted = 0;
  for (; accepted < 100; ++accepted) {
    last = couple.send(std::string(64 * 1024, 'x'), 1s);
    if (!last) break;
  }
  CHECK(last.error == SendError::timed_out);
  CHECK(accepted >= 2);
  CHECK(accepted < 50); // bounded by credit, not by memory
  const TimePoint begin = couple.world.now();
  for (int i = 0; i < 100; ++i) CHECK(couple.run(free_here.send_acked(couple.other->local_id(), std::to_string(i))));
  CHECK(couple.world.now() - begin < 3s);
  CHECK(free_recorder.heard.size() == 100);
  CHECK(couple.at_other.heard.empty());
  couple.at_other.unblock();
  couple.settle(5s);
  CHECK(couple.at_other.heard.size() == accepted);
  free_here.close();
  free_there.close();
  couple.stop();
}

TEST_CASE(
    "network: an address that cannot be bound is irrecoverable, is named, and leaves nothing behind (K13 read routine "
    "start failure)") {
  Town town;
  town.make("one");
  NetworkOptions options;
  options.node.media["sim"] = town.world.medium("one");
  options.node.random = town.world.random("again");
  options.listen = {"sim://one:free", "sim://one"}; // the second is taken
  std::string failed;
  const auto scope = Scope::make_root([&](const std::string& component, std::exception_ptr failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& thrown) {
      failed = component + ": " + thrown.what();
    }
  });
  const auto network = std::make_shared<Network>(town.world.executor(), std::move(options));
  network->start(scope);
  town.world.run(network->done());
  CHECK_FALSE(network->is_ready());
  CHECK(failed.find("sim://one") != std::string::npos);
  CHECK(scope->is_cancelled());
  const auto free_again =
      town.world.medium("one")->listen(town.world.executor(), "sim://one:free"); // the first one is given back
  town.stop();
}

TEST_CASE(
    "network: a dial that fails before it begins is an error of that send alone (K13 write routine start failure)") {
  BreakableCouple couple;
  couple.state->what = Breakable::What::dial;
  const SendResult result = couple.send("first");
  CHECK(result.error == SendError::connect_failed);
  CHECK(result.text.find("planted dial failure") != std::string::npos);
  couple.settle(1s);
  check_recovered(couple);
}

TEST_CASE(
    "network: when it stops, sends and acks that wait get closed, and so does every later one (K13 runner stops)") {
  Couple couple;
  couple.at_other.blocked = true;
  REQUIRE(couple.send("first"));
  couple.settle();
  SendResult acked;
  SendResult connecting;
  SendResult blocked;
  const NodeId silent = *NodeId::from_bytes("0123456789abcdef");
  couple.one->address_book().add(silent, "sim://silent");
  couple.world.medium("silent");
  couple.world.partition("one", "silent");
  Tasks tasks(couple.world.executor());
  tasks.spawn(send_acked_into(couple.from_one, couple.other->local_id(), "x", &acked));
  tasks.spawn(send_into(couple.from_one, silent, "x", &connecting));
  for (int i = 0; i < 20; ++i)
    tasks.spawn(send_into(couple.from_one, couple.other->local_id(), std::string(64 * 1024, 'x'), &blocked));
  couple.settle();
  const TimePoint begin = couple.world.now();

  couple.run(couple.one->stop());

  CHECK(couple.world.now() - begin < 5s);
  couple.run(tasks.join());
  for (const SendResult* result : {&acked, &connecting, &blocked}) CHECK(result->error == SendError::closed);
  CHECK(couple.send("late").error == SendError::closed);
  couple.at_other.unblock();
  couple.stop();
}

TEST_CASE(
    "network: a send whose caller is cancelled ends at once, and the attempt serves the others (K13 context "
    "cancelled)") {
  Couple couple;
  couple.world.partition("one", "other");
  SendResult staying;
  SendResult leaving;
  Tasks patient(couple.world.executor());
  patient.spawn(send_into(couple.from_one, couple.other->local_id(), "stays", &staying));
  {
    Tasks impatient(couple.world.executor());
    impatient.spawn(send_into(couple.from_one, couple.other->local_id(), "leaves", &leaving));
    couple.settle();
    CHECK(couple.one->metrics().queue_bytes == 11);
    impatient.cancel();
    couple.run(impatient.join());
  }
  CHECK(couple.one->metrics().queue_bytes == 5);
  couple.world.heal("one", "other");
  couple.run(patient.join());
  couple.settle();
  CHECK(staying);
  CHECK(couple.at_other.texts() == std::vector<std::string>{"stays"});
  CHECK(couple.one->metrics().dials == 1);
  couple.stop();
}

TEST_CASE("network: a connection that the far side closed is replaced at the next send (K13 socket closed)") {
  Couple couple;
  REQUIRE(couple.send("first"));
  couple.run(couple.at_other.at_least(1));
  couple.other->node().end_link(couple.other->node().links().at(0).trunk, Duration::zero(),
                                End(error::draining, "enough"));
  couple.settle(1s);
  CHECK(couple.one->metrics().connections_outbound == 0);
  check_recovered(couple);
}

TEST_CASE("network: what a lost connection had brought is processed before what comes over the next one") {
  Couple couple;
  couple.at_other.blocked = true;
  std::size_t inside = 0;
  for (const char* text : {"1", "2", "3"}) REQUIRE(couple.send(text));
  couple.settle();
  couple.world.reset("one", "other");
  couple.settle();
  REQUIRE(couple.send("4"));
  for (int i = 0; i < 20; ++i) {
    couple.settle(50ms);
    inside = std::max(inside, couple.at_other.inside);
  }
  CHECK(inside == 1);
  couple.at_other.unblock();
  couple.settle(5s);
  CHECK(couple.at_other.texts() == std::vector<std::string>{"1", "2", "3", "4"});
  CHECK(couple.one->metrics().dials == 2);
  couple.stop();
}

TEST_CASE("network: a far node with many circuits on one channel gets one message at a time processed, as with one") {
  Couple couple;
  couple.at_other.blocked = true;
  const auto me = couple.one->node().new_peer("greedy");
  std::vector<Circuit> circuits;
  for (int i = 0; i < 50; ++i)
    circuits.push_back(me->join_or_start("sim://other", "network", Fragment(0, "x"), CircuitOptions("chat")));
  couple.settle(1s);
  CHECK(couple.at_other.inside == 1);
  couple.at_other.unblock();
  couple.settle(1s);
  CHECK(couple.at_other.heard.size() == 50);
  for (Circuit& circuit : circuits) circuit.close();
  couple.settle(1s);
  couple.stop();
}

TEST_CASE("network: after a loss it waits longer from attempt to attempt, and comes back (K13 socket errored)") {
  Couple couple;
  REQUIRE(couple.send("first"));
  couple.run(couple.at_other.at_least(1));
  couple.world.crash("other", sim::Crash::reset);
  couple.other.reset();
  couple.settle();
  std::vector<TimePoint> attempts;
  std::uint64_t dials = couple.one->metrics().dials;
  const NodeId far = couple.one->metrics().peers.begin()->first;
  for (int i = 0; i < 3000; ++i) { // a send every 20 ms for a minute
    const SendResult result = couple.run(couple.from_one.send(far, "x", 10ms));
    CHECK_FALSE(result);
    if (couple.one->metrics().dials != dials) attempts.push_back(couple.world.now());
    dials = couple.one->metrics().dials;
    couple.settle(20ms);
  }
  REQUIRE(attempts.size() >= 6);
  CHECK(attempts.size() < 20);
  CHECK(attempts[5] - attempts[4] > 3 * (attempts[2] - attempts[1]));
  couple.networks.pop_back();
  couple.from_other = Conduit();
}

TEST_CASE(
    "network: an address where nobody listens is an error that names node and address, and works once somebody does "
    "(K13 connector failure)") {
  Couple couple;
  const NodeId late = *NodeId::from_bytes("0123456789abcdef");
  couple.one->address_book().add(late, "sim://late");
  const SendResult result = couple.run(couple.from_one.send(late, "x"));
  CHECK(result.error == SendError::connect_failed);
  CHECK(result.text.find(late.to_string()) != std::string::npos);
  CHECK(result.text.find("sim://late") != std::string::npos);
  CHECK(failures(couple.one->metrics().peers.at(late), SendError::connect_failed) == 1);
  Recorder recorder;
  const auto network = couple.make("late", [&](NetworkOptions& options) { options.node.id = late; });
  Conduit conduit = network->register_processor("chat", recorder.processor());
  couple.settle(1s);
  CHECK(couple.run(couple.from_one.send_acked(late, "x")));
  conduit.close();
  couple.stop();
}

TEST_CASE("network: whichever I/O operation fails, all sends end, nothing arrives twice, and it stops") {
  const std::size_t runs = fail_each_io(
      [](FailPoint& point) {
        const auto fragile = std::make_shared<std::shared_ptr<FaultyMedium>>();
        FragileCouple couple(fragile, &point);
        std::vector<SendResult> results(5);
        for (std::size_t i = 0; i < results.size(); ++i) {
          results[i] = couple.run(couple.from_one.send_acked(couple.other->local_id(), std::to_string(i), 20s));
          const SendResult back = couple.run(couple.from_other.send(couple.one->local_id(), std::to_string(i), 20s));
        }
        couple.settle(5s);
        for (std::size_t i = 0; i < results.size(); ++i) {
          CHECK(couple.at_other.count(std::to_string(i)) <= 1);
          if (results[i]) CHECK(couple.at_other.count(std::to_string(i)) == 1);
        }
        couple.stop();
      },
      300);
  CHECK(runs > 10);
}
