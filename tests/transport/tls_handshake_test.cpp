// The table of attacks on the handshake of TLS, each with its outcome, and what breaks in the middle of one.
//
// Both ends run over memory: `shake` does the handshake of one end and then reads, because a far side that refuses our
// key may say so only after our handshake. RawTls is an OpenSSL end without any of our rules, for far sides that no node
// of ours would be.
#include "transport/tls_stream.hpp"

#include "async/clock.hpp"
#include "fragment/error.hpp"
#include "tests/peer/faulty.hpp"
#include "tests/support/breakpoints.hpp"
#include "tests/support/coroutine.hpp"
#include "tests/support/passing_medium.hpp"
#include "transport/memory.hpp"
#include "transport/sim/world.hpp"
#include "transport/tls.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::test {
namespace {

using namespace asio::experimental::awaitable_operators;
using TransportPtr = std::unique_ptr<Transport>;

struct Pipe {
  TransportPtr dialler;
  TransportPtr answerer;
};

awaitable<Pipe> make_pipe() {
  MemoryMedium medium;
  const Executor executor = co_await asio::this_coro::executor;
  const auto listener = medium.listen(executor, "mem://pipe");
  auto both = co_await (medium.dial("mem://pipe") && listener->accept());
  Pipe pipe{std::move(std::get<0>(both)), std::move(std::get<1>(both))};
  co_return pipe;
}

awaitable<void> write_text(Transport& to, std::string_view text) {
  const std::span<const std::byte> piece = std::as_bytes(std::span(text));
  co_await to.write(std::span(&piece, 1));
}

/// How a handshake came out: no code when it was done, and the far side said nothing against it.
struct Outcome {
  error code = error::none;
  std::string text;
  std::string heard; // the first bytes of the far side
  std::optional<RemoteIdentity> who;
};

awaitable<void> shake(Transport* transport, Outcome* outcome) {
  std::exception_ptr failure;
  try {
    co_await transport->handshake();
    if (const ChannelProof* const proof = transport->proof()) outcome->who = *proof->far;
    co_await write_text(*transport, "hello");
    std::byte bytes[64];
    const std::size_t count = co_await transport->read_some(bytes);
    outcome->heard.assign(reinterpret_cast<const char*>(bytes), count);
  } catch (const boost::system::system_error& thrown) {
    outcome->text = thrown.what();
    outcome->code = thrown.code().category() == trunkline_category() ? static_cast<error>(thrown.code().value())
                                                                      : error::trunk_lost;
  }
  if (outcome->code != error::none) transport->close();
}

std::shared_ptr<Identity> identity_of(const IdentityKey& key, const std::vector<NodeId>& trusted = {}) {
  TrustOptions options;
  options.pins = trusted;
  return std::make_shared<Identity>(key, std::move(options));
}

struct Setup {
  std::shared_ptr<Identity> dialling;
  std::shared_ptr<Identity> answering;
  std::string protocol_dialled{tls_protocol};
  std::string protocol_answered{tls_protocol};
  std::optional<NodeId> pin = std::nullopt;
};

struct Outcomes {
  Outcome dialler;
  Outcome answerer;
};

awaitable<void> run_setup(Setup setup, Outcomes* outcomes) {
  const Executor executor = co_await asio::this_coro::executor;
  Pipe pipe = co_await make_pipe();
  TlsSide dialled;
  dialled.dialled = true;
  dialled.address = "tls://there:7000";
  dialled.protocol = setup.protocol_dialled;
  dialled.pin = setup.pin;
  TlsSide answered;
  answered.protocol = setup.protocol_answered;
  const TransportPtr one = make_tls_transport(executor, std::move(pipe.dialler), setup.dialling, std::move(dialled));
  const TransportPtr other = make_tls_transport(executor, std::move(pipe.answerer), setup.answering, std::move(answered));
  co_await (shake(one.get(), &outcomes->dialler) && shake(other.get(), &outcomes->answerer));
}

Outcomes outcomes_of(Setup setup) {
  Outcomes outcomes;
  run_coroutine(run_setup(std::move(setup), &outcomes));
  return outcomes;
}

bool says(const std::string& text, const std::string& part) {
  CAPTURE(text);
  return text.find(part) != std::string::npos;
}

const IdentityKey& key_a() {
  static const IdentityKey key = IdentityKey::draw();
  return key;
}
const IdentityKey& key_b() {
  static const IdentityKey key = IdentityKey::draw();
  return key;
}

/// An OpenSSL end over a transport, with no rules but those that a test gives it.
class RawTls {
 public:
  RawTls(TransportPtr transport, bool dialled, const std::function<void(SSL_CTX*)>& rules = {})
      : transport_(std::move(transport)), context_(SSL_CTX_new(TLS_method()), SSL_CTX_free) {
    if (rules) rules(context_.get());
    ssl_.reset(SSL_new(context_.get()), SSL_free);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), in_, out_);
    if (dialled) SSL_set_connect_state(ssl_.get());
    else SSL_set_accept_state(ssl_.get());
    const unsigned char offer[] = "\x09trunkline";
    if (dialled) SSL_set_alpn_protos(ssl_.get(), offer, sizeof offer - 1);
  }

  /// Says whether it came to its end.
  awaitable<bool> handshake() {
    for (;;) {
      const int result = SSL_do_handshake(ssl_.get());
      const int kind = SSL_get_error(ssl_.get(), result);
      co_await flush();
      if (result == 1) co_return true;
      if (kind != SSL_ERROR_WANT_READ) co_return false;
      const bool more = co_await fill();
      if (!more) co_return false;
    }
  }
  awaitable<void> flush() {
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(out_, &bytes);
    if (size <= 0) co_return;
    const std::string text(bytes, static_cast<std::size_t>(size));
    BIO_reset(out_);
    try {
      co_await write_text(*transport_, text);
    } catch (const boost::system::system_error&) {
      // The node has heard enough; what it said is still to be read.
    }
  }
  awaitable<bool> fill() {
    std::byte bytes[4096];
    std::size_t count = 0;
    try {
      count = co_await transport_->read_some(bytes);
    } catch (const boost::system::system_error&) {
    }
    if (count > 0) BIO_write(in_, bytes, static_cast<int>(count));
    co_return count > 0;
  }
  SSL* ssl() const { return ssl_.get(); }
  Transport& transport() { return *transport_; }

 private:
  TransportPtr transport_;
  std::shared_ptr<SSL_CTX> context_;
  std::shared_ptr<SSL> ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
};

awaitable<void> run_raw(RawTls* raw, bool* done) {
  const bool ended = co_await raw->handshake();
  *done = ended;
  raw->transport().finish();
  for (bool more = ended; more;) more = co_await raw->fill();
  raw->transport().close();
}

awaitable<void> answer_raw(std::function<void(SSL_CTX*)> rules, std::shared_ptr<Identity> identity, Outcome* outcome,
                           bool* raw_done) {
  const Executor executor = co_await asio::this_coro::executor;
  Pipe pipe = co_await make_pipe();
  RawTls raw(std::move(pipe.dialler), true, rules);
  const TransportPtr answerer = make_tls_transport(executor, std::move(pipe.answerer), std::move(identity), TlsSide());
  co_await (run_raw(&raw, raw_done) && shake(answerer.get(), outcome));
}

/// What an answering node says to a raw dialler.
Outcome outcome_with_raw(const std::function<void(SSL_CTX*)>& rules, std::shared_ptr<Identity> identity = nullptr) {
  Outcome outcome;
  bool raw_done = false;
  if (!identity) identity = identity_of(key_a(), {key_b().id()});
  run_coroutine(answer_raw(rules, std::move(identity), &outcome, &raw_done));
  return outcome;
}

void show(SSL_CTX* context, const IdentityKey& key) {
  SSL_CTX_use_certificate(context, key.certificates().front().get());
  SSL_CTX_use_PrivateKey(context, key.key());
}

awaitable<void> answer_bytes(std::string bytes, bool dialled, Outcome* outcome) {
  const Executor executor = co_await asio::this_coro::executor;
  Pipe pipe = co_await make_pipe();
  TlsSide side;
  side.dialled = dialled;
  if (dialled) side.address = "tls://there:7000";
  const TransportPtr tls = make_tls_transport(executor, std::move(pipe.answerer), identity_of(key_a()), std::move(side));
  auto say = [](Transport* transport, std::string text) -> awaitable<void> {
    co_await write_text(*transport, text);
    transport->finish();
  };
  co_await (say(pipe.dialler.get(), std::move(bytes)) && shake(tls.get(), outcome));
}

/// What a node says to bytes that are no TLS.
Outcome outcome_with_bytes(std::string bytes, bool dialled) {
  Outcome outcome;
  run_coroutine(answer_bytes(std::move(bytes), dialled, &outcome));
  return outcome;
}

} // namespace

// What is as it should be.

TEST_CASE("tls handshake: both sides know each other by their keys") {
  const Outcomes outcomes = outcomes_of({identity_of(key_a(), {key_b().id()}), identity_of(key_b(), {key_a().id()})});
  REQUIRE(outcomes.dialler.text == "");
  REQUIRE(outcomes.answerer.text == "");
  CHECK(outcomes.dialler.who->id == key_b().id());
  CHECK(outcomes.answerer.who->id == key_a().id());
  CHECK(outcomes.dialler.heard == "hello");
  CHECK(outcomes.answerer.heard == "hello");
}

TEST_CASE("tls handshake: a node with a new key is still the one with the old key") {
  const IdentityKey next =
      key_b().successor(Validity::from_now(key_validity_default), Validity::from_now(std::chrono::hours(1)));
  const Outcomes outcomes = outcomes_of({identity_of(key_a(), {key_b().id()}), identity_of(next, {key_a().id()})});
  REQUIRE(outcomes.dialler.text == "");
  CHECK(outcomes.dialler.who->id == next.id());
  CHECK(outcomes.dialler.who->is(key_b().id()));

  const IdentityKey late = key_b().successor(
      Validity::from_now(key_validity_default),
      Validity{std::chrono::system_clock::now() - std::chrono::hours(2), std::chrono::system_clock::now() - std::chrono::hours(1)});
  CHECK(outcomes_of({identity_of(key_a(), {key_b().id()}), identity_of(late, {key_a().id()})}).dialler.code ==
        error::unknown_key);
}

// The table of attacks.

TEST_CASE("tls handshake: an unknown key is refused on either side, and the refused one hears why") {
  const Outcomes of_answerer = outcomes_of({identity_of(key_a()), identity_of(key_b(), {key_a().id()})});
  CHECK(of_answerer.dialler.code == error::unknown_key);
  CHECK(says(of_answerer.dialler.text, "tls://there:7000 shows the key " + key_b().id().to_string() + ", which is not known here"));
  CHECK(of_answerer.answerer.code == error::key_refused);
  CHECK(says(of_answerer.answerer.text, "does not know this node's key " + key_b().id().to_string()));

  const Outcomes of_dialler = outcomes_of({identity_of(key_a(), {key_b().id()}), identity_of(key_b())});
  CHECK(of_dialler.answerer.code == error::unknown_key);
  CHECK(of_dialler.dialler.code == error::key_refused);
  CHECK(says(of_dialler.dialler.text, "does not know this node's key " + key_a().id().to_string()));
}

TEST_CASE("tls handshake: a wrong key is refused with both fingerprints") {
  Setup setup{identity_of(key_a()), identity_of(key_b(), {key_a().id()})};
  setup.pin = key_a().id();
  const Outcomes outcomes = outcomes_of(std::move(setup));
  CHECK(outcomes.dialler.code == error::wrong_key);
  CHECK(says(outcomes.dialler.text, key_a().id().to_string()));
  CHECK(says(outcomes.dialler.text, key_b().id().to_string()));
  CHECK(outcomes.answerer.code == error::key_refused);
}

TEST_CASE("tls handshake: certificates that are not valid now are told apart") {
  const auto now = std::chrono::system_clock::now();
  const IdentityKey expired = IdentityKey::draw({now - std::chrono::hours(48), now - std::chrono::hours(24)});
  const IdentityKey early = IdentityKey::draw({now + std::chrono::hours(24), now + std::chrono::hours(48)});
  const Outcomes of_expired = outcomes_of({identity_of(key_a(), {expired.id()}), identity_of(expired, {key_a().id()})});
  CHECK(of_expired.dialler.code == error::certificate_expired);
  CHECK(says(of_expired.dialler.text, "has expired: it was valid until"));
  CHECK(says(of_expired.answerer.text, "has expired"));
  const Outcomes of_early = outcomes_of({identity_of(key_a(), {early.id()}), identity_of(early, {key_a().id()})});
  CHECK(of_early.dialler.code == error::certificate_not_yet_valid);
  CHECK(says(of_early.dialler.text, "is valid from"));
}

TEST_CASE("tls handshake: a node that meets its own key has met itself") {
  const Outcomes outcomes = outcomes_of({identity_of(key_a()), identity_of(key_a())});
  CHECK(outcomes.dialler.code == error::dialled_self);
  CHECK(says(outcomes.dialler.text, "this node's own key"));
}

TEST_CASE("tls handshake: what is no TLS is named, in either direction") {
  const auto check = [](const std::string& bytes, const std::string& words) {
    for (const bool dialled : {false, true}) {
      const Outcome outcome = outcome_with_bytes(bytes, dialled);
      CHECK(outcome.code == error::no_tls);
      CHECK(says(outcome.text, "does not speak TLS: it says " + words));
    }
  };
  check("\x89TRNK\r\n\x01", "a trunk without TLS");
  check("GET / HTTP/1.1\r\n\r\n", "an HTTP request or answer without TLS");
  check("HTTP/1.1 400 Bad Request\r\n\r\n", "an HTTP request or answer without TLS");
  check("SSH-2.0-OpenSSH_9.2\r\n", "an SSH banner");
  check("nonsense", "\"nonsense\"");
}

TEST_CASE("tls handshake: TLS of another protocol is named") {
  Setup setup{identity_of(key_a(), {key_b().id()}), identity_of(key_b(), {key_a().id()})};
  setup.protocol_dialled = "h2";
  const Outcomes outcomes = outcomes_of(std::move(setup));
  CHECK(outcomes.answerer.code == error::not_trunkline);
  CHECK(says(outcomes.answerer.text, "speaks TLS and wants \"h2\", expected \"trunkline\""));
  CHECK(outcomes.dialler.code == error::not_trunkline);
  CHECK(says(outcomes.dialler.text, "speaks TLS, but not \"h2\""));
}

TEST_CASE("tls handshake: a server of the web is not trunkline") {
  // It does not look at the protocol names of its callers.
  Outcome outcome;
  auto scenario = [](Outcome* into) -> awaitable<void> {
    const Executor executor = co_await asio::this_coro::executor;
    Pipe pipe = co_await make_pipe();
    RawTls raw(std::move(pipe.answerer), false, [](SSL_CTX* context) { show(context, key_b()); });
    TlsSide side;
    side.dialled = true;
    side.address = "tls://there:7000";
    const TransportPtr dialler =
        make_tls_transport(executor, std::move(pipe.dialler), identity_of(key_a(), {key_b().id()}), std::move(side));
    bool done = false;
    co_await (run_raw(&raw, &done) && shake(dialler.get(), into));
  };
  run_coroutine(scenario(&outcome));
  CHECK(outcome.code == error::not_trunkline);
  CHECK(says(outcome.text, "does not name the protocol \"trunkline\""));
}

TEST_CASE("tls handshake: TLS 1.2 is refused") {
  const Outcome outcome = outcome_with_raw([](SSL_CTX* context) {
    show(context, key_b());
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
  });
  CHECK(outcome.code == error::not_secured);
  CHECK(says(outcome.text, "speaks no TLS 1.3"));
}

TEST_CASE("tls handshake: weak groups are refused") {
  const Outcome outcome = outcome_with_raw([](SSL_CTX* context) {
    show(context, key_b());
    SSL_CTX_set1_groups_list(context, "ffdhe2048");
  });
  CHECK(outcome.code == error::not_secured);
  CHECK(says(outcome.text, "knows none of the groups"));
}

TEST_CASE("tls handshake: a far side without a certificate is refused") {
  const Outcome outcome = outcome_with_raw({});
  CHECK(outcome.code == error::unknown_key);
  CHECK(says(outcome.text, "shows no key"));
}

TEST_CASE("tls handshake: a certificate of another kind of key is refused") {
  const Outcome outcome = outcome_with_raw([](SSL_CTX* context) {
    const std::shared_ptr<EVP_PKEY> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const std::shared_ptr<X509> certificate(X509_new(), X509_free);
    X509_set_pubkey(certificate.get(), key.get());
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_sign(certificate.get(), key.get(), EVP_sha256());
    SSL_CTX_use_certificate(context, certificate.get());
    SSL_CTX_use_PrivateKey(context, key.get());
  });
  CHECK(outcome.code == error::not_secured);
  CHECK(says(outcome.text, "expected Ed25519"));
}

TEST_CASE("tls handshake: certificates of a megabyte are refused before they are read") {
  const Outcome outcome = outcome_with_raw([](SSL_CTX* context) {
    show(context, key_b());
    for (int count = 0; count < 2000; ++count) SSL_CTX_add1_chain_cert(context, key_b().certificates().front().get());
  });
  CHECK(outcome.code == error::not_secured);
  CHECK(says(outcome.text, "more than"));
}

TEST_CASE("tls handshake: a session is never resumed") {
  const auto outcome = [](Outcome* into, bool* has_session) -> awaitable<void> {
    const Executor executor = co_await asio::this_coro::executor;
    Pipe pipe = co_await make_pipe();
    RawTls raw(std::move(pipe.dialler), true, [](SSL_CTX* context) { show(context, key_b()); });
    const TransportPtr answerer =
        make_tls_transport(executor, std::move(pipe.answerer), identity_of(key_a(), {key_b().id()}), TlsSide());
    bool done = false;
    co_await (run_raw(&raw, &done) && shake(answerer.get(), into));
    *has_session = SSL_SESSION_is_resumable(SSL_get0_session(raw.ssl())) == 1;
  };
  Outcome into;
  bool has_session = true;
  run_coroutine(outcome(&into, &has_session));
  CHECK_FALSE(has_session);
}

// What breaks in the middle.

namespace {

awaitable<void> run_cut(std::shared_ptr<Cut> cut, bool cuts_dialler, Outcomes* outcomes) {
  const Executor executor = co_await asio::this_coro::executor;
  Pipe pipe = co_await make_pipe();
  if (cuts_dialler) pipe.dialler = std::make_unique<CuttingTransport>(std::move(pipe.dialler), cut);
  else pipe.answerer = std::make_unique<CuttingTransport>(std::move(pipe.answerer), cut);
  TlsSide dialled;
  dialled.dialled = true;
  dialled.address = "tls://there:7000";
  const TransportPtr one =
      make_tls_transport(executor, std::move(pipe.dialler), identity_of(key_a(), {key_b().id()}), std::move(dialled));
  const TransportPtr other =
      make_tls_transport(executor, std::move(pipe.answerer), identity_of(key_b(), {key_a().id()}), TlsSide());
  co_await (shake(one.get(), &outcomes->dialler) && shake(other.get(), &outcomes->answerer));
}

awaitable<void> talk(std::shared_ptr<Medium> dialling, std::shared_ptr<Medium> listening, int* whole) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto listener = listening->listen(executor, "mem://there");
  auto answer = [](Listener* from) -> awaitable<void> {
    const TransportPtr transport = co_await from->accept();
    co_await transport->handshake();
    std::byte bytes[16];
    const std::size_t count = co_await transport->read_some(bytes);
    co_await write_text(*transport, std::string_view(reinterpret_cast<const char*>(bytes), count));
    transport->finish();
  };
  auto ask = [](Medium* medium, int* into) -> awaitable<void> {
    const TransportPtr transport = co_await medium->dial("mem://there");
    co_await write_text(*transport, "ping");
    std::byte bytes[16];
    std::size_t count = co_await transport->read_some(bytes);
    const std::size_t said = count;
    count = co_await transport->read_some(bytes);
    *into += said == 4 && count == 0;
  };
  co_await (answer(listener.get()) && ask(dialling.get(), whole));
}

} // namespace

TEST_CASE("tls handshake: cut at any byte it fails in words on both sides") {
  for (const bool cuts_dialler : {true, false}) {
    std::size_t at = 1;
    for (bool reached = true; reached; ++at) {
      const auto cut = std::make_shared<Cut>(Cut{at});
      Outcomes outcomes;
      run_coroutine(run_cut(cut, cuts_dialler, &outcomes));
      reached = cut->passed == cut->bytes;
      if (!reached) break;
      INFO("cut after ", at, " bytes of the ", cuts_dialler ? "dialler" : "answerer");
      const Outcome& reader = cuts_dialler ? outcomes.answerer : outcomes.dialler;
      CHECK((reader.code != error::none || reader.heard == "hello"));
      if (reader.code != error::none) CHECK(reader.text != "");
    }
    CHECK(at > 500);
  }
}

TEST_CASE("tls handshake: whichever operation fails, both ends come to their end") {
  const auto dialling = identity_of(key_a(), {key_b().id()});
  const auto answering = identity_of(key_b(), {key_a().id()});
  int whole = 0;
  const std::size_t runs = fail_each_io([&](FailPoint& point) {
    asio::io_context io(1);
    const auto below = std::make_shared<FaultyMedium>(std::make_shared<MemoryMedium>(), &point);
    asio::co_spawn(io, talk(make_tls_medium(dialling, below), make_tls_medium(answering, below), &whole),
                   [](std::exception_ptr) {});
    io.run();
  });
  CHECK(runs > 8);
  CHECK(whole >= 1); // the run without a failure
}

TEST_CASE("tls handshake: destroyed at any moment, nothing is left running") {
  const auto dialling = identity_of(key_a(), {key_b().id()});
  const auto answering = identity_of(key_b(), {key_a().id()});
  int whole = 0;
  for (const After after : {After::destroy_all}) {
    const std::size_t runs = stop_after_each_handler(after, [&](asio::io_context& io) {
      const auto below = std::make_shared<MemoryMedium>();
      asio::co_spawn(io, talk(make_tls_medium(dialling, below), make_tls_medium(answering, below), &whole),
                     [](std::exception_ptr) {});
      return below;
    });
    CHECK(runs > 8);
  }
  CHECK(whole >= 1);
}

// After the handshake.

namespace {

awaitable<void> read_to_the_end(Transport* transport, Outcome* outcome) {
  try {
    std::byte bytes[4096];
    for (std::size_t count = 1; count > 0;) count = co_await transport->read_some(bytes);
  } catch (const boost::system::system_error& thrown) {
    outcome->text = thrown.what();
    outcome->code = thrown.code() == make_error_code(error::not_secured) ? error::not_secured : error::trunk_lost;
  }
  transport->close();
}

awaitable<void> write_without_end(Transport* to) {
  const std::string much(1 << 20, 'x');
  try {
    for (;;) co_await write_text(*to, much);
  } catch (const boost::system::system_error&) {
    // It was closed.
  }
}

/// Asks the far side for new keys of its own, again and again, and reads nothing.
awaitable<void> renew_keys(RawTls* raw, Duration interval, int most, const Outcome* far, int* count) {
  const bool done = co_await raw->handshake();
  REQUIRE(done);
  for (; far->code == error::none && *count < most; ++*count) {
    SSL_key_update(raw->ssl(), SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(raw->ssl());
    co_await raw->flush();
    co_await sleep_for(interval);
  }
  raw->transport().close();
}

awaitable<void> flood_with_renewals(Duration interval, int most, bool writes, Outcome* outcome, int* count) {
  const Executor executor = co_await asio::this_coro::executor;
  Pipe pipe = co_await make_pipe();
  RawTls raw(std::move(pipe.dialler), true, [](SSL_CTX* context) { show(context, key_b()); });
  const TransportPtr tls =
      make_tls_transport(executor, std::move(pipe.answerer), identity_of(key_a(), {key_b().id()}), TlsSide());
  if (writes) {
    co_await (renew_keys(&raw, interval, most, outcome, count) && read_to_the_end(tls.get(), outcome) &&
              write_without_end(tls.get()));
  } else {
    co_await (renew_keys(&raw, interval, most, outcome, count) && read_to_the_end(tls.get(), outcome));
  }
}

} // namespace

TEST_CASE("tls: renewals of keys beyond one a second, and some at once, end the connection in words") {
  for (const bool writes : {false, true}) {
    sim::World world(1);
    Outcome outcome;
    int count = 0;
    world.run(flood_with_renewals(Duration::zero(), 5000, writes, &outcome, &count));
    CHECK(outcome.code == error::not_secured);
    CHECK(says(outcome.text, "renews its TLS keys without end"));
    CHECK(count == 33);
  }
}

TEST_CASE("tls: renewals of keys once a second are no flood") {
  sim::World world(1);
  Outcome outcome;
  int count = 0;
  world.run(flood_with_renewals(std::chrono::seconds(1), 1000, false, &outcome, &count));
  CHECK(count == 1000);
  CHECK_FALSE(says(outcome.text, "renews"));
}

TEST_CASE("tls: answers to renewals of keys are bounded while what was written before is not read") {
  sim::World world(1);
  Outcome outcome;
  int count = 0;
  world.run(flood_with_renewals(std::chrono::seconds(1), 5000, true, &outcome, &count));
  CHECK(outcome.code == error::not_secured);
  CHECK(says(outcome.text, "renews its TLS keys without end"));
  CHECK(count > 2000);
  CHECK(count < 3000); // 27 bytes for each, in 64 KiB
}

TEST_CASE("tls: bytes of every size and cut arrive as they were sent") {
  // Records are 16 KiB; what is around that size crosses their borders.
  auto scenario = []() -> awaitable<void> {
    const Executor executor = co_await asio::this_coro::executor;
    Pipe pipe = co_await make_pipe();
    TlsSide dialled;
    dialled.dialled = true;
    dialled.address = "tls://there:7000";
    const TransportPtr one =
        make_tls_transport(executor, std::move(pipe.dialler), identity_of(key_a(), {key_b().id()}), std::move(dialled));
    const TransportPtr other =
        make_tls_transport(executor, std::move(pipe.answerer), identity_of(key_b(), {key_a().id()}), TlsSide());
    co_await (one->handshake() && other->handshake());
    auto send = [](Transport* to, const std::vector<std::vector<std::byte>>* pieces) -> awaitable<void> {
      std::vector<std::span<const std::byte>> spans(pieces->begin(), pieces->end());
      co_await to->write(spans);
    };
    auto receive = [](Transport* from, std::size_t size, std::vector<std::byte>* into) -> awaitable<void> {
      while (into->size() < size) {
        std::byte bytes[5000];
        const std::size_t count = co_await from->read_some(bytes);
        if (count == 0) break;
        into->insert(into->end(), bytes, bytes + count);
      }
    };
    for (const std::size_t size : {1u, 64u, 16383u, 16384u, 16385u, 40000u, 131071u, 131072u, 300000u}) {
      for (const std::size_t small : {0u, 1u, 700u, 16384u}) {
        std::vector<std::vector<std::byte>> pieces(3);
        pieces[0].assign(small, std::byte{1});
        pieces[1].assign(size, std::byte{2});
        pieces[2].assign(small, std::byte{3});
        std::vector<std::byte> expected;
        for (const auto& piece : pieces) expected.insert(expected.end(), piece.begin(), piece.end());
        std::vector<std::byte> received;
        co_await (send(one.get(), &pieces) && receive(other.get(), expected.size(), &received));
        CHECK((received == expected));
      }
    }
  };
  run_coroutine(scenario());
}

} // namespace trunkline::test
