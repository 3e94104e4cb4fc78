// wss: what every medium must do, between nodes and with the web; what breaks in the middle; and the table of attacks on
// a port that is for both.
#include "transport/web_socket.hpp"

#include "async/tasks.hpp"
#include "fragment/error.hpp"
#include "tests/peer/faulty.hpp"
#include "tests/support/breakpoints.hpp"
#include "tests/support/coroutine.hpp"
#include "tests/support/passing_medium.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/web_certificate.hpp"
#include "tests/transport/conformance.hpp"
#include "transport/identity.hpp"
#include "transport/memory.hpp"
#include "transport/tcp.hpp"
#include "transport/tls.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::test {
namespace {

using namespace asio::experimental::awaitable_operators;
using TransportPtr = std::unique_ptr<Transport>;

const IdentityKey& key_a() {
  static const IdentityKey key = IdentityKey::draw();
  return key;
}
const IdentityKey& key_b() {
  static const IdentityKey key = IdentityKey::draw();
  return key;
}

std::shared_ptr<Identity> identity_of(const IdentityKey& key, const std::vector<NodeId>& trusted = {}) {
  TrustOptions options;
  options.pins = trusted;
  return std::make_shared<Identity>(key, std::move(options));
}

/// The files of a host, which is its own authority.
class Host {
 public:
  explicit Host(const WebCertificate& made = make_web_certificate("IP:127.0.0.1,DNS:somewhere"))
      : chain_(directory_.write("chain.pem", made.chain, 0644)), key_(directory_.write("key.pem", made.key)) {}

  void change(const WebCertificate& made) const {
    directory_.write("chain.pem", made.chain, 0644);
    directory_.write("key.pem", made.key);
  }
  std::shared_ptr<WebTls> shown() const {
    WebTlsOptions options;
    options.certificate_file = chain_;
    options.key_file = key_;
    return std::make_shared<WebTls>(std::move(options));
  }
  std::shared_ptr<WebTls> trusted() const {
    WebTlsOptions options;
    options.authority_file = chain_;
    return std::make_shared<WebTls>(std::move(options));
  }
  const std::string& key_file() const { return key_; }
  const std::string& chain_file() const { return chain_; }
  const TemporaryDirectory& directory() const { return directory_; }

 private:
  TemporaryDirectory directory_;
  std::string chain_;
  std::string key_;
};

const Host& host() {
  static const Host made;
  return made;
}

/// Two nodes that trust each other.
class WssUnderTest : public MediumUnderTest {
 public:
  WssUnderTest() : WssUnderTest(nullptr) {}
  asio::io_context& io() override { return io_; }
  Medium& dialling() override { return *dialling_; }
  Medium& listening() override { return *listening_; }
  std::string address() override { return "wss://127.0.0.1:0"; }
  std::string address_of_nobody() override { return "wss://127.0.0.1:1"; }
  bool tells_a_cut() const override { return true; }

 protected:
  explicit WssUnderTest(const std::shared_ptr<Medium>& below)
      : dialling_(make_web_socket_tls_medium(identity_of(key_a(), {key_b().id()}), {}, nullptr, below)),
        listening_(make_web_socket_tls_medium(identity_of(key_b(), {key_a().id()}), {}, nullptr, below)) {}

 private:
  asio::io_context io_{1};
  std::shared_ptr<Medium> dialling_;
  std::shared_ptr<Medium> listening_;
};

/// Over memory, where both ends run in turns.
class WssOverMemory final : public WssUnderTest {
 public:
  WssOverMemory() : WssUnderTest(std::make_shared<MemoryMedium>(64 << 10)) {}
  std::string address() override { return "wss://somewhere"; }
  std::string address_of_nobody() override { return "wss://nowhere"; }
};

/// A program of the web and a host that it knows by its certificate.
class WssOfTheWeb final : public MediumUnderTest {
 public:
  asio::io_context& io() override { return io_; }
  Medium& dialling() override { return *dialling_; }
  Medium& listening() override { return *listening_; }
  std::string address() override { return "wss://127.0.0.1:0"; }
  std::string address_of_nobody() override { return "wss://127.0.0.1:1"; }
  bool tells_a_cut() const override { return true; }
  bool proves_identity() override { return false; }

 private:
  asio::io_context io_{1};
  std::shared_ptr<Medium> dialling_ = make_web_socket_tls_medium(nullptr, {}, host().trusted());
  std::shared_ptr<Medium> listening_ = make_web_socket_tls_medium(nullptr, {}, host().shown());
};

awaitable<void> write_bytes(Transport& to, std::size_t count) {
  const std::vector<std::byte> bytes(count, std::byte{7});
  const std::span<const std::byte> piece(bytes);
  co_await to.write(std::span(&piece, 1));
}

awaitable<std::size_t> read_to_end(Transport& from) {
  std::vector<std::byte> bytes(1000);
  std::size_t all = 0;
  for (std::size_t count = 1; count > 0; all += count) count = co_await from.read_some(bytes);
  co_return all;
}

struct Ends {
  std::shared_ptr<Medium> dialling;
  std::shared_ptr<Medium> listening;
};

/// Two nodes over one medium, that of memory unless given.
Ends nodes_over(const std::shared_ptr<Medium>& below, WebSocketOptions options = WebSocketOptions()) {
  static const auto a = identity_of(key_a(), {key_b().id()});
  static const auto b = identity_of(key_b(), {key_a().id()});
  static const auto shown = host().shown();
  static const auto trusted = host().trusted(); // those of the system are many
  return {make_web_socket_tls_medium(a, options, trusted, below), make_web_socket_tls_medium(b, options, shown, below)};
}

/// One whole conversation: both directions carry something and are finished.
awaitable<void> converse(Ends ends, std::size_t& received) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto listener = ends.listening->listen(executor, "wss://somewhere");
  auto both = co_await (ends.dialling->dial("wss://somewhere") && listener->accept());
  const TransportPtr near = std::move(std::get<0>(both));
  const TransportPtr far = std::move(std::get<1>(both));
  auto speak = [](Transport& to) -> awaitable<void> {
    co_await write_bytes(to, 3000);
    co_await write_bytes(to, 10);
    to.finish();
  };
  const auto all = co_await (speak(*near) && speak(*far) && read_to_end(*near) && read_to_end(*far));
  received = std::get<0>(all) + std::get<1>(all);
}

bool says(const std::string& text, const std::string& part) {
  CAPTURE(text);
  return text.find(part) != std::string::npos;
}

} // namespace

TRUNKLINE_TRANSPORT_CONFORMS("wss", WssUnderTest)
TRUNKLINE_TRANSPORT_CONFORMS("wss over memory", WssOverMemory)
TRUNKLINE_TRANSPORT_CONFORMS("wss of the web", WssOfTheWeb)

// What breaks in the middle.

TEST_CASE("wss: whichever operation below fails, both ends are over and nothing waits") {
  const std::size_t runs = fail_each_io([](FailPoint& point) {
    asio::io_context io(1);
    auto faulty = std::make_shared<FaultyMedium>(std::make_shared<MemoryMedium>(1000), &point);
    std::size_t received = 0;
    try {
      run_coroutine(io, converse(nodes_over(faulty), received));
    } catch (const std::exception&) {
      CHECK(point.reached());
    }
    if (!point.reached()) CHECK(received == 2 * 3010);
  });
  CHECK(runs > 15);
}

TEST_CASE("wss: may be destroyed at every moment of a conversation") {
  for (const After after : {After::run_on, After::destroy_all}) {
    const std::size_t runs = stop_after_each_handler(after, [](asio::io_context& io) {
      auto tasks = std::make_unique<Tasks>(io.get_executor());
      auto run = [](Ends ends) -> awaitable<void> {
        std::size_t received = 0;
        co_await converse(std::move(ends), received);
        CHECK(received == 2 * 3010);
      };
      tasks->spawn(run(nodes_over(std::make_shared<MemoryMedium>(1000))));
      return tasks;
    });
    CHECK(runs > 40);
  }
}

namespace {

/// Cuts what is dialled alone.
class CuttingMedium final : public PassingMedium<CuttingTransport, Cut> {
 public:
  using PassingMedium::PassingMedium;
  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override {
    return medium_->listen(executor, address);
  }
};

constexpr std::size_t said_bytes = 40;

awaitable<void> say_and_finish(Medium& medium) {
  try {
    const TransportPtr transport = co_await medium.dial("wss://somewhere");
    co_await write_bytes(*transport, said_bytes);
    transport->finish();
    co_await read_to_end(*transport);
  } catch (const boost::system::system_error&) {
    // It was cut.
  }
}

struct Heard {
  bool is_accepted = false;
  std::optional<std::size_t> in_order; // bytes before an end in order; none: it ended in another way
};

awaitable<void> hear_one(Listener& listener, Heard& heard) {
  const TransportPtr transport = co_await listener.accept();
  heard.is_accepted = true;
  try {
    const std::size_t count = co_await read_to_end(*transport);
    heard.in_order = count;
  } catch (const boost::system::system_error&) {
  }
}

awaitable<void> turns(int count) {
  for (int turn = 0; turn < count; ++turn) co_await asio::post(asio::use_awaitable);
}

awaitable<void> run_cut(std::shared_ptr<Cut> cut, Heard& heard) {
  const Executor executor = co_await asio::this_coro::executor;
  const Ends ends = nodes_over(std::make_shared<CuttingMedium>(std::make_shared<MemoryMedium>(), cut));
  const auto listener = ends.listening->listen(executor, "wss://somewhere");
  Tasks hearing(executor);
  hearing.spawn(hear_one(*listener, heard));
  co_await say_and_finish(*ends.dialling);
  co_await turns(50);
  if (!heard.is_accepted) hearing.cancel(); // it was cut before it was a WebSocket
  co_await hearing.join();
}

} // namespace

TEST_CASE("wss: cut at any byte, what has come never looks whole") {
  std::size_t at = 1;
  for (;; ++at) {
    CAPTURE(at);
    const auto cut = std::make_shared<Cut>(Cut{at});
    Heard heard;
    run_coroutine(run_cut(cut, heard));
    if (heard.in_order) CHECK(*heard.in_order == said_bytes);
    if (cut->passed == cut->bytes) continue;
    CHECK(heard.in_order);
    break;
  }
  CHECK(at > 500);
}

// One port for nodes and the web.

namespace {

/// How a dial came out on both sides.
struct Met {
  std::string failure;    // of the dial; empty: none
  std::string refused;    // what the port says of one that it refused
  std::optional<NodeId> seen_by_dialler; // whose key
  std::optional<NodeId> seen_by_port;
};

awaitable<void> dial_and_tell(Medium& medium, std::string address, Met& met, TransportPtr& kept) {
  try {
    kept = co_await medium.dial(std::move(address));
    if (const ChannelProof* const proof = kept->proof()) met.seen_by_dialler = proof->far->id;
  } catch (const boost::system::system_error& failure) {
    met.failure = failure.what();
  }
}

awaitable<void> accept_and_tell(Listener& listener, Met& met) {
  const TransportPtr accepted = co_await listener.accept();
  if (const ChannelProof* const proof = accepted->proof()) met.seen_by_port = proof->far->id;
  CHECK(accepted->remote().starts_with("wss://"));
  CHECK(accepted->remote().ends_with("#" + (met.seen_by_port ? met.seen_by_port->to_string() : "")) ==
        met.seen_by_port.has_value());
}

struct Meeting {
  std::shared_ptr<Identity> dialling;
  std::shared_ptr<WebTls> dialling_web;
  std::shared_ptr<Identity> listening;
  std::shared_ptr<WebTls> listening_web;
  std::string pin{}; // "#ID"
};

awaitable<void> meet(Meeting meeting, Met& met) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto memory = std::make_shared<MemoryMedium>();
  WebSocketOptions options;
  options.on_refused = [&met](const std::string& remote, const std::string& why) {
    CHECK(remote.starts_with("wss://"));
    met.refused = why;
  };
  const auto dialling = make_web_socket_tls_medium(meeting.dialling, {}, meeting.dialling_web, memory);
  const auto listening = make_web_socket_tls_medium(meeting.listening, std::move(options), meeting.listening_web, memory);
  const auto listener = listening->listen(executor, "wss://somewhere");
  TransportPtr kept;
  auto dial = [](Medium& medium, std::string address, Met& into, TransportPtr& transport,
                 Listener& port) -> awaitable<void> {
    co_await dial_and_tell(medium, std::move(address), into, transport);
    if (into.failure.empty()) co_await accept_and_tell(port, into);
  };
  co_await dial(*dialling, "wss://somewhere" + meeting.pin, met, kept, *listener);
  co_await turns(50); // the port says what it has refused a little later
}

Met met(Meeting meeting) {
  Met outcome;
  run_coroutine(meet(std::move(meeting), outcome));
  return outcome;
}

} // namespace

TEST_CASE("wss: two nodes know each other by their keys, also on a port that has a certificate for the web") {
  for (const bool for_web : {false, true}) {
    const Met both = met({identity_of(key_a(), {key_b().id()}), nullptr, identity_of(key_b(), {key_a().id()}),
                          for_web ? host().shown() : nullptr, "#" + key_b().id().to_string()});
    CHECK(both.failure == "");
    CHECK(both.seen_by_dialler == key_b().id());
    CHECK(both.seen_by_port == key_a().id());
  }
}

TEST_CASE("wss: without a key of its own a far side of the web is let in, and proves nothing") {
  for (const bool has_key : {false, true}) {
    const Met both = met({nullptr, host().trusted(), has_key ? identity_of(key_b()) : nullptr, host().shown()});
    CHECK(both.failure == "");
    CHECK_FALSE(both.seen_by_dialler);
    CHECK_FALSE(both.seen_by_port);
  }
}

TEST_CASE("wss: a node that dials a host of the web without a pin goes by the certificate, and shows no key") {
  const Met both = met({identity_of(key_a()), host().trusted(), nullptr, host().shown()});
  CHECK(both.failure == "");
  CHECK_FALSE(both.seen_by_dialler);
  CHECK_FALSE(both.seen_by_port);
}

TEST_CASE("wss: where a key is expected, by a pin or a known node, no certificate of the web will do") {
  const Met pinned = met({identity_of(key_a()), host().trusted(), nullptr, host().shown(), "#" + key_b().id().to_string()});
  CHECK(says(pinned.failure, "wss://somewhere speaks TLS, but not \"trunkline-ws\""));
  CHECK(says(pinned.refused, "speaks TLS and wants \"trunkline-ws\", expected \"http/1.1\""));

  const TemporaryDirectory directory;
  TrustOptions trust;
  trust.known_nodes_file = directory.write("known", key_b().id().to_string() + " - mem://somewhere\n");
  const auto knowing = std::make_shared<Identity>(key_a(), std::move(trust));
  CHECK(says(met({knowing, host().trusted(), nullptr, host().shown()}).failure, "but not \"trunkline-ws\""));

  CHECK(says(met({nullptr, host().trusted(), identity_of(key_b()), host().shown(), "#" + key_b().id().to_string()}).failure,
             "this node has no key to show there"));
}

TEST_CASE("wss: an unknown or wrong key is refused, and both sides hear why") {
  const Met unknown = met({identity_of(key_a()), nullptr, identity_of(key_b(), {key_a().id()}), nullptr});
  CHECK(says(unknown.failure, "shows the key " + key_b().id().to_string() + ", which is not known here"));
  CHECK(says(unknown.refused, "does not know this node's key " + key_b().id().to_string()));

  const Met wrong = met({identity_of(key_a()), nullptr, identity_of(key_b(), {key_a().id()}), nullptr,
                         "#" + key_a().id().to_string()});
  CHECK(says(wrong.failure, key_b().id().to_string()));
  CHECK(says(wrong.failure, key_a().id().to_string()));

  const Met refused = met({identity_of(key_a(), {key_b().id()}), nullptr, identity_of(key_b()), nullptr});
  CHECK(says(refused.failure, "does not know this node's key " + key_a().id().to_string()));
  CHECK(says(refused.refused, "shows the key " + key_a().id().to_string() + ", which is not known here"));
}

TEST_CASE("wss: a certificate for another host, of nobody who is trusted, or of yesterday is refused") {
  const Host elsewhere(make_web_certificate("DNS:elsewhere"));
  CHECK(says(met({nullptr, elsewhere.trusted(), nullptr, elsewhere.shown()}).failure, "hostname mismatch"));
  const Host stranger;
  CHECK(says(met({nullptr, host().trusted(), nullptr, stranger.shown()}).failure, "is not trusted: self-signed certificate"));
  CHECK(says(met({nullptr, nullptr, nullptr, host().shown()}).failure, "is not trusted: self-signed certificate"));
  const Host expired(make_web_certificate("DNS:somewhere", -60));
  CHECK(says(met({nullptr, expired.trusted(), nullptr, expired.shown()}).failure, "certificate has expired"));
}

TEST_CASE("wss: a port that is for nodes alone has nothing for the web, and tls and wss are told apart") {
  const Met web = met({nullptr, host().trusted(), identity_of(key_b(), {key_a().id()}), nullptr});
  CHECK(says(web.failure, "speaks TLS, but not \"http/1.1\""));

  auto dial_tls = [](std::string& text) -> awaitable<void> {
    const Executor executor = co_await asio::this_coro::executor;
    const auto memory = std::make_shared<MemoryMedium>();
    const auto tls = make_tls_medium(identity_of(key_a(), {key_b().id()}), memory);
    const auto wss = make_web_socket_tls_medium(identity_of(key_b(), {key_a().id()}), {}, host().shown(), memory);
    const auto listener = wss->listen(executor, "wss://somewhere");
    try {
      co_await tls->dial("mem://somewhere");
    } catch (const boost::system::system_error& failure) {
      text = failure.what();
    }
  };
  std::string text;
  run_coroutine(dial_tls(text));
  CHECK(says(text, "speaks TLS, but not \"trunkline\""));
}

// Attacks.

namespace {

awaitable<void> say_raw(std::string bytes, std::string& heard, std::string& refused) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto memory = std::make_shared<MemoryMedium>();
  WebSocketOptions options;
  options.on_refused = [&refused](const std::string&, const std::string& why) { refused = why; };
  const auto wss = make_web_socket_tls_medium(identity_of(key_b()), std::move(options), host().shown(), memory);
  const auto listener = wss->listen(executor, "wss://somewhere");
  const TransportPtr far = co_await memory->dial("mem://somewhere");
  const std::span<const std::byte> piece = std::as_bytes(std::span(bytes));
  co_await far->write(std::span(&piece, 1));
  far->finish();
  std::vector<std::byte> into(4096);
  try {
    for (std::size_t count = 1; count > 0;) {
      count = co_await far->read_some(into);
      heard.append(reinterpret_cast<const char*>(into.data()), count);
    }
  } catch (const boost::system::system_error&) {
  }
  for (int turn = 0; turn < 1000 && refused.empty(); ++turn) co_await asio::post(asio::use_awaitable);
}

} // namespace

TEST_CASE("wss: what is no TLS is named, and gets no page; an HTTP request is told so in one line") {
  const std::pair<std::string, std::string> rows[] = {
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "an HTTP request or answer without TLS"},
      {std::string("\x89TRNK\r\n\x1a", 8), "a trunk without TLS"},
      {"SSH-2.0-x\r\n", "an SSH banner"},
  };
  for (const auto& [bytes, words] : rows) {
    std::string heard;
    std::string refused;
    run_coroutine(say_raw(bytes, heard, refused));
    CHECK(says(refused, "does not speak TLS: it says " + words));
    const bool asked = bytes.starts_with("GET");
    CHECK(heard.starts_with("HTTP/1.1 400 ") == asked);
    CHECK(heard.ends_with("\r\n\r\nThis port speaks TLS: ask for https:// instead of http://.\n") == asked);
    CHECK((heard.find("HTTP") != std::string::npos) == asked);
  }
}

static awaitable<void> silent_ones();
TEST_CASE("wss: far sides that say nothing keep nobody out, and go after the deadline") { run_coroutine(silent_ones()); }
static awaitable<void> silent_ones() {
  const Executor executor = co_await asio::this_coro::executor;
  const auto memory = std::make_shared<MemoryMedium>();
  WebSocketOptions options;
  options.visitors_max = 8;
  options.handshake_deadline = std::chrono::milliseconds(200);
  const Ends ends = nodes_over(memory, options);
  const auto listener = ends.listening->listen(executor, "wss://somewhere");
  std::vector<TransportPtr> silent;
  for (int count = 0; count < 50; ++count) silent.push_back(co_await memory->dial("mem://somewhere"));
  const auto both = co_await (ends.dialling->dial("wss://somewhere") && listener->accept());
  CHECK(std::get<1>(both)->proof()->far->id == key_a().id());
  for (const TransportPtr& transport : silent) {
    std::byte byte{};
    std::size_t count = 0;
    try {
      count = co_await transport->read_some(std::span(&byte, 1));
    } catch (const boost::system::system_error&) {
    }
    CHECK(count == 0);
  }
}

static awaitable<void> slow_ones();
TEST_CASE("wss: one deadline is for TLS and the request together, however slowly their bytes come") {
  run_coroutine(slow_ones());
}
static awaitable<void> slow_ones() {
  const Executor executor = co_await asio::this_coro::executor;
  const auto memory = std::make_shared<MemoryMedium>();
  WebSocketOptions options;
  options.handshake_deadline = std::chrono::milliseconds(200);
  const auto wss = make_web_socket_tls_medium(nullptr, options, host().shown(), memory);
  const auto tls = make_web_tls_medium(nullptr, host().trusted(), memory);
  const auto listener = wss->listen(executor, "wss://somewhere");
  const TransportPtr far = co_await tls->dial("mem://somewhere"); // and asks for nothing
  std::byte byte{};
  std::size_t count = 1;
  try {
    count = co_await far->read_some(std::span(&byte, 1));
  } catch (const boost::system::system_error&) {
    count = 0;
  }
  CHECK(count == 0);
}

// Files.

TEST_CASE("wss: a renewed certificate is shown from then on, and one that cannot be used changes nothing") {
  const Host renewed;
  const std::shared_ptr<WebTls> shown = renewed.shown();
  const WebCertificate next = make_web_certificate("DNS:somewhere");
  renewed.change(next);
  const std::shared_ptr<WebTls> trusting_next = renewed.trusted();
  CHECK(says(met({nullptr, trusting_next, nullptr, shown}).failure, "is not trusted"));
  shown->reload();
  CHECK(met({nullptr, trusting_next, nullptr, shown}).failure == "");

  renewed.directory().write("key.pem", make_web_certificate("DNS:somewhere").key);
  CHECK_THROWS_AS(shown->reload(), boost::system::system_error);
  CHECK(met({nullptr, trusting_next, nullptr, shown}).failure == "");
}

TEST_CASE("wss: files that cannot be used are refused by name") {
  const auto failure = [](const std::string& certificate, const std::string& key) {
    WebTlsOptions options;
    options.certificate_file = certificate;
    options.key_file = key;
    std::string text = "none";
    try {
      const WebTls made(options);
    } catch (const boost::system::system_error& thrown) {
      CHECK(thrown.code() == error::unusable_file);
      text = thrown.what();
    }
    return text;
  };
  const TemporaryDirectory directory;
  const WebCertificate made = make_web_certificate("DNS:somewhere");
  const std::string open_key = directory.write("open.pem", made.key, 0644);
  const std::string both = directory.write("both.pem", made.chain + made.key);
  const std::string both_open = directory.write("both-open.pem", made.chain + made.key, 0644);
  CHECK(failure(both, "") == "none");
  CHECK(says(failure(both_open, ""), "certificate file \"" + both_open + "\": others may read it"));
  CHECK(says(failure(host().chain_file(), open_key), "key file \"" + open_key + "\": others may read it"));
  CHECK(says(failure(host().chain_file(), both), "its key is not that of the first certificate"));
  CHECK(says(failure(host().key_file(), ""), "holds no certificate in PEM"));
  CHECK(says(failure(directory / "none.pem", ""), "there is none"));
  CHECK(says(failure(host().chain_file(), host().chain_file()), "key file"));

  const auto medium = make_web_socket_tls_medium(nullptr);
  asio::io_context io(1);
  CHECK_THROWS_WITH_AS(medium->listen(io.get_executor(), "wss://127.0.0.1:0"),
                       "cannot listen on wss://127.0.0.1:0: that needs a certificate for browsers, a key for nodes, or both",
                       boost::system::system_error);
}

} // namespace trunkline::test
