#include "services/web/status.hpp"

#include "tests/peer/node_pair.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::test {
namespace {

std::string arg(const Fragment& fragment, std::string_view key) {
  return std::string(fragment.args.find(key).value_or("-"));
}

awaitable<std::vector<Fragment>> ask(Circuit& circuit, std::int64_t part) {
  Fragment word(1);
  word.part = part;
  co_await circuit.send(std::move(word));
  std::vector<Fragment> all;
  for (;;) {
    std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) break;
    all.push_back(std::move(*fragment));
    if (all.back().op == 5) break;
  }
  co_return all;
}

awaitable<void> read_nothing(Circuit circuit) { co_await circuit.ended(); }

} // namespace

static awaitable<void> links_and_circuits(NodePair& pair);
TEST_CASE("status: an answer names the node, each link, and each circuit with its credit") {
  both_ways(links_and_circuits);
}
static awaitable<void> links_and_circuits(NodePair& pair) {
  web::StatusOptions options;
  options.name = "there";
  options.circuits_max = 2;
  options.interval_min = std::chrono::milliseconds(1);
  web::serve_status(pair.there, options);
  pair.there.serve("sink", read_nothing);
  pair.here.serve("sink", read_nothing);
  const auto peer = pair.here.new_peer("asker");
  Circuit circuit = peer->new_circuit(PeerUrl::parse(pair.there_address + "/status"));
  const auto theirs = pair.there.new_peer("sender");
  Circuit sending = theirs->new_circuit(PeerUrl::parse(pair.here_address + "/sink"), Fragment(1, "some bytes"));

  const std::vector<Fragment> all = co_await ask(circuit, 7);
  REQUIRE(all.size() == 5);
  CHECK(all[0].op == 2);
  CHECK(arg(all[0], "name") == "there");
  CHECK(arg(all[0], "id") == pair.there.id().to_string());
  CHECK(arg(all[0], "links") == "1");
  CHECK(all[1].op == 3);
  CHECK(arg(all[1], "name") == "here");
  CHECK(arg(all[1], "yours") == "1");
  CHECK(arg(all[1], "dialled") == (pair.dialler == NodePair::Dialler::there ? "1" : "-"));
  int to_sink = 0;
  for (std::size_t i = 2; i < 4; ++i) {
    CHECK(all[i].op == 4);
    if (arg(all[i], "service") != "sender") continue;
    ++to_sink;
    CHECK(arg(all[i], "bytes_sent") == "10");
    CHECK(arg(all[i], "opened_here") == "1");
    CHECK(std::stoul(arg(all[i], "credit")) == sending.credit_bytes());
  }
  CHECK(to_sink == 1);
  CHECK(all[4].part == 7);

  Circuit third = theirs->new_circuit(PeerUrl::parse(pair.here_address + "/sink"));
  const std::vector<Fragment> again = co_await ask(circuit, 8);
  CHECK(again.size() == 5);
  CHECK(arg(again.back(), "more") == "1");
  circuit.close();
}

} // namespace trunkline::test
