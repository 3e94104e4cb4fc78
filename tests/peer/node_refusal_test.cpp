// Opens that are refused: promptly, with a reason that says what would have worked, and to the harm of no other
// circuit.
#include "tests/peer/every_medium.hpp"
#include "tests/peer/node_pair.hpp"
#include "tests/support/co_test_case.hpp"

using namespace trunkline;
using namespace trunkline::test;

namespace {

awaitable<End> end_of(Circuit circuit) {
  End end = co_await circuit.ended();
  co_return end;
}

bool mentions(const End& end, std::string_view text) {
  INFO(end.to_string());
  return end.text.find(text) != std::string::npos;
}

CO_TEST_CASE("node: an unknown service is refused with a list of what is served, and the trunk lives on", over_media,
             NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  pair.there.serve("status", echo);
  const auto me = pair.here.new_peer("browser");
  Circuit good = me->join_or_start(pair.there_address, "store", Fragment(0, "good"));
  Circuit far = co_await keeper.next();

  std::vector<Circuit> bad;
  bad.push_back(me->join_or_start(pair.there_address, "stoer", Fragment(0, "lost")));
  bad.push_back(me->start(pair.there_address, "stoer", Fragment(0, "lost")));
  for (Circuit& circuit : bad) {
    circuit.send_one_way(Fragment(0, "lost too"));
    const auto refused = co_await failure_of(circuit.receive());
    CHECK(refused == error::no_service);
    const End end = co_await circuit.ended();
    CHECK(mentions(end, "no service \"stoer\" on node there; it serves status, store"));
  }
  const auto started = co_await failure_of(
      pair.here.new_peer("starter")->start_only(pair.there_address, "stoer", std::chrono::seconds(20)));
  CHECK(started == error::no_service);
  try {
    pair.here.start_local_peer("store");
    FAIL("nothing is registered here");
  } catch (const boost::system::system_error& thrown) {
    CHECK(thrown.code() == error::no_service);
    CHECK(std::string(thrown.what()).find("no service \"store\" on node here; it serves nothing") != std::string::npos);
  }

  CHECK(pair.there.counters().circuits_refused == 3);
  CHECK(pair.log.has_line("refused: no service \"stoer\""));
  CHECK(pair.here.links_count() == 1);
  const std::optional<Fragment> fragment = co_await far.receive();
  CHECK(text_of(fragment) == "good");
  CHECK(good.is_open());
}

CO_TEST_CASE("node: an unknown peer is refused, as is one of another service and one that takes no circuits", both_ways,
             NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto store = pair.there.start_local_peer("store");
  const auto mute = pair.there.new_peer("mute");
  const auto me = pair.here.new_peer("browser");
  const PeerId nobody = *PeerId::parse("bWFrZSBpdCBzb3VuZCEhIQ");

  const End absent = co_await end_of(me->new_circuit(PeerUrl(pair.there_address, "store", nobody)));
  CHECK(absent.code == error::no_peer);
  CHECK(mentions(absent, "no peer bWFrZSBpdCBzb3VuZCEhIQ on node there; it serves store"));
  const End differs = co_await end_of(me->new_circuit(PeerUrl(pair.there_address, "status", store->id())));
  CHECK(differs.code == error::no_peer);
  CHECK(mentions(differs, "is of service \"store\", not \"status\""));
  const End deaf = co_await end_of(me->new_circuit(pair.url_there(*mute)));
  CHECK(deaf.code == error::no_peer);
  CHECK(mentions(deaf, "takes no circuits"));
  CHECK(keeper.started() == 1);
  CHECK(keeper.waiting() == 0);
}

/// The URL that a refused start was pointed to instead.
awaitable<std::string> url_refused_with(awaitable<RemotePeer> start) {
  std::string url = "(started)";
  try {
    co_await std::move(start);
  } catch (const ServiceLimitReached& thrown) {
    CHECK(thrown.code() == error::service_limit_reached);
    url = thrown.existing_url();
  }
  co_return url;
}

CO_TEST_CASE("node: a start that is refused names the instance that runs in whole, however long its url is", both_ways,
             NodePair& pair) {
  const std::string service(128, 'y');
  Keeper keeper;
  pair.there.register_service(service, keeper.service(), 1);
  const auto existing = pair.there.start_local_peer(service);

  const std::string url = co_await url_refused_with(
      pair.here.new_peer("starter")->start_only(pair.there_address, service, std::chrono::seconds(20)));
  CHECK(url == existing->url().to_string());
  const auto me = pair.here.new_peer("browser");
  Circuit joined = me->new_circuit(PeerUrl::parse(url), CircuitOptions("", "", true));
  co_await joined.accepted();
}

CO_TEST_CASE("node: a service at its limit refuses with the url of the instance that runs", both_ways, NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("single", keeper.service(), 1);
  const auto me = pair.here.new_peer("browser");
  Circuit one = me->start(pair.there_address, "single", std::nullopt, CircuitOptions("", "", true));
  co_await one.accepted();

  const End refused = co_await end_of(me->start(pair.there_address, "single", std::nullopt));
  CHECK(refused.code == error::service_limit_reached);
  const auto existing = pair.there.local_peers("single").front();
  CHECK(mentions(refused,
                 "service \"single\" on node there is limited to 1 instance; there is " + existing->url().to_string()));
  CHECK(refused.existing_url == existing->url().to_string());
  const std::string started = co_await url_refused_with(
      pair.here.new_peer("starter")->start_only(pair.there_address, "single", std::chrono::seconds(20)));
  CHECK(started == existing->url().to_string());
  CHECK_THROWS_WITH(pair.there.start_local_peer("single"), doctest::Contains("limited to 1 instance"));
  try {
    pair.there.start_local_peer("single");
    FAIL("it runs already");
  } catch (const ServiceLimitReached& thrown) {
    CHECK(thrown.code() == error::service_limit_reached);
    CHECK(thrown.existing_url() == existing->url().to_string());
  }

  Circuit two = me->join_or_start(pair.there_address, "single", std::nullopt);
  co_await two.accepted();
  CHECK(two.remote_peer().id == one.remote_peer().id);
  CHECK(keeper.started() == 1);

  existing->close();
  Circuit three = me->start(pair.there_address, "single", std::nullopt, CircuitOptions("", "", true));
  co_await three.accepted();
  CHECK(three.remote_peer().id != one.remote_peer().id);
}

awaitable<void> too_many_peers(NodePair& pair);
TEST_CASE(
    "node: a start from elsewhere beyond peers_max is refused, one of its own is not, a peer that ends makes room") {
  both_ways(too_many_peers, [](NodeOptions& options) { options.peers_max = 2; });
}
awaitable<void> too_many_peers(NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto me = pair.here.new_peer("browser");
  Circuit one = me->start(pair.there_address, "store", std::nullopt, CircuitOptions("", "", true));
  Circuit two = me->start(pair.there_address, "store", std::nullopt, CircuitOptions("", "", true));
  co_await one.accepted();
  co_await two.accepted();

  const End refused = co_await end_of(me->start(pair.there_address, "store", std::nullopt));
  CHECK(refused.code == error::service_limit_reached);
  CHECK(mentions(refused, "peers_max 2 reached on node there"));
  const std::string elsewhere = co_await url_refused_with(
      pair.here.new_peer("starter")->start_only(pair.there_address, "store", std::chrono::seconds(20)));
  CHECK(elsewhere == "");
  CHECK(pair.there.start_local_peer("store") != nullptr);
  CHECK(pair.there.new_peer("one more") != nullptr);
  Circuit joined = me->join_or_start(pair.there_address, "store", std::nullopt);
  co_await joined.accepted();

  pair.there.local_peers("store").front()->close();
  Circuit three = me->start(pair.there_address, "store", std::nullopt, CircuitOptions("", "", true));
  co_await three.accepted();
}

awaitable<void> too_many_peers_of_one(NodePair& pair);
TEST_CASE("node: one trunk starts no more than peers_per_trunk_max peers, which leaves room for another") {
  both_ways(too_many_peers_of_one, [](NodeOptions& options) {
    options.peers_max = 3;
    options.peers_per_trunk_max = 2;
  });
}
awaitable<void> too_many_peers_of_one(NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  NodeOptions third_options;
  third_options.media["mem"] = pair.memory;
  Node third(pair.io.get_executor(), std::move(third_options));
  const std::string third_address = third.listen("mem://third");
  third.register_service("store", keeper.service());
  const auto start = [&](Node& node, std::string address) {
    return node.new_peer("starter")->start_only(std::move(address), "store", std::chrono::seconds(20));
  };
  // The third node dials or is dialled, and so it is known under whichever address there is.
  co_await pair.there.dial(third_address);
  const std::string address = "node://" + pair.there.id().to_string();
  while (third.counters().trunks_open == 0) co_await asio::post(asio::use_awaitable);
  co_await start(pair.here, pair.there_address);
  co_await start(pair.here, pair.there_address);

  const auto me = pair.here.new_peer("browser");
  const End refused = co_await end_of(me->start(pair.there_address, "store", std::nullopt));
  CHECK(refused.code == error::service_limit_reached);
  CHECK(mentions(refused, "peers_per_trunk_max 2 reached on node there by "));
  CHECK(pair.there.start_local_peer("store") != nullptr);
  co_await start(third, address);
  const auto total = co_await failure_of(start(third, address));
  CHECK(total == error::service_limit_reached);
  CHECK(pair.log.has_line("peers_max 3 reached on node there"));

  const auto of_here = pair.there.local_peers("store").front();
  of_here->close();
  co_await of_here->ended();
  co_await start(pair.here, pair.there_address);
  CHECK(pair.there.local_peers("store").size() == 4);
  co_await third.close();
}

awaitable<void> exhausted(NodePair& pair);
TEST_CASE("node: whoever starts all the peers it may leaves the node able to start its own, also when it is gone") {
  both_ways(exhausted, [](NodeOptions& options) { options.peers_per_trunk_max = 3; });
}
awaitable<void> exhausted(NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  for (int i = 0; i < 3; ++i)
    co_await pair.here.new_peer("starter")->start_only(pair.there_address, "store", std::chrono::seconds(20));
  const auto refused = co_await failure_of(
      pair.here.new_peer("starter")->start_only(pair.there_address, "store", std::chrono::seconds(20)));
  CHECK(refused == error::service_limit_reached);

  co_await pair.here.close();
  while (pair.there.links_count() > 0) co_await asio::post(asio::use_awaitable);
  CHECK(pair.there.local_peers("store").size() == 3);
  CHECK(pair.there.new_peer("browser") != nullptr);
  CHECK(pair.there.start_local_peer("store") != nullptr);
  for (const auto& peer : pair.there.local_peers("store")) {
    peer->close();
    co_await peer->ended();
  }
  CHECK(pair.there.counters().peers_ending == 0);
}

CO_TEST_CASE("node: a peer of its own has a name of 1 to name_bytes_max bytes", both_ways, NodePair& pair) {
  CHECK_THROWS_WITH(pair.here.new_peer(""), doctest::Contains("needs a name"));
  CHECK_THROWS_WITH(pair.here.new_peer(std::string(129, 'x')), doctest::Contains("129 bytes: name_bytes_max is 128"));
  CHECK(pair.here.new_peer(std::string(128, 'x')) != nullptr);
  co_return;
}

CO_TEST_CASE("node: names that are too long or unprintable are refused, and echoed short and escaped", both_ways,
             NodePair& pair) {
  pair.there.serve("status", echo);
  const auto me = pair.here.new_peer("browser");

  const End long_name = co_await end_of(me->join_or_start(pair.there_address, std::string(2000, 'x'), std::nullopt));
  CHECK(long_name.code == error::no_service);
  CHECK(mentions(long_name, "2000 bytes"));
  CHECK(mentions(long_name, "name_bytes_max"));
  CHECK(long_name.text.size() <= 256);
  const End odd_name = co_await end_of(me->join_or_start(pair.there_address, "<b>\n\xff\x00", std::nullopt));
  CHECK(odd_name.code == error::no_service);
  CHECK(mentions(odd_name, "\"<b>\\x0a\\xff\""));
  for (const std::string& line : pair.log.lines()) CHECK(line.find('\n') == std::string::npos);
  Circuit good = me->join_or_start(pair.there_address, "status", Fragment(0, "good"));
  const std::optional<Fragment> answer = co_await good.receive();
  CHECK(text_of(answer) == "good");
}

CO_TEST_CASE("node: a peer id that is in use is not given again", both_ways, NodePair& pair) {
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  const auto me = pair.here.new_peer("browser");
  Circuit one = me->start(pair.there_address, "store", std::nullopt, CircuitOptions("", "", true));
  co_await one.accepted();

  OpenRequest again;
  again.mode = OpenMode::start;
  again.from = std::make_shared<const PeerName>(PeerName{me->id(), "browser", {}});
  again.to_peer = one.remote_peer().id;
  again.to_service = "store";
  TrunkCircuit* const state = one.trunk()->with(
      [&](Machine& machine) { return machine.open(std::move(again), std::nullopt, one.trunk()->now()); });
  Circuit two(one.trunk(), *state);

  const End refused = co_await two.ended();
  CHECK(refused.code == error::access_denied);
  CHECK(mentions(refused, "is in use on node there"));
  CHECK(one.is_open());
  CHECK(keeper.started() == 1);
}

awaitable<void> never_takes(LocalPeer&, CircuitInbox&) { return sleep_for(std::chrono::hours(1)); }

awaitable<void> backlog(NodePair& pair);
TEST_CASE("node: circuits that nobody takes from an inbox are bounded, and leave room when their peer ends") {
  both_ways(backlog, [](NodeOptions& options) { options.limits.open_backlog_max = 3; });
}
awaitable<void> backlog(NodePair& pair) {
  pair.there.register_service("idle", never_takes);
  pair.there.serve("echo", echo);
  const auto idle = pair.there.start_local_peer("idle");
  const auto me = pair.here.new_peer("browser");

  std::vector<Circuit> circuits;
  for (int i = 0; i < 5; ++i) circuits.push_back(me->new_circuit(pair.url_there(*idle), CircuitOptions("", "", true)));
  for (std::size_t i = 0; i < 3; ++i) co_await circuits[i].accepted();
  for (std::size_t i = 3; i < 5; ++i) {
    const auto refused = co_await failure_of(circuits[i].accepted());
    CHECK(refused == error::open_backlog_full);
  }

  idle->close();
  for (std::size_t i = 0; i < 3; ++i) {
    const End end = co_await circuits[i].ended();
    CHECK(end.code == error::peer_ended);
  }
  Circuit good = me->join_or_start(pair.there_address, "echo", Fragment(0, "room again"));
  const std::optional<Fragment> answer = co_await good.receive();
  CHECK(text_of(answer) == "room again");
}

CO_TEST_CASE("node: the URL of a far peer reads back, whatever bytes its service has in its name", both_ways,
             NodePair& pair) {
  const std::string service = "a/b %\x1b[31m\xff";
  Keeper keeper;
  pair.there.register_service("store", keeper.service());
  Circuit circuit = pair.here.new_peer(service)->start(pair.there_address, "store", std::nullopt);
  const Circuit far = co_await keeper.next();

  const std::string url = far.remote_url();

  CHECK(url.find('\x1b') == std::string::npos);
  CHECK(PeerUrl::parse(url).service() == service);
  CHECK(PeerUrl::parse(url).peer_id() == circuit.local_peer().id);
}

void register_twice(Node& node) { node.serve("echo", echo); }

} // namespace

TEST_CASE("node: options that cannot work are refused by name") {
  asio::io_context io(1);
  const auto refusal = [&io](const Tweak& tweak) {
    NodeOptions options;
    tweak(options);
    std::string text = "(made)";
    try {
      const Node node(io.get_executor(), std::move(options));
    } catch (const std::invalid_argument& thrown) {
      text = thrown.what();
    }
    return text;
  };

  CHECK(refusal([](NodeOptions&) {}) == "(made)");
  CHECK(refusal([](NodeOptions& o) { o.trunks_max = 0; }) == "trunks_max is 0, expected at least 1");
  CHECK(refusal([](NodeOptions& o) { o.peers_max = 0; }) == "peers_max is 0, expected at least 1");
  CHECK(refusal([](NodeOptions& o) { o.peers_per_trunk_max = 0; }) == "peers_per_trunk_max is 0, expected at least 1");
  CHECK(refusal([](NodeOptions& o) { o.handshakes_max = 0; }) == "handshakes_max is 0, expected at least 1");
  CHECK(refusal([](NodeOptions& o) { o.connect_deadline = std::chrono::milliseconds(-1); }) ==
        "connect_deadline is -1, expected 1 millisecond to 365 days, or the longest for none");
  CHECK(refusal([](NodeOptions& o) { o.redial.multiplier = 0; }) == "redial.multiplier is 0, expected 1 to 1000");
  CHECK(refusal([](NodeOptions& o) { o.limits.pings_per_second_max = 0; }) ==
        "pings_per_second_max is 0, expected at least 1");
  CHECK(refusal([](NodeOptions& o) { o.limits.control_frames_per_second_max = 0; }) ==
        "control_frames_per_second_max is 0, expected at least 1");
  CHECK(refusal([](NodeOptions& o) { o.limits.remote_peers_max = 0; }) == "remote_peers_max is 0, expected at least 1");
}

TEST_CASE("node: a context that several threads may run is refused, unless the program promises that one does") {
  asio::io_context io;
  NodeOptions options;
  options.name = "mine";
  try {
    const Node node(io.get_executor(), options);
    FAIL("made");
  } catch (const std::invalid_argument& thrown) {
    CHECK(std::string(thrown.what()) ==
          "node mine got the executor of an io_context made without the concurrency hint 1, which several threads may "
          "run; a node runs on one: give it an io_context(1) of its own, see docs/threads.md");
  }

  options.context_has_one_thread = true;
  const Node node(io.get_executor(), options);
}

TEST_CASE("node: a name has one service") {
  asio::io_context io(1);
  Node node(io.get_executor());
  register_twice(node);
  try {
    register_twice(node);
    FAIL("registered twice");
  } catch (const boost::system::system_error& thrown) {
    CHECK(thrown.code() == error::already_registered);
    CHECK(std::string(thrown.what()).find("\"echo\"") != std::string::npos);
  }
  CHECK_THROWS_AS(node.serve("", echo), std::invalid_argument);
  CHECK_THROWS_AS(node.serve("empty", CircuitServiceFunc()), std::invalid_argument);
  CHECK_THROWS_AS(node.register_service("empty", PeerServiceFunc()), std::invalid_argument);
}
