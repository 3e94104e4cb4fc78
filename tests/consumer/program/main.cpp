// A program of somebody else: her own peer/node.hpp, her own use of Asio and Beast, and trunkline beside them.
#include "peer/node.hpp"

#include <trunkline/async/run.hpp>
#include <trunkline/peer/node.hpp>
#include <trunkline/version.hpp>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <cstdio>
#include <exception>

bool own_timer();
bool own_http();

namespace {

long total = 0;
bool refused = false;

trunkline::awaitable<void> tally(trunkline::Circuit circuit) {
  trunkline::Fragment sum;
  while (auto fragment = co_await circuit.receive()) sum.part += fragment->payload.size();
  co_await circuit.send(std::move(sum));
}

trunkline::awaitable<void> program(trunkline::Executor executor) {
  boost::asio::steady_timer timer(executor, std::chrono::milliseconds(1));
  co_await timer.async_wait(boost::asio::use_awaitable);

  trunkline::Node here(executor), there(executor);
  there.serve("tally", tally);
  const std::string url = there.listen("tcp://127.0.0.1:0");
  const auto me = here.new_peer("counter");
  trunkline::Circuit circuit = me->join_or_start(url, "tally", trunkline::Fragment(0, "1234"));
  for (int i = 0; i < 100; ++i) co_await circuit.send(trunkline::Fragment(i, "12345678"));
  circuit.finish();
  if (auto answer = co_await circuit.receive()) total = static_cast<long>(answer->part);
  try {
    here.listen("nonsense");
  } catch (const std::exception&) { // thrown in the library, caught here
    refused = true;
  }
}

} // namespace

int main() {
  const bool timer = own_timer(), http = own_http();
  trunkline::run(program);
  std::printf("timer %d, http %d, tally %ld, refused %d, hers %d, version %s\n", timer, http, total, refused,
              Node().value, TRUNKLINE_VERSION_STRING);
  return timer && http && total == 804 && refused ? 0 : 1;
}
