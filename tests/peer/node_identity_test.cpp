// Nodes that know each other by their keys: what a service sees, who may use it, and what an attacker in between gets.
#include "async/clock.hpp"
#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "peer/policy.hpp"
#include "tests/peer/node_pair.hpp"
#include "tests/support/passing_medium.hpp"
#include "tests/support/seed.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/web_certificate.hpp"
#include "transport/sim/world.hpp"
#include "transport/tcp.hpp"
#include "transport/tls.hpp"
#include "transport/web_socket.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace trunkline::test {
namespace {

using namespace asio::experimental::awaitable_operators;

const IdentityKey& key_of(char who) {
  static const IdentityKey a = IdentityKey::draw();
  static const IdentityKey b = IdentityKey::draw();
  static const IdentityKey m = IdentityKey::draw();
  return who == 'a' ? a : who == 'b' ? b : m;
}

std::shared_ptr<Identity> identity_of(char who, const std::string& trusted) {
  TrustOptions trust;
  for (const char other : trusted) trust.pins.push_back(key_of(other).id());
  return std::make_shared<Identity>(key_of(who), std::move(trust));
}

/// Nodes over one memory, where "mem" is plain and "tls" is over it.
class Bed {
 public:
  Node node(char who, const std::string& trusted, const Tweak& tweak = {}) {
    NodeOptions options;
    options.name = std::string(1, who);
    options.media["mem"] = memory;
    options.identity = identity_of(who, trusted);
    options.log = log.sink(options.name);
    if (tweak) tweak(options);
    return Node(io.get_executor(), std::move(options));
  }

  asio::io_context io{1};
  std::shared_ptr<MemoryMedium> memory = std::make_shared<MemoryMedium>();
  LogLines log;
};

std::string text_of_log(const LogLines& log) {
  std::string text;
  for (const std::string& line : log.lines()) text += line + "\n";
  return text;
}

template <class... Nodes> awaitable<void> close_all(Nodes&... nodes) { (co_await nodes.close(), ...); }

awaitable<std::string> words_of_dial(Node& node, std::string address, error* code = nullptr) {
  std::string words = "connected";
  try {
    co_await node.dial(std::move(address));
  } catch (const boost::system::system_error& thrown) {
    words = thrown.what();
    if (code) *code = static_cast<error>(thrown.code().value());
  }
  co_return words;
}

bool says(const std::string& text, const std::string& part) {
  CAPTURE(text);
  return text.find(part) != std::string::npos;
}

awaitable<void> tell_identity(Circuit circuit) {
  const RemoteIdentity* const who = circuit.remote_identity();
  Fragment answer(0, who ? who->id.to_string() : "nobody", Payload());
  co_await circuit.send(std::move(answer));
}

awaitable<std::string> ask(Node& node, std::string address, std::string service) {
  const auto peer = node.new_peer("asker");
  std::string said;
  try {
    Circuit circuit = peer->join_or_start(address, service, Fragment());
    circuit.finish();
    std::optional<Fragment> answer = co_await circuit.receive();
    said = answer ? answer->subject : "(end)";
  } catch (const boost::system::system_error& thrown) {
    said = thrown.what();
  }
  peer->close();
  co_return said;
}

} // namespace

static awaitable<void> each_knows_the_other(Bed& bed);
TEST_CASE("node identity: over TLS each side knows the other by its key, whoever dialled") {
  Bed bed;
  run_coroutine(bed.io, each_knows_the_other(bed));
}
static awaitable<void> each_knows_the_other(Bed& bed) {
  Node a = bed.node('a', "b");
  Node b = bed.node('b', "a");
  for (Node* node : {&a, &b}) node->serve("who", tell_identity);
  const std::string address = b.listen("tls://127.0.0.1:0");
  CHECK(address.ends_with("#" + b.id().to_string()));
  CHECK(a.id() == key_of('a').id());

  CHECK(co_await ask(a, address, "who") == a.id().to_string());
  CHECK(co_await ask(b, "node://" + a.id().to_string(), "who") == b.id().to_string());
  const auto links = a.links();
  REQUIRE(links.size() == 1);
  REQUIRE(links[0].identity);
  CHECK(links[0].identity->id == b.id());
  CHECK(links[0].remote == address);
  CHECK(says(b.links()[0].remote, "#" + a.id().to_string())); // so that log lines name it
  co_await close_all(a, b);
}

static awaitable<void> plain_proves_nothing(Bed& bed);
TEST_CASE("node identity: a connection without TLS proves nothing") {
  Bed bed;
  run_coroutine(bed.io, plain_proves_nothing(bed));
}
static awaitable<void> plain_proves_nothing(Bed& bed) {
  Node a = bed.node('a', "b");
  Node b = bed.node('b', "a", [](NodeOptions& options) { options.identity = nullptr; });
  a.serve("who", tell_identity);
  CHECK(co_await ask(b, a.listen("mem://a"), "who") == "nobody");
  co_await close_all(a, b);
}

static awaitable<void> drain_beside_silence(sim::World& world);
TEST_CASE("node identity: a connection that says nothing in its TLS handshake does not hold up a drain beyond its deadline") {
  sim::World world(test_seed());
  world.run(drain_beside_silence(world));
}
static awaitable<void> drain_beside_silence(sim::World& world) {
  NodeOptions options;
  options.identity = identity_of('a', "b");
  options.media["sim"] = make_tls_medium(options.identity, world.medium("one"));
  options.random = world.random("one");
  options.limits.handshake_deadline = std::chrono::hours(1);
  Node node(world.executor(), std::move(options));
  node.listen("sim://one");
  const std::unique_ptr<Transport> silent = co_await world.medium("other")->dial("sim://one");
  co_await sleep_for(std::chrono::seconds(1));
  REQUIRE(node.links_count() == 1);

  const TimePoint begin = world.now();
  co_await node.drain(std::chrono::seconds(2));

  CHECK(world.now() - begin == std::chrono::seconds(2));
  CHECK(node.links_count() == 0);
}

// Who may use what.

static awaitable<void> denied_opens(Bed& bed, int* started);
TEST_CASE("node identity: a circuit that no rule allows never reaches its service, names the rule and leaves one line") {
  Bed bed;
  int started = 0;
  run_coroutine(bed.io, denied_opens(bed, &started));
  CHECK(started == 1);
}
static awaitable<void> denied_opens(Bed& bed, int* started) {
  Node a = bed.node('a', "b");
  Node b = bed.node('b', "a", [](NodeOptions& options) {
    options.allow = [](const RemoteIdentity* who, std::string_view service) {
      if (who && who->id == key_of('a').id() && service == "open") return Permission::yes();
      return Permission::no("line 7");
    };
  });
  const auto count = [started](Circuit circuit) {
    ++*started;
    return tell_identity(std::move(circuit));
  };
  b.serve("open", count);
  b.serve("shut", count);
  const std::string address = b.listen("tls://127.0.0.1:0");

  CHECK(co_await ask(a, address, "open") == a.id().to_string());
  const std::string shut = co_await ask(a, address, "shut");
  CHECK(says(shut, "service \"shut\" on node b is not open to " + a.id().to_string() + ": line 7"));
  const std::string none = co_await ask(a, address, "none"); // not to be told from one that is not there
  CHECK(says(none, "service \"none\" on node b is not open to"));
  CHECK(bed.log.count("\"shut\"") == 1);
  co_await close_all(a, b);
}

static awaitable<void> rule_of_a_service(Bed& bed);
TEST_CASE("node identity: a service may have a rule of its own, and one that throws is a no") {
  Bed bed;
  run_coroutine(bed.io, rule_of_a_service(bed));
}
static awaitable<void> rule_of_a_service(Bed& bed) {
  Node a = bed.node('a', "b");
  Node b = bed.node('b', "a");
  ServiceOptions rule;
  rule.allow = [](const RemoteIdentity*, std::string_view) { return Permission::no("not today"); };
  b.serve("shut", tell_identity, rule);
  rule.allow = [](const RemoteIdentity*, std::string_view) -> Permission { throw std::runtime_error("no disk"); };
  b.serve("broken", tell_identity, rule);
  const std::string address = b.listen("tls://127.0.0.1:0");
  CHECK(says(co_await ask(a, address, "shut"), "not today"));
  CHECK(says(co_await ask(a, address, "broken"), "the rule failed: no disk"));
  co_await close_all(a, b);
}

TEST_CASE("policy: lines say who may use which service, and what none allows is denied") {
  const auto id = [](char who) { return key_of(who).id(); };
  RemoteIdentity a;
  a.id = id('a');
  RemoteIdentity b;
  b.id = id('b');
  b.name = "laptop";
  RemoteIdentity m;
  m.id = id('m');
  m.formerly = {id('a')};
  const Policy policy = Policy::parse("# rules\n"
                                      "group ops laptop " + id('a').to_string() + "\n"
                                      "allow @ops to sync status # both\n"
                                      "allow * to ping\n"
                                      "allow anyone to hello\n"
                                      "allow laptop to *\n",
                                      "rules");
  CHECK(policy(&a, "sync").allowed);
  CHECK(policy(&m, "sync").allowed); // the successor of a's key
  CHECK_FALSE(policy(&a, "store").allowed);
  CHECK(policy(&a, "store").rule == "no line of rules allows it");
  CHECK(policy(&b, "store").allowed);
  CHECK(policy(&a, "ping").allowed);
  CHECK_FALSE(policy(nullptr, "ping").allowed);
  CHECK(policy(nullptr, "hello").allowed);
}

TEST_CASE("policy: a line that is not understood is named") {
  const auto failure = [](const std::string& text) {
    try {
      Policy::parse(text, "rules");
    } catch (const boost::system::system_error& thrown) {
      return std::string(thrown.what());
    }
    return std::string("no failure");
  };
  CHECK(says(failure("deny x to y\n"), "\"rules\" line 1: expected group or allow first, saw \"deny\""));
  CHECK(says(failure("allow x y\n"), "expected allow WHO... to SERVICE..."));
  CHECK(says(failure("allow to y\n"), "expected allow WHO... to SERVICE..."));
  CHECK(says(failure("allow @none to y\n"), "the group \"@none\" is not defined above"));
  CHECK(says(failure("group g a\ngroup g b\n"), "line 2: the group \"g\" is defined above"));
  CHECK(says(failure("allow a/b to y\n"), "saw \"a/b\""));
}

// What an attacker in between gets.

namespace {

awaitable<void> pump(Transport* from, Transport* to) {
  std::byte bytes[4096];
  for (;;) {
    const std::size_t count = co_await from->read_some(bytes);
    if (count == 0) break;
    const std::span<const std::byte> piece(bytes, count);
    co_await to->write(std::span(&piece, 1));
  }
  to->finish();
}

/// Takes one connection, makes another one, and passes the bytes on, both ways: TLS ends here wherever it is spoken.
awaitable<void> relay(std::shared_ptr<Medium> in, std::string listen, std::shared_ptr<Medium> out, std::string dial) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto listener = in->listen(executor, listen);
  const auto accepted = co_await listener->accept();
  co_await accepted->handshake();
  const auto dialled = co_await out->dial(dial);
  co_await (pump(accepted.get(), dialled.get()) && pump(dialled.get(), accepted.get()));
}

/// A relay whose own key both sides trust: the worst that it can be.
awaitable<void> through_relay(Bed& bed, bool tls_in, bool tls_out, std::string* seen_by_b) {
  Node b = bed.node('b', "am");
  const std::shared_ptr<Medium> tls = make_tls_medium(identity_of('m', "ab"));
  const std::string at_b = b.listen(tls_out ? "tls://127.0.0.1:0" : "mem://b");
  const std::shared_ptr<Medium> tls_over_memory = make_tls_medium(identity_of('m', "ab"), bed.memory);
  Tasks tasks(bed.io.get_executor(), [](std::exception_ptr) {});
  // In front of the relay TLS is over memory, under its scheme.
  Node dialler = bed.node('a', "bm", [&](NodeOptions& options) {
    if (tls_in) options.media["mem"] = make_tls_medium(identity_of('a', "bm"), bed.memory);
  });
  tasks.spawn(relay(tls_in ? tls_over_memory : std::shared_ptr<Medium>(bed.memory), "mem://relay",
                    tls_out ? tls : std::shared_ptr<Medium>(bed.memory), std::string(without_pin(at_b))));
  co_await settle();
  error code = error::none;
  const std::string words = co_await words_of_dial(dialler, "mem://relay", &code);
  CHECK(words != "connected");
  CHECK((code == error::not_proven || code == error::trunk_lost));
  *seen_by_b = text_of_log(bed.log);
  tasks.cancel();
  co_await close_all(b, dialler);
  co_await tasks.join();
}

} // namespace

TEST_CASE("node identity: a relay between two TLS sessions is noticed") {
  Bed bed;
  std::string seen;
  run_coroutine(bed.io, through_relay(bed, true, true, &seen));
  CHECK(says(seen, "bound to another TLS session"));
}

TEST_CASE("node identity: TLS that something on the way takes off is noticed") {
  Bed bed;
  std::string seen;
  run_coroutine(bed.io, through_relay(bed, true, false, &seen));
  CHECK(says(seen, "bound to a TLS session, and this connection has none"));
}

TEST_CASE("node identity: TLS that something on the way puts on is noticed") {
  Bed bed;
  std::string seen;
  run_coroutine(bed.io, through_relay(bed, false, true, &seen));
  CHECK(says(seen, "bound to no TLS session"));
}

static awaitable<void> claimed_ids(Bed& bed);
TEST_CASE("node identity: an id that has a key is not believed without it") {
  Bed bed;
  run_coroutine(bed.io, claimed_ids(bed));
}
static awaitable<void> claimed_ids(Bed& bed) {
  Node a = bed.node('a', "b");
  const auto plain = [](const NodeId& id) {
    return [id](NodeOptions& options) {
      options.identity = nullptr;
      options.id = id;
    };
  };
  const std::string address = a.listen("mem://a");
  const std::string encrypted = a.listen("tls://127.0.0.1:0");

  Node thief = bed.node('b', "", plain(key_of('b').id()));
  co_await words_of_dial(thief, address); // it may hear our Hello before it hears that we do not believe it
  while (a.links_count() > 0 || thief.links_count() > 0) co_await asio::post(asio::use_awaitable);
  CHECK(bed.log.has_line("a: trunk with mem://a is over: not proven"));
  CHECK(says(text_of_log(bed.log), "which has a key, and shows none"));

  // One whose key a does not know yet: it is believed until the key is shown.
  Node early = bed.node('m', "", plain(key_of('m').id()));
  CHECK(co_await words_of_dial(early, address) == "connected");
  co_await settle();
  CHECK(a.link_with(key_of('m').id()));
  CHECK_FALSE(a.link_with(key_of('m').id())->identity);
  co_await close_all(thief, early, a);
}

namespace {

/// A medium over which other machines come.
class FromElsewhere final : public PassingTransport {
 public:
  FromElsewhere(std::unique_ptr<Transport> transport, const std::shared_ptr<int>&)
      : PassingTransport(std::move(transport)) {}
};
class Elsewhere final : public PassingMedium<FromElsewhere, int> {
 public:
  using PassingMedium::PassingMedium;
  bool is_local() const noexcept override { return false; }
};

} // namespace

static awaitable<void> a_browser(Bed& bed);
TEST_CASE("node identity: over wss a browser gets an id of its own, whatever it says, and is anyone to a policy") {
  Bed bed;
  run_coroutine(bed.io, a_browser(bed));
}
static awaitable<void> a_browser(Bed& bed) {
  const TemporaryDirectory directory;
  const WebCertificate made = make_web_certificate("DNS:b");
  WebTlsOptions files;
  files.certificate_file = directory.write("both.pem", made.chain + made.key);
  const auto shown = std::make_shared<WebTls>(files);
  files = WebTlsOptions();
  files.authority_file = directory.write("chain.pem", made.chain);
  const auto trusted = std::make_shared<WebTls>(files);
  const auto elsewhere = std::make_shared<Elsewhere>(bed.memory, nullptr);
  Node b = bed.node('b', "a", [&](NodeOptions& options) {
    options.media["wss"] = make_web_socket_tls_medium(options.identity, {}, shown, elsewhere);
    options.allow = Policy::parse("allow anyone to who\nallow * to store\n", "rules");
  });
  b.serve("who", tell_identity);
  b.serve("store", tell_identity);
  const std::string address = b.listen("wss://b");
  CHECK(address == "wss://b#" + b.id().to_string());
  const auto browser = [&](const NodeId& id) {
    return [&, id](NodeOptions& options) {
      options.identity = nullptr;
      options.id = id;
      options.media["wss"] = make_web_socket_tls_medium(nullptr, {}, trusted, elsewhere);
    };
  };

  Node page = bed.node('m', "", browser(key_of('m').id()));
  CHECK(co_await ask(page, "wss://b", "who") == "nobody");
  CHECK(says(co_await ask(page, "wss://b", "store"), "no line of rules allows it"));
  REQUIRE(b.links().size() == 1);
  CHECK_FALSE(b.links()[0].identity);
  CHECK(b.links()[0].node != page.id());

  Node thief = bed.node('a', "", browser(key_of('a').id()));
  co_await words_of_dial(thief, "wss://b");
  while (b.links_count() > 1 || thief.links_count() > 0) co_await asio::post(asio::use_awaitable);
  CHECK(says(text_of_log(bed.log), "which has a key, and shows none"));

  Node a = bed.node('a', "b", [&](NodeOptions& options) {
    options.media["wss"] = make_web_socket_tls_medium(options.identity, {}, nullptr, elsewhere);
  });
  CHECK(co_await ask(a, address, "store") == a.id().to_string());
  co_await close_all(a, thief, page, b);
}

static awaitable<void> the_key_turns_others_out(Bed& bed);
TEST_CASE("node identity: a node that shows its key turns out whoever was believed to be it") {
  Bed bed;
  run_coroutine(bed.io, the_key_turns_others_out(bed));
}
static awaitable<void> the_key_turns_others_out(Bed& bed) {
  TrustOptions anybody;
  anybody.strangers = Strangers::accept;
  Node a = bed.node('a', "", [&](NodeOptions& options) {
    options.identity = std::make_shared<Identity>(key_of('a'), anybody);
  });
  const std::string plain = a.listen("mem://a");
  const std::string encrypted = a.listen("tls://127.0.0.1:0");
  Node thief = bed.node('m', "", [](NodeOptions& options) {
    options.identity = nullptr;
    options.id = key_of('m').id();
  });
  CHECK(co_await words_of_dial(thief, plain) == "connected");
  co_await settle();

  Node owner = bed.node('m', "a");
  CHECK(co_await words_of_dial(owner, encrypted) == "connected");
  while (a.links().size() != 1) co_await asio::post(asio::use_awaitable);
  REQUIRE(a.link_with(key_of('m').id()));
  CHECK(a.link_with(key_of('m').id())->identity);
  CHECK(says(text_of_log(bed.log), "has shown its key on another connection"));
  co_await close_all(thief, owner, a);
}

static awaitable<void> claimed_addresses(Bed& bed);
TEST_CASE("node identity: an address with the key of another node leads to that node, whoever claims it") {
  Bed bed;
  run_coroutine(bed.io, claimed_addresses(bed));
}
static awaitable<void> claimed_addresses(Bed& bed) {
  Node b = bed.node('b', "m");
  b.serve("who", tell_identity);
  const std::string at_b = b.listen("tls://127.0.0.1:0");
  Node a = bed.node('a', "m", [&](NodeOptions& options) {
    options.advertise = {at_b, std::string(without_pin(at_b))}; // a lie, from the host that it names
  });
  const std::string at_a = a.listen("tls://127.0.0.1:0");
  Node m = bed.node('m', "ab");
  CHECK(co_await words_of_dial(m, at_a) == "connected");
  REQUIRE(m.links().size() == 1);
  CHECK(m.links()[0].addresses == std::vector<std::string>{at_a});

  CHECK(co_await ask(m, at_b, "who") == m.id().to_string()); // a has no such service
  CHECK(m.links().size() == 2);
  CHECK(co_await ask(m, std::string(without_pin(at_b)), "who") == m.id().to_string());
  co_await close_all(a, b, m);
}

// Plain text, and what begins and ends.

static awaitable<void> plain_text_is_asked_for(Bed& bed);
TEST_CASE("node identity: plain text beyond this machine is refused on both sides unless it was asked for") {
  Bed bed;
  run_coroutine(bed.io, plain_text_is_asked_for(bed));
}
static awaitable<void> plain_text_is_asked_for(Bed& bed) {
  Node node = bed.node('a', "");
  error code = error::none;
  const std::string words = co_await words_of_dial(node, "tcp://192.0.2.1:7000", &code);
  CHECK(code == error::plaintext_refused);
  CHECK(says(words, "nothing encrypts it"));
  CHECK_THROWS_AS(node.listen("tcp://0.0.0.0:0"), boost::system::system_error);
  CHECK_NOTHROW(node.listen("tcp://127.0.0.1:0"));
  CHECK_NOTHROW(node.listen("tls://0.0.0.0:0"));

  Node careless = bed.node('b', "", [](NodeOptions& options) { options.allow_plaintext = true; });
  const std::string address = careless.listen("tcp://0.0.0.0:0");
  CHECK(bed.log.count("\"tcp://0.0.0.0:0\" is not encrypted") == 1);
  co_await close_all(node, careless);
}

static awaitable<void> new_keys(Bed& bed, const TemporaryDirectory& directory);
TEST_CASE("node identity: a new key is taken without a connection that ends") {
  Bed bed;
  const TemporaryDirectory directory;
  run_coroutine(bed.io, new_keys(bed, directory));
}
static awaitable<void> new_keys(Bed& bed, const TemporaryDirectory& directory) {
  const IdentityKey old = IdentityKey::draw();
  const IdentityKey next =
      old.successor(Validity::from_now(key_validity_default), Validity::from_now(std::chrono::hours(1)));
  const std::string path = directory.write("key.pem", old.to_text());
  TrustOptions anybody;
  anybody.strangers = Strangers::accept;
  Node b = bed.node('b', "", [&](NodeOptions& options) { options.identity = Identity::open(path, anybody); });
  b.serve("who", tell_identity);
  const std::string address = b.listen("tls://127.0.0.1:0");
  TrustOptions old_alone;
  old_alone.pins = {old.id()};
  const auto trusting = [&](NodeOptions& options) { options.identity = std::make_shared<Identity>(key_of('a'), old_alone); };
  Node a = bed.node('a', "", trusting);
  CHECK(co_await ask(a, address, "who") == a.id().to_string());

  directory.write("key.pem", next.to_text());
  b.reload_identity();
  CHECK(b.id() == next.id());
  CHECK(b.addresses().front().ends_with("#" + next.id().to_string()));
  CHECK(a.links().size() == 1); // the connection goes on
  CHECK(co_await ask(a, address, "who") == a.id().to_string());

  Node late = bed.node('m', "", [&](NodeOptions& options) { options.identity = std::make_shared<Identity>(key_of('m'), old_alone); });
  CHECK(co_await ask(late, address, "who") == late.id().to_string()); // knows the old key alone, and its pin
  REQUIRE(late.links().size() == 1);
  CHECK(late.links()[0].node == next.id());
  CHECK(late.links()[0].identity->is(old.id()));

  directory.write("key.pem", "nonsense");
  CHECK_THROWS_AS(b.reload_identity(), boost::system::system_error);
  CHECK(b.id() == next.id());
  co_await close_all(a, b, late);
}

static awaitable<void> silent_connections(Bed& bed);
TEST_CASE("node identity: connections that begin no handshake keep nobody out, and go after the deadline") {
  Bed bed;
  run_coroutine(bed.io, silent_connections(bed));
}
static awaitable<void> silent_connections(Bed& bed) {
  const auto few = [](NodeOptions& options) {
    options.handshakes_max = 8;
    options.handshakes_per_host_max = 8;
    options.limits.handshake_deadline = std::chrono::milliseconds(200);
  };
  Node b = bed.node('b', "a", few);
  b.serve("who", tell_identity);
  const std::string address = b.listen("tls://127.0.0.1:0");
  const auto tcp = make_tcp_medium(TcpOptions(), nullptr, "tls");
  std::vector<std::unique_ptr<Transport>> silent;
  for (int count = 0; count < 50; ++count) silent.push_back(co_await tcp->dial(std::string(without_pin(address))));
  co_await settle();
  CHECK(b.links_count() <= 9);

  Node a = bed.node('a', "b");
  CHECK(co_await ask(a, address, "who") == a.id().to_string());
  while (b.links_count() > 1) co_await sleep_for(std::chrono::milliseconds(20));
  CHECK(b.counters().connections_turned_away > 0);
  co_await close_all(a, b);
}

static awaitable<void> very_many_silent_connections(Bed& bed);
TEST_CASE("node identity: twenty thousand silent connections leave room for one that speaks") {
  Bed bed;
  run_coroutine(bed.io, very_many_silent_connections(bed));
}
static awaitable<void> very_many_silent_connections(Bed& bed) {
  // Over memory, so that there need not be as many descriptors; the media of both nodes put TLS on it.
  const auto over_memory = [&bed](char who, const std::string& trusted) {
    return [&bed, who, trusted](NodeOptions& options) {
      options.media["mem"] = make_tls_medium(identity_of(who, trusted), bed.memory);
    };
  };
  Node b = bed.node('b', "a", over_memory('b', "a"));
  b.serve("who", tell_identity);
  b.listen("mem://b");
  std::vector<std::unique_ptr<Transport>> silent;
  std::size_t links_max = 0;
  for (int count = 0; count < 20'000; ++count) {
    silent.push_back(co_await bed.memory->dial("mem://b"));
    co_await asio::post(asio::use_awaitable);
    links_max = std::max(links_max, b.links_count());
  }
  CHECK(links_max <= NodeOptions().handshakes_max + 8); // those on their way out

  Node a = bed.node('a', "b", over_memory('a', "b"));
  CHECK(co_await ask(a, "mem://b", "who") == a.id().to_string());
  CHECK(b.counters().connections_turned_away >= 19'000);
  silent.clear();
  co_await close_all(a, b);
}

static awaitable<void> slow_bytes(Bed& bed);
TEST_CASE("node identity: the deadline of a handshake is one for all of it, however slowly its bytes come") {
  Bed bed;
  run_coroutine(bed.io, slow_bytes(bed));
}
static awaitable<void> slow_bytes(Bed& bed) {
  Node b = bed.node('b', "a", [](NodeOptions& options) {
    options.limits.handshake_deadline = std::chrono::milliseconds(300);
  });
  const std::string address = b.listen("tls://127.0.0.1:0");
  const auto tcp = make_tcp_medium(TcpOptions(), nullptr, "tls");
  const auto slow = co_await tcp->dial(std::string(without_pin(address)));
  const char begin[] = "\x16\x03\x01\x02\x00\x01";
  int written = 0;
  const TimePoint began = Clock::of(bed.io.get_executor()).now();
  try {
    for (; written < 100; ++written) { // a byte now and then would keep a deadline per read from passing
      const std::byte byte = static_cast<std::byte>(begin[std::min(written, 5)]);
      const std::span<const std::byte> piece(&byte, 1);
      co_await slow->write(std::span(&piece, 1));
      co_await sleep_for(std::chrono::milliseconds(20));
    }
  } catch (const boost::system::system_error&) {
  }
  CHECK(written < 100);
  CHECK(says(text_of_log(bed.log), "no TLS handshake within handshake_deadline 300 ms"));
  CHECK(Clock::of(bed.io.get_executor()).now() - began >= std::chrono::milliseconds(280));
  co_await b.close();
}

static awaitable<void> refused_dialler_hears(Bed& bed);
TEST_CASE("node identity: a dialler whose key is not known hears that") {
  Bed bed;
  run_coroutine(bed.io, refused_dialler_hears(bed));
}
static awaitable<void> refused_dialler_hears(Bed& bed) {
  Node a = bed.node('a', "b");
  Node b = bed.node('b', "m");
  const std::string address = b.listen("tls://127.0.0.1:0");
  error code = error::none;
  const std::string words = co_await words_of_dial(a, address, &code);
  CHECK(code == error::key_refused);
  CHECK(says(words, "does not know this node's key " + a.id().to_string()));
  while (b.links_count() > 0) co_await asio::post(asio::use_awaitable);
  CHECK(says(text_of_log(bed.log), "unknown key: tls://127.0.0.1:"));

  Node c = bed.node('m', "a");
  const std::string pinned = std::string(without_pin(address)) + "#" + a.id().to_string();
  const std::string wrong = co_await words_of_dial(c, pinned, &code);
  CHECK(code == error::wrong_key);
  CHECK(says(wrong, b.id().to_string() + ", expected " + a.id().to_string()));
  co_await close_all(a, b, c);
}

} // namespace trunkline::test
