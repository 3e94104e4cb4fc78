// Two nodes, and an admin port on one of them that is asked over memory.
#include "services/admin/port.hpp"

#include "services/admin/http.hpp"
#include "tests/peer/node_pair.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include <array>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace trunkline::test {
namespace {

using admin::WaitsFor;

constexpr const char* admin_address = "mem://admin";

awaitable<void> read_nothing(Circuit circuit) { co_await circuit.ended(); }

admin::PortOptions options_on(const NodePair& pair) {
  admin::PortOptions options;
  options.name = "test";
  options.medium = pair.memory;
  return options;
}

awaitable<admin::HttpAnswer> get(NodePair& pair, std::string target) {
  co_return co_await admin::http_get(pair.memory, admin_address, std::move(target), std::chrono::seconds(20));
}

/// Name with labels, and value.
std::map<std::string, double> samples_in(const std::string& text) {
  std::map<std::string, double> samples;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (!line.starts_with('#')) samples[line.substr(0, line.rfind(' '))] = std::stod(line.substr(line.rfind(' ')));
  return samples;
}

/// Sends until there is no credit, and leaves a send that waits.
awaitable<void> fill(Circuit& circuit) {
  for (;;) {
    Fragment fragment(1, std::string(8000, 'x'));
    if (circuit.send_one_way(fragment) == SendOutcome::no_credit && !circuit.congested()) break;
    co_await asio::post(asio::use_awaitable);
  }
}

awaitable<void> send_one(Circuit* circuit) {
  try {
    co_await circuit->send(Fragment(1, std::string(8000, 'x')));
  } catch (const boost::system::system_error&) {} // the test is over
}

const admin::CircuitView* find(const admin::View& view, const std::string& service, const std::string& remote) {
  for (const admin::CircuitView& circuit : view.circuits)
    if (circuit.service == service && circuit.remote_service == remote) return &circuit;
  return nullptr;
}

} // namespace

static awaitable<void> health(NodePair& pair);
TEST_CASE("admin port: health is that the loop runs, ready is what the program says") { both_ways(health); }
static awaitable<void> health(NodePair& pair) {
  std::string why = "it is starting";
  admin::PortOptions options = options_on(pair);
  options.not_ready = [&why] { return why; };
  admin::Port port(pair.there, admin_address, std::move(options));
  CHECK((co_await get(pair, "/healthz")).status == 200);
  const admin::HttpAnswer not_yet = co_await get(pair, "/readyz");
  CHECK(not_yet.status == 503);
  CHECK(not_yet.content == "it is starting\n");
  why.clear();
  CHECK((co_await get(pair, "/readyz")).status == 200);
  CHECK((co_await get(pair, "/nothing")).status == 404);
  const admin::HttpAnswer page = co_await get(pair, "/");
  CHECK(page.status == 200);
  CHECK(page.type == "text/html; charset=utf-8");
  CHECK((co_await get(pair, "/inspector.js")).status == 200);
}

static awaitable<void> names_of_hosts(NodePair& pair);
TEST_CASE("admin port: on this machine it answers to no name that a web page could bring") {
  run(names_of_hosts, NodePair::Dialler::here, "mem", {});
}
static awaitable<void> names_of_hosts(NodePair& pair) {
  admin::Port port(pair.there, admin_address, options_on(pair));
  const auto status_for = [&pair](std::string host) -> awaitable<std::string> {
    const auto transport = co_await pair.memory->dial(admin_address);
    const std::string request = "GET /links HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
    const std::array<std::span<const std::byte>, 1> pieces{std::as_bytes(std::span(request))};
    co_await transport->write(pieces);
    std::array<std::byte, 12> head;
    std::size_t count = 0;
    while (count < head.size()) count += co_await transport->read_some(std::span(head).subspan(count));
    transport->close();
    co_return std::string(reinterpret_cast<const char*>(head.data()) + 9, 3);
  };
  CHECK(co_await status_for("127.0.0.1:9464") == "200");
  CHECK(co_await status_for("[::1]:9464") == "200");
  CHECK(co_await status_for("localhost") == "200");
  CHECK(co_await status_for("evil.example:9464") == "403");
  CHECK(co_await status_for("localhost.evil.example") == "403");
}

static awaitable<void> scraped(NodePair& pair);
TEST_CASE("admin port: metrics count links and what went over them, those that are over included") {
  const auto book = std::make_shared<admin::LinkBook>();
  run(scraped, NodePair::Dialler::here, "mem", {});
  run(scraped, NodePair::Dialler::there, "mem", {});
}
static awaitable<void> scraped(NodePair& pair) {
  pair.there.serve("sink", read_nothing);
  admin::Port port(pair.there, admin_address, options_on(pair));
  const auto peer = pair.here.new_peer("asker");
  Circuit circuit = peer->new_circuit(PeerUrl::parse(pair.there_address + "/sink"), Fragment(1, std::string(5000, 'x')));
  std::map<std::string, double> first = samples_in((co_await get(pair, "/metrics")).content);
  while (first["trunkline_circuits"] < 1) first = samples_in((co_await get(pair, "/metrics")).content);
  CHECK(first["trunkline_links{state=\"open\"}"] == 1);
  CHECK(first["trunkline_links_opened_total"] == 1);
  CHECK(first["trunkline_link_bytes_received_total"] > 5000);
  CHECK(first["trunkline_link_unread_bytes"] >= 5000);
  CHECK(first["process_open_fds"] > 0);

  circuit.reset();
  co_await pair.here.close();
  std::map<std::string, double> last = samples_in((co_await get(pair, "/metrics")).content);
  while (last["trunkline_links{state=\"open\"}"] > 0) last = samples_in((co_await get(pair, "/metrics")).content);
  CHECK(last["trunkline_link_bytes_received_total"] >= first["trunkline_link_bytes_received_total"]);
  CHECK(last["trunkline_links_opened_total"] == 1);
}

static awaitable<void> reasons(NodePair& pair);
TEST_CASE("admin view: a circuit that does not move says why, on both sides") { both_ways(reasons); }
static awaitable<void> reasons(NodePair& pair) {
  pair.there.serve("sink", read_nothing);
  admin::LinkBook here_book;
  admin::LinkBook there_book;
  here_book.look(pair.here.links());
  there_book.look(pair.there.links());
  const auto peer = pair.here.new_peer("sender");
  Circuit quiet = peer->new_circuit(PeerUrl::parse(pair.there_address + "/sink"), CircuitOptions("quiet", {}, true));
  co_await quiet.accepted();
  CHECK(find(admin::view_of(pair.here, here_book, 10), "sender", "sink")->waits_for == WaitsFor::nothing);

  co_await fill(quiet);
  asio::co_spawn(pair.io, send_one(&quiet), asio::detached);
  admin::View view = admin::view_of(pair.here, here_book, 10);
  while (find(view, "sender", "sink")->senders_waiting == 0) {
    co_await asio::post(asio::use_awaitable);
    view = admin::view_of(pair.here, here_book, 10);
  }
  const admin::CircuitView& sending = *find(view, "sender", "sink");
  CHECK(sending.waits_for == WaitsFor::far_credit);
  CHECK(sending.link == 1);
  CHECK(sending.bytes_sent > 200'000);
  CHECK(view.links.size() == 1);
  CHECK(view.links[0].circuits == 1);

  admin::View there = admin::view_of(pair.there, there_book, 10);
  while (find(there, "sink", "sender")->unread_bytes < 200'000) {
    co_await asio::post(asio::use_awaitable);
    there = admin::view_of(pair.there, there_book, 10);
  }
  CHECK(find(there, "sink", "sender")->waits_for == WaitsFor::reader);
  CHECK(find(there, "sink", "sender")->credit_granted < 8000);

  const std::string json = admin::circuits_json(view, 1);
  CHECK_MESSAGE(json.find("\"waits_for\": \"the far side's credit\"") != std::string::npos, json);
  CHECK(admin::circuits_json(view, 2).starts_with("{\"circuits\": [], "));
  CHECK(admin::as_text(view, 0, 0).find("the far side's credit") != std::string::npos);
  CHECK(admin::as_text(view, 40, 3).size() <= 3 * 41);
  quiet.reset();
}

static awaitable<void> shown_first(NodePair& pair);
TEST_CASE("admin view: of many circuits those that wait are shown") {
  run(shown_first, NodePair::Dialler::here, "mem", {});
}
static awaitable<void> shown_first(NodePair& pair) {
  pair.there.serve("sink", read_nothing);
  admin::LinkBook book;
  book.look(pair.here.links());
  const auto peer = pair.here.new_peer("sender");
  std::vector<Circuit> circuits;
  for (int i = 0; i < 5; ++i)
    circuits.push_back(peer->new_circuit(PeerUrl::parse(pair.there_address + "/sink"), CircuitOptions({}, {}, true)));
  for (Circuit& circuit : circuits) co_await circuit.accepted();
  Circuit unanswered =
      peer->new_circuit(PeerUrl::parse(pair.there_address + "/sink"), CircuitOptions("unanswered", {}, true));
  const admin::View view = admin::view_of(pair.here, book, 2);
  REQUIRE(view.circuits.size() == 2);
  CHECK(view.circuits_more == 4);
  CHECK(view.circuits[0].name == "unanswered");
  CHECK(view.circuits[0].waits_for == WaitsFor::peer);
  for (Circuit& circuit : circuits) circuit.close();
  unanswered.close();
}

static awaitable<void> lost_links(NodePair& pair);
TEST_CASE("admin book: a link that is lost is kept with its reason, one that is closed is not") {
  run(lost_links, NodePair::Dialler::here, "mem", {});
}
static awaitable<void> lost_links(NodePair& pair) {
  admin::LinkBook book;
  LinkInfo link = pair.here.links().at(0);
  book.note(LinkChange::opened, link);
  CHECK(book.number_of(link.trunk) == 1);
  const std::uint64_t bytes = book.totals().bytes_sent;
  CHECK(bytes > 0);
  link.end = End(error::keepalive_timeout, "silent");
  link.counters = link.trunk->machine().counters();
  book.note(LinkChange::over, link);
  CHECK(book.number_of(link.trunk) == 0);
  CHECK(book.totals().bytes_sent == bytes);
  REQUIRE(book.lost().size() == 1);
  CHECK(book.lost()[0].reason.find("silent") != std::string::npos);
  book.note(LinkChange::opened, link);
  link.end = End();
  book.note(LinkChange::over, link);
  CHECK(book.lost().size() == 1);
  co_return;
}

} // namespace trunkline::test
