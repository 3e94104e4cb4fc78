// The snippets of docs/guides/ that are not in examples/: compiled, run, and true.
#include "peer/node.hpp"
#include "tests/support/coroutine.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

using namespace trunkline;

namespace {

constexpr std::int32_t status_not_found = 5;

// rpc Get(Key) returns (Value)
awaitable<void> get(Circuit circuit) {
  const std::optional<Fragment> key = co_await circuit.receive();
  if (key.value().payload.text() == "colour") {
    co_await circuit.send(Fragment(0, "blue"));
  } else {
    co_await circuit.send(Fragment::error("no such key", status_not_found));
  }
}

awaitable<std::string> look_up(LocalPeer& me, std::string address, std::string key) {
  try {
    const Fragment value = co_await me.request(address, "get", Fragment(0, key), std::chrono::seconds(2));
    co_return std::string(value.payload.text());
  } catch (const ErrorReply& refusal) {
    co_return "status " + std::to_string(refusal.reply().op) + ", " + refusal.reply().err;
  }
}

// rpc List(Empty) returns (stream Value)
awaitable<void> list(Circuit circuit) {
  for (const char* value : {"blue", "green", "red"}) {
    Fragment fragment(0, value);
    co_await circuit.send(std::move(fragment)); // waits when the caller is a window behind
  }
} // returning ends the stream

awaitable<std::vector<std::string>> list_all(LocalPeer& me, std::string address) {
  Circuit circuit = me.join_or_start(address, "list", std::nullopt);
  std::vector<std::string> values;
  while (auto value = co_await circuit.receive()) values.emplace_back(value->payload.text());
  co_return values;
}

// rpc Sum(stream Number) returns (Number), and with an answer for each number it is a stream both ways.
awaitable<void> sum(Circuit circuit) {
  Fragment total(0);
  while (auto number = co_await circuit.receive()) total.part += number->part;
  co_await circuit.send(std::move(total));
}

awaitable<std::int64_t> sum_up_to(LocalPeer& me, std::string address, std::int64_t last) {
  Circuit circuit = me.join_or_start(address, "sum", std::nullopt);
  for (std::int64_t i = 1; i <= last; ++i) {
    Fragment number(0);
    number.part = i;
    co_await circuit.send(std::move(number));
  }
  circuit.finish(); // WritesDone
  const std::optional<Fragment> total = co_await circuit.receive();
  co_return total.value().part;
}

// PUB: each subscriber has a circuit of its own. One that is behind misses samples, and the others do not wait for it.
class Publisher {
 public:
  void add(Circuit subscriber) { subscribers_.push_back(std::move(subscriber)); }
  std::size_t count() const { return subscribers_.size(); }

  // How many subscribers missed it.
  std::size_t publish(const std::string& sample) {
    std::size_t missed = 0;
    std::erase_if(subscribers_, [&](Circuit& subscriber) {
      const SendOutcome outcome = subscriber.send_one_way(Fragment(0, sample));
      if (outcome == SendOutcome::no_credit) ++missed;
      return outcome == SendOutcome::closed; // it has left
    });
    return missed;
  }
  void finish() {
    for (Circuit& subscriber : subscribers_) subscriber.finish();
  }

 private:
  std::vector<Circuit> subscribers_;
};

awaitable<void> subscribe(Publisher& publisher, CircuitInbox& circuits) {
  while (auto circuit = co_await circuits.next()) publisher.add(std::move(*circuit));
}

// PUSH: the next worker that has room gets the job. When none has, this waits for one of them, by turns.
awaitable<void> push(std::vector<Circuit>& workers, std::size_t& turn, Fragment job) {
  for (std::size_t tried = 0; tried < workers.size(); ++tried) {
    Circuit& worker = workers[turn++ % workers.size()];
    if (worker.send_one_way(job) == SendOutcome::queued) co_return; // a job that was not queued is untouched
  }
  co_await workers[turn++ % workers.size()].send(std::move(job));
}

awaitable<void> with_nodes(std::function<awaitable<void>(Node&, Node&, std::string)> body) {
  const Executor executor = co_await asio::this_coro::executor;
  Node here(executor);
  Node there(executor);
  there.serve("get", get);
  there.serve("list", list);
  there.serve("sum", sum);
  co_await body(here, there, there.listen("tcp://127.0.0.1:0"));
  co_await here.close();
  co_await there.close();
}

} // namespace

static awaitable<void> calls_of_four_kinds(Node& here, Node&, std::string address);
TEST_CASE("guides: the four kinds of gRPC calls are circuits") { test::run_coroutine(with_nodes(calls_of_four_kinds)); }
static awaitable<void> calls_of_four_kinds(Node& here, Node&, std::string address) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  const std::string found = co_await look_up(*me, address, "colour");
  CHECK(found == "blue");
  const std::string missing = co_await look_up(*me, address, "taste");
  CHECK(missing == "status 5, no such key");
  const std::vector<std::string> all = co_await list_all(*me, address);
  CHECK(all == std::vector<std::string>{"blue", "green", "red"});
  const std::int64_t total = co_await sum_up_to(*me, address, 1000);
  CHECK(total == 500500);
}

static awaitable<void> publishing(Node& here, Node& there, std::string address);
TEST_CASE("guides: a publisher leaves out what a slow subscriber has no room for, and nobody else waits") {
  test::run_coroutine(with_nodes(publishing));
}
static awaitable<void> publishing(Node& here, Node& there, std::string address) {
  Publisher publisher;
  there.register_service("news", [&](LocalPeer&, CircuitInbox& in) { return subscribe(publisher, in); });
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  Circuit quick = me->join_or_start(address, "news", std::nullopt);
  Circuit slow = me->join_or_start(address, "news", std::nullopt);
  co_await quick.accepted();
  co_await slow.accepted();
  while (publisher.count() < 2) co_await asio::post(here.executor(), asio::use_awaitable);

  std::size_t missed = 0;
  for (int i = 0; i < 2000; ++i) {
    missed += publisher.publish("a sample of some bytes");
    const std::optional<Fragment> sample = co_await quick.receive();
    CHECK(sample.has_value());
  }
  CHECK(missed > 0); // what the slow one had no room for
  CHECK(missed < 2000);
  publisher.finish();
  std::size_t heard = 0;
  while (auto sample = co_await slow.receive()) ++heard;
  CHECK(heard + missed == 2000);
  quick.close();
}

static awaitable<void> pushing(Node& here, Node&, std::string address);
TEST_CASE("guides: jobs are pushed to the workers that have room") { test::run_coroutine(with_nodes(pushing)); }
static awaitable<void> pushing(Node& here, Node&, std::string address) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("me");
  std::vector<Circuit> workers;
  for (int i = 0; i < 3; ++i) workers.push_back(me->join_or_start(address, "sum", std::nullopt));
  std::size_t turn = 0;
  for (int i = 0; i < 5000; ++i) {
    Fragment job(0);
    job.part = 1;
    co_await push(workers, turn, std::move(job));
  }
  std::int64_t done = 0;
  for (Circuit& worker : workers) {
    worker.finish();
    const std::optional<Fragment> total = co_await worker.receive();
    CHECK(total.value().part > 0);
    done += total.value().part;
  }
  CHECK(done == 5000);
}
