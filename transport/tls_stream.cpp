#include "transport/tls_stream.hpp"

#include "async/clock.hpp"
#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "async/within.hpp"
#include "fragment/error.hpp"
#include "fragment/quote.hpp"
#include "transport/address.hpp"
#include "transport/failure.hpp"
#include "transport/openssl.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <new>
#include <utility>
#include <vector>

namespace trunkline {
namespace {

constexpr std::size_t record_bytes_max = 16 * 1024;  // of plaintext, by the protocol
constexpr std::size_t write_bytes_max = 128 * 1024;  // encrypted ahead of one write of the inner transport
constexpr std::size_t read_bytes_min = 4 * 1024;
constexpr std::size_t read_bytes_max = 128 * 1024;
constexpr int quiet_reads_max = 4;
constexpr std::size_t kept_bytes_max = 16 * 1024;    // an idle connection keeps no larger buffer
constexpr std::size_t answers_bytes_max = 64 * 1024; // to post-handshake messages, unwritten; more are a flood
// Messages of TLS itself after the handshake: a renewal of keys costs us two derivations and an answer for 27 bytes, and
// honest sides renew after millions of records.
constexpr int messages_max = 32;                                     // at once
constexpr Duration message_interval = std::chrono::seconds(1);       // and then one in each of these
constexpr std::size_t handshake_bytes_max = 64 * 1024; // of the far side; certificates_bytes_max and what is around it
constexpr Duration last_words_deadline = std::chrono::seconds(1);
constexpr std::string_view exporter_label = "EXPORTER-trunkline-hello";
constexpr std::size_t binding_bytes = 32;

/// What a TLS connection begins with: a record of a handshake, or of an alert.
bool begins_like_tls(std::byte first) noexcept { return first == std::byte{0x16} || first == std::byte{0x15}; }

bool is_http_request(std::string_view seen) {
  for (const std::string_view verb : {"GET ", "POST", "HEAD", "PUT ", "PRI ", "OPTI", "CONN", "DELE", "PATC"})
    if (seen.starts_with(verb)) return true;
  return false;
}

/// What somebody gets who asks for a page without TLS where TLS is spoken.
constexpr std::string_view http_without_tls =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 59\r\n"
    "Connection: close\r\n\r\nThis port speaks TLS: ask for https:// instead of http://.\n";

std::string in_words(std::string_view seen) {
  if (seen.starts_with("\x89TRNK")) return "a trunk without TLS";
  if (is_http_request(seen) || seen.starts_with("HTTP")) return "an HTTP request or answer without TLS";
  if (seen.starts_with("SSH-")) return "an SSH banner";
  return quote(seen, 8);
}

/// An error of a handshake, kept until whoever waits for it asks.
struct Failure {
  error code = error::none;
  std::string text;

  explicit operator bool() const noexcept { return code != error::none; }
};

/// How far a gathered write has come.
class Plaintext {
 public:
  explicit Plaintext(std::span<const std::span<const std::byte>> pieces) : pieces_(pieces) { skip(0); }

  bool done() const noexcept { return pieces_.empty(); }
  bool is_last() const noexcept { return pieces_.size() == 1; }
  std::span<const std::byte> next() const noexcept { return pieces_.front().subspan(offset_); }
  void skip(std::size_t bytes) noexcept {
    offset_ += bytes;
    while (!pieces_.empty() && offset_ == pieces_.front().size()) {
      pieces_ = pieces_.subspan(1);
      offset_ = 0;
    }
  }

 private:
  std::span<const std::span<const std::byte>> pieces_; // the first one holds what is next
  std::size_t offset_ = 0;
};

/// Shared by the transport and its pending reads and writes. OpenSSL sees no socket: it reads from `in_` and writes to
/// `out_`, and the coroutines move both.
class TlsState : public std::enable_shared_from_this<TlsState> {
 public:
  TlsState(const Executor& executor, std::unique_ptr<Transport> inner, std::shared_ptr<Identity> identity,
           std::shared_ptr<ssl_ctx_st> web, TlsSide side);
  ~TlsState() { SSL_free(ssl_); }
  TlsState(const TlsState&) = delete;
  TlsState& operator=(const TlsState&) = delete;

  static awaitable<void> handshake(std::shared_ptr<TlsState> self);
  static awaitable<std::size_t> read(std::shared_ptr<TlsState> self, std::span<std::byte> into,
                                     std::span<std::byte> rest);
  static awaitable<void> write(std::shared_ptr<TlsState> self, std::span<const std::span<const std::byte>> pieces);
  std::uint64_t write_progress() const noexcept { return written_ + (flushing_ ? inner_->write_progress() : 0); }
  void finish() noexcept;
  void close() noexcept;

  bool proves_identity() const noexcept { return far_kind_ != FarKind::web; }
  bool needs_handshake() const noexcept { return phase_ != Phase::secured; }
  const ChannelProof* proof() const noexcept { return proof_.far ? &proof_ : nullptr; }
  std::string remote() const;
  std::string remote_host() const { return inner_->remote_host(); }

  // For OpenSSL's callbacks.
  int take_input(std::span<std::byte> into) noexcept;
  void put_output(std::span<const std::byte> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  bool judge(X509_STORE_CTX* shown) noexcept;
  void count_message() noexcept;
  int choose_protocol(std::span<const unsigned char> offered, const unsigned char** chosen, unsigned char* size) noexcept;
  bool meet(std::string_view protocols) noexcept;
  bool show_key() noexcept;

 private:
  enum class Phase : std::uint8_t { fresh, handshaking, secured, failed };
  /// Decided by the protocol that it names.
  enum class FarKind : std::uint8_t { unknown, node, web };

  void offer();
  void expect_host();
  std::string_view protocol() const noexcept {
    return far_kind_ == FarKind::web ? std::string_view(side_.web_protocol) : std::string_view(side_.protocol);
  }
  std::string_view agreed_protocol() const noexcept;
  bool judge_host(X509_STORE_CTX* shown);
  static awaitable<void> run_handshake(std::shared_ptr<TlsState> self);
  static awaitable<void> say_last_words(std::shared_ptr<TlsState> self);
  static awaitable<void> discard_until_end(std::shared_ptr<TlsState> self);
  static awaitable<bool> fill(std::shared_ptr<TlsState> self);
  static awaitable<void> flush(std::shared_ptr<TlsState> self);
  static awaitable<void> say_end(std::shared_ptr<TlsState> self);

  std::string far_end() const { return side_.address.empty() ? inner_->remote() : side_.address; }
  bool has_input() const noexcept { return in_begin_ < in_end_; }
  void adapt_input(std::size_t filled);
  Failure failure_now(int result);
  Failure failure_of_alert(int alert, const std::string& words) const;
  void set_secured();
  Meeting meeting() const;
  std::string export_binding(std::string_view role) const;
  std::size_t decrypt(std::span<std::byte> into);
  void encrypt(Plaintext& plaintext);
  void encrypt(std::span<const std::byte> bytes);
  [[noreturn]] void throw_failure() const { throw_transport_text(make_error_code(failure_.code), failure_.text); }

  std::unique_ptr<Transport> inner_;
  std::shared_ptr<Identity> identity_; // null: no far side shows a key
  std::shared_ptr<ssl_ctx_st> web_;    // null: all do
  TlsSide side_;
  FarKind far_kind_ = FarKind::unknown;
  SSL* ssl_ = nullptr;
  Phase phase_ = Phase::fresh;
  Signal phase_changed_;
  Failure judged_;  // why the far side's certificate or protocol was refused
  Failure failure_; // the first one: nothing more can be read, or written
  Judgement far_;
  ChannelProof proof_;

  std::vector<std::byte> in_; // encrypted bytes that were read: from in_begin_ to in_end_
  std::size_t in_begin_ = 0;
  std::size_t in_end_ = 0;
  std::size_t in_total_ = 0; // until the handshake is done
  int quiet_reads_ = 0;
  bool in_ended_ = false; // the far side has said the end
  std::vector<std::byte> out_;     // encrypted and not yet written
  std::vector<std::byte> sending_; // is being written
  std::vector<std::byte> record_;  // plaintext of several pieces
  std::uint64_t written_ = 0;      // by the write in progress, without what is being written
  bool writing_ = false;
  bool flushing_ = false;
  bool finished_ = false;
  bool closed_ = false;
  Clock& clock_;
  TimePoint messages_until_{}; // when the messages so far would have come, at one for each interval
  bool flooded_ = false;       // with messages: no more is decrypted
  Tasks tasks_; // says the end
};

// OpenSSL's view.

TlsState& state_of(BIO* bio) { return *static_cast<TlsState*>(BIO_get_data(bio)); }

int read_bio(BIO* bio, char* into, int size) {
  BIO_clear_retry_flags(bio);
  const int count = state_of(bio).take_input({reinterpret_cast<std::byte*>(into), static_cast<std::size_t>(size)});
  if (count == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  return count;
}

int write_bio(BIO* bio, const char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  try {
    state_of(bio).put_output({reinterpret_cast<const std::byte*>(bytes), static_cast<std::size_t>(size)});
  } catch (const std::bad_alloc&) {
    return -1;
  }
  return size;
}

long control_bio(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "trunkline");
    if (!made) throw std::bad_alloc();
    BIO_meth_set_read(made, read_bio);
    BIO_meth_set_write(made, write_bio);
    BIO_meth_set_ctrl(made, control_bio);
    return made;
  }();
  return method;
}

TlsState* state_of(const SSL* ssl) { return static_cast<TlsState*>(SSL_get_app_data(ssl)); }

int verify_certificates(X509_STORE_CTX* shown, void*) {
  const auto* const ssl =
      static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(shown, SSL_get_ex_data_X509_STORE_CTX_idx()));
  return state_of(ssl)->judge(shown) ? 1 : 0;
}

/// Sees each message of a handshake, also of what comes after it, and the head of each record.
void see_message(int written, int, int kind, const void*, std::size_t, SSL* ssl, void*) {
  if (!written && kind == SSL3_RT_HANDSHAKE) state_of(ssl)->count_message();
}

int select_protocol(SSL* ssl, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                    unsigned int offered_size, void*) {
  return state_of(ssl)->choose_protocol({offered, offered_size}, chosen, size);
}

/// The first that is read of a far side: before anything is said to it, it is known whether it is a node.
int meet_far_side(SSL* ssl, int* alert, void*) {
  constexpr std::size_t list_head = 2;
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
  std::string_view protocols;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &bytes, &size) == 1 &&
      size > list_head)
    protocols = std::string_view(reinterpret_cast<const char*>(bytes) + list_head, size - list_head);
  if (state_of(ssl)->meet(protocols)) return SSL_CLIENT_HELLO_SUCCESS;
  *alert = SSL_AD_INTERNAL_ERROR;
  return SSL_CLIENT_HELLO_ERROR;
}

int show_key_to(SSL* ssl, void*) { return state_of(ssl)->show_key() ? 1 : 0; }

/// Calls `visit` with each name of a list as ALPN has it, until it says true.
template <class Visit> bool any_protocol(std::string_view list, Visit visit) {
  while (!list.empty()) {
    const std::size_t size = static_cast<unsigned char>(list.front());
    if (size == 0 || list.size() <= size) return false;
    if (visit(list.substr(1, size))) return true;
    list.remove_prefix(1 + size);
  }
  return false;
}

TlsState::TlsState(const Executor& executor, std::unique_ptr<Transport> inner, std::shared_ptr<Identity> identity,
                   std::shared_ptr<ssl_ctx_st> web, TlsSide side)
    : inner_(std::move(inner)), identity_(std::move(identity)), web_(std::move(web)), side_(std::move(side)),
      ssl_(SSL_new(web_ ? web_.get() : identity_->context().get())),
      clock_(Clock::of(executor)), tasks_(executor) {
  BIO* const bio = ssl_ ? BIO_new(bio_method()) : nullptr;
  if (!bio) {
    SSL_free(ssl_);
    throw std::bad_alloc();
  }
  if (!web_) far_kind_ = FarKind::node;
  else if (!identity_) far_kind_ = FarKind::web;
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_app_data(ssl_, this);
  SSL_set_msg_callback(ssl_, see_message);
  if (!side_.dialled) {
    SSL_set_accept_state(ssl_);
    return;
  }
  SSL_set_connect_state(ssl_);
  offer();
  if (far_kind_ == FarKind::unknown) SSL_set_cert_cb(ssl_, show_key_to, nullptr);
  if (far_kind_ != FarKind::node) expect_host();
}

void TlsState::offer() {
  std::string offered;
  const auto add = [&offered](const std::string& protocol) {
    offered += static_cast<char>(protocol.size());
    offered += protocol;
  };
  if (far_kind_ != FarKind::web) add(side_.protocol);
  if (far_kind_ != FarKind::node) add(side_.web_protocol);
  SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(offered.data()), static_cast<unsigned>(offered.size()));
}

/// Asked for by the far side: a node gets to see this node's key, and the web does not.
bool TlsState::show_key() noexcept {
  if (agreed_protocol() != side_.protocol) return true;
  const IdentityKey& key = identity_->key();
  bool is_shown = SSL_use_certificate(ssl_, key.certificates().front().get()) == 1 &&
                  SSL_use_PrivateKey(ssl_, key.key()) == 1;
  for (std::size_t at = 1; at < key.certificates().size() && is_shown; ++at)
    is_shown = SSL_add1_chain_cert(ssl_, key.certificates()[at].get()) == 1;
  return is_shown;
}

/// Of a far side that has no key that we know: a certificate for the host that was dialled.
void TlsState::expect_host() {
  const std::string host(host_of(side_.address));
  SSL_set_verify(ssl_, SSL_VERIFY_PEER, nullptr);
  if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host.c_str()) == 1) return;
  SSL_set1_host(ssl_, host.c_str());
  SSL_set_tlsext_host_name(ssl_, host.c_str());
}

std::string_view TlsState::agreed_protocol() const noexcept {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

/// With the protocols that a far side offers. A node gets this node's key to see, and has to show its own.
bool TlsState::meet(std::string_view protocols) noexcept {
  if (far_kind_ != FarKind::unknown) return true;
  const bool is_node = any_protocol(protocols, [this](std::string_view name) { return name == side_.protocol; });
  far_kind_ = is_node ? FarKind::node : FarKind::web;
  if (!is_node) return true;
  if (!SSL_set_SSL_CTX(ssl_, identity_->context().get())) return false;
  SSL_set_verify(ssl_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return true;
}

bool TlsState::judge_host(X509_STORE_CTX* shown) {
  if (X509_verify_cert(shown) == 1) return true;
  const int number = X509_STORE_CTX_get_error(shown);
  judged_ = {number == X509_V_ERR_CERT_HAS_EXPIRED ? error::certificate_expired : error::unknown_key,
             fmt::format("the certificate of {} is not trusted: {}", far_end(), X509_verify_cert_error_string(number))};
  return false;
}

int TlsState::take_input(std::span<std::byte> into) noexcept {
  if (flooded_) return 0; // OpenSSL would digest all that is there before it lets us say no
  const std::size_t count = std::min(into.size(), in_end_ - in_begin_);
  if (count > 0) std::memcpy(into.data(), in_.data() + in_begin_, count);
  in_begin_ += count;
  return static_cast<int>(count);
}

void TlsState::count_message() noexcept {
  if (phase_ != Phase::secured) return;
  const TimePoint now = clock_.now();
  messages_until_ = std::max(messages_until_, now) + message_interval;
  flooded_ = flooded_ || messages_until_ - now > messages_max * message_interval;
}

bool TlsState::judge(X509_STORE_CTX* shown) noexcept {
  // The words that the far side hears of it are those of the alert that OpenSSL makes of these numbers.
  const auto refuse = [&](int number) {
    X509_STORE_CTX_set_error(shown, number);
    return false;
  };
  try {
    if (far_kind_ == FarKind::unknown)
      far_kind_ = agreed_protocol() == side_.protocol ? FarKind::node : FarKind::web;
    if (far_kind_ == FarKind::web) return judge_host(shown);
    ShownCertificates certificates;
    certificates.leaf = X509_STORE_CTX_get0_cert(shown);
    const STACK_OF(X509)* const chain = X509_STORE_CTX_get0_untrusted(shown);
    for (int at = 0; at < sk_X509_num(chain); ++at) certificates.all.push_back(sk_X509_value(chain, at));
    Judgement judgement = identity_->judge(certificates, meeting());
    judged_ = {judgement.code, judgement.text};
    far_ = std::move(judgement);
    switch (judged_.code) {
      case error::none: X509_STORE_CTX_set_error(shown, X509_V_OK); return true;
      case error::unknown_key: return refuse(X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT); // unknown_ca
      case error::certificate_expired: return refuse(X509_V_ERR_CERT_HAS_EXPIRED);    // certificate_expired
      case error::not_secured: return refuse(X509_V_ERR_INVALID_PURPOSE);             // unsupported_certificate
      default: return refuse(X509_V_ERR_CERT_REJECTED);                               // bad_certificate
    }
  } catch (...) {
    judged_ = {error::not_secured, far_end() + ": " + words_of(std::current_exception())};
    return refuse(X509_V_ERR_APPLICATION_VERIFICATION);
  }
}

int TlsState::choose_protocol(std::span<const unsigned char> offered, const unsigned char** chosen,
                              unsigned char* size) noexcept {
  std::string seen;
  const std::string_view list(reinterpret_cast<const char*>(offered.data()), offered.size());
  const auto is_ours = [&](std::string_view name) {
    if (name != protocol()) {
      seen += (seen.empty() ? "" : ", ") + quote(name, 32);
      return false;
    }
    *chosen = reinterpret_cast<const unsigned char*>(name.data());
    *size = static_cast<unsigned char>(name.size());
    return true;
  };
  if (any_protocol(list, is_ours)) return SSL_TLSEXT_ERR_OK;
  judged_ = {error::not_trunkline, fmt::format("{} speaks TLS and wants {}, expected \"{}\"", far_end(),
                                               seen.substr(0, 128), protocol())};
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Handshakes.

awaitable<void> TlsState::handshake(std::shared_ptr<TlsState> self) {
  while (self->phase_ == Phase::handshaking) co_await self->phase_changed_.wait();
  if (self->closed_) throw_aborted();
  if (self->phase_ == Phase::secured) co_return;
  if (self->phase_ == Phase::failed) self->throw_failure();

  self->phase_ = Phase::handshaking;
  std::exception_ptr thrown;
  try {
    co_await run_handshake(self);
  } catch (...) {
    thrown = std::current_exception();
  }
  if (thrown && !self->failure_)
    self->failure_ = {error::not_secured, fmt::format("the TLS handshake with {} failed: {}", self->far_end(), words_of(thrown))};
  self->phase_ = thrown ? Phase::failed : Phase::secured;
  self->phase_changed_.notify_all();
  if (thrown) std::rethrow_exception(thrown);
}

awaitable<void> TlsState::run_handshake(std::shared_ptr<TlsState> self) {
  for (bool done = false; !done;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(self->ssl_);
    done = result == 1;
    const bool wants_input = !done && SSL_get_error(self->ssl_, result) == SSL_ERROR_WANT_READ;
    if (!done && !wants_input) {
      self->failure_ = self->failure_now(result);
      co_await say_last_words(self);
      self->throw_failure();
    }
    if (!self->out_.empty()) co_await flush(self);
    if (done) break;
    const bool filled = co_await fill(self);
    if (!filled) {
      self->failure_ = {error::not_secured,
                        fmt::format("{} closed the connection during the TLS handshake", self->far_end())};
      self->throw_failure();
    }
    if (self->in_total_ == 0 && !begins_like_tls(self->in_[0])) {
      const std::string_view seen(reinterpret_cast<const char*>(self->in_.data()), std::min<std::size_t>(self->in_end_, 16));
      self->failure_ = {error::no_tls, fmt::format("{} does not speak TLS: it says {}", self->far_end(), in_words(seen))};
      if (!self->side_.dialled && is_http_request(seen)) {
        self->put_output(std::as_bytes(std::span(http_without_tls)));
        co_await say_last_words(self);
      }
      self->throw_failure();
    }
    self->in_total_ += self->in_end_;
    if (self->in_total_ > handshake_bytes_max) {
      self->failure_ = {error::not_secured, fmt::format("{} says more than {} bytes in the TLS handshake",
                                                        self->far_end(), handshake_bytes_max)};
      self->throw_failure();
    }
  }
  self->set_secured();
}

/// The alert, so that the far side knows why. A socket that is closed with unread bytes destroys what it said last, so
/// they are read, for a moment.
awaitable<void> TlsState::say_last_words(std::shared_ptr<TlsState> self) {
  try {
    if (self->out_.empty()) co_return;
    co_await flush(self);
    self->inner_->finish();
    co_await within(last_words_deadline, discard_until_end(self));
  } catch (const boost::system::system_error&) {
    // It did not want to hear them.
  }
  co_await throw_if_cancelled();
}

awaitable<void> TlsState::discard_until_end(std::shared_ptr<TlsState> self) {
  std::array<std::byte, 1024> bytes;
  std::size_t count = 1;
  for (std::size_t all = 0; count > 0 && all < handshake_bytes_max; all += count)
    count = co_await self->inner_->read_some(bytes);
}

void TlsState::set_secured() {
  const std::string_view agreed = agreed_protocol();
  if (agreed != protocol() && (far_kind_ == FarKind::node || !agreed.empty())) {
    failure_ = {error::not_trunkline, fmt::format("{} speaks TLS and does not name the protocol \"{}\"", far_end(),
                                                  protocol())};
    throw_failure();
  }
  if (far_kind_ == FarKind::web) return;
  proof_.hello_ours = export_binding(side_.dialled ? "dialler" : "answerer");
  proof_.hello_theirs = export_binding(side_.dialled ? "answerer" : "dialler");
  if (far_.is_new) { // only now has it proven that it holds the key
    far_ = identity_->remember(std::move(far_), meeting());
    failure_ = {far_.code, far_.text};
    if (failure_) throw_failure();
  }
  proof_.far = std::make_shared<const RemoteIdentity>(std::move(far_.who));
}

Meeting TlsState::meeting() const {
  Meeting meeting;
  meeting.dialled = side_.dialled;
  meeting.address = far_end();
  meeting.pin = side_.pin;
  meeting.own = identity_->id();
  return meeting;
}

/// Equal on both ends of this connection, and unlike that of any other.
std::string TlsState::export_binding(std::string_view role) const {
  std::string secret(binding_bytes, '\0');
  ERR_clear_error();
  if (SSL_export_keying_material(ssl_, reinterpret_cast<unsigned char*>(secret.data()), secret.size(),
                                 exporter_label.data(), exporter_label.size(),
                                 reinterpret_cast<const unsigned char*>(role.data()), role.size(), 1) != 1)
    throw_transport_text(make_error_code(error::not_secured),
                         fmt::format("cannot bind to the TLS session with {}: {}", far_end(), openssl_reason()));
  return secret;
}

/// What OpenSSL says of an operation that failed.
Failure TlsState::failure_now(int result) {
  if (judged_) return judged_;
  const int kind = SSL_get_error(ssl_, result);
  const unsigned long code = ERR_peek_error();
  const int reason = ERR_GET_REASON(code);
  const std::string words = kind == SSL_ERROR_SSL ? openssl_reason() : "the connection is broken";
  if (kind == SSL_ERROR_SSL && ERR_GET_LIB(code) == ERR_LIB_SSL) {
    if (reason >= SSL_AD_REASON_OFFSET) return failure_of_alert(reason - SSL_AD_REASON_OFFSET, words);
    if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
      return {error::unknown_key, fmt::format("{} shows no key, expected a certificate of its node", far_end())};
    if (reason == SSL_R_UNSUPPORTED_PROTOCOL)
      return {error::not_secured, fmt::format("{} speaks no TLS 1.3", far_end())};
    if (reason == SSL_R_NO_SUITABLE_KEY_SHARE || reason == SSL_R_NO_SUITABLE_GROUPS)
      return {error::not_secured, fmt::format("{} knows none of the groups X25519, P-256 and P-384", far_end())};
    if (reason == SSL_R_EXCESSIVE_MESSAGE_SIZE)
      return {error::not_secured, fmt::format("{} shows certificates of more than {} bytes", far_end(), 16 * 1024)};
  }
  return {error::not_secured, phase_ == Phase::secured
                                  ? fmt::format("what came from {} is no sound TLS: {}", far_end(), words)
                                  : fmt::format("the TLS handshake with {} failed: {}", far_end(), words)};
}

Failure TlsState::failure_of_alert(int alert, const std::string& words) const {
  const std::string own = far_kind_ == FarKind::web ? "that was shown" : identity_->id().to_string();
  switch (alert) {
    case SSL_AD_UNKNOWN_CA:
      return {error::key_refused, fmt::format("{} does not know this node's key {}", far_end(), own)};
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_ACCESS_DENIED:
      return {error::key_refused,
              fmt::format("{} refuses this node's key {}: it expects another one, or the certificate is not valid there",
                          far_end(), own)};
    case SSL_AD_CERTIFICATE_EXPIRED:
      return {error::key_refused, fmt::format("{} says that the certificate of this node's key {} has expired",
                                              far_end(), own)};
    case SSL_AD_NO_APPLICATION_PROTOCOL:
      return {error::not_trunkline, fmt::format("{} speaks TLS, but not \"{}\"", far_end(), protocol())};
    case SSL_AD_PROTOCOL_VERSION: return {error::not_secured, fmt::format("{} speaks no TLS 1.3", far_end())};
    default:
      return {error::not_secured, fmt::format("{} has ended TLS: {}", far_end(), words)};
  }
}

// Bytes.

/// Reads encrypted bytes; false when the far side has ended the connection.
awaitable<bool> TlsState::fill(std::shared_ptr<TlsState> self) {
  if (self->closed_) throw_aborted();
  if (self->in_.empty()) self->in_.resize(read_bytes_min);
  const std::size_t count = co_await self->inner_->read_some(self->in_);
  if (self->closed_) throw_aborted();
  self->in_begin_ = 0;
  self->in_end_ = count;
  co_return count > 0;
}

/// Only while nothing is in the buffer.
void TlsState::adapt_input(std::size_t filled) {
  if (filled == in_.size() && in_.size() < read_bytes_max) {
    in_.clear(); // nothing to copy
    in_.resize(std::min(4 * filled, read_bytes_max));
    quiet_reads_ = 0;
    return;
  }
  quiet_reads_ = filled <= in_.size() / 16 ? quiet_reads_ + 1 : 0;
  if (quiet_reads_ < quiet_reads_max || in_.size() <= read_bytes_min) return;
  in_ = std::vector<std::byte>(read_bytes_min);
  quiet_reads_ = 0;
}

std::size_t TlsState::decrypt(std::span<std::byte> into) {
  std::size_t have = 0;
  while (have < into.size() && !in_ended_ && !failure_) {
    ERR_clear_error();
    std::size_t count = 0;
    const int result = SSL_read_ex(ssl_, into.data() + have, into.size() - have, &count);
    if (result == 1) {
      have += count;
      continue;
    }
    const int kind = SSL_get_error(ssl_, result);
    if (kind == SSL_ERROR_WANT_READ) break;
    if (kind == SSL_ERROR_ZERO_RETURN) in_ended_ = true;
    else failure_ = failure_now(result);
  }
  // A write takes what it has encrypted out of out_ before it first waits, so nothing but answers lies there now.
  if ((flooded_ || out_.size() > answers_bytes_max) && !failure_)
    failure_ = {error::not_secured, fmt::format("{} renews its TLS keys without end", far_end())};
  return have;
}

awaitable<std::size_t> TlsState::read(std::shared_ptr<TlsState> self, std::span<std::byte> into,
                                      std::span<std::byte> rest) {
  if (self->closed_) throw_aborted();
  if (self->phase_ != Phase::secured) co_await handshake(self);
  for (;;) {
    std::size_t count = self->decrypt(into);
    if (count == into.size() && !rest.empty()) count += self->decrypt(rest);
    if (count > 0) co_return count;
    if (self->in_ended_) co_return 0;
    if (self->failure_) self->throw_failure();
    self->adapt_input(self->in_end_);
    const bool filled = co_await fill(self);
    if (!filled)
      throw_transport_text(make_error_code(error::trunk_lost),
                           fmt::format("the connection with {} was cut: it ended without the word of TLS for an end",
                                       self->far_end()));
  }
}

void TlsState::encrypt(std::span<const std::byte> bytes) {
  ERR_clear_error();
  std::size_t count = 0;
  const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &count);
  if (result == 1) return;
  if (!failure_) failure_ = failure_now(result);
  throw_failure();
}

/// As much as one write takes. Small pieces share a record; large ones are read from where they lie.
void TlsState::encrypt(Plaintext& plaintext) {
  record_.clear();
  while (!plaintext.done() && out_.size() + record_.size() < write_bytes_max) {
    const std::span<const std::byte> next = plaintext.next();
    if (record_.empty() && (next.size() >= record_bytes_max || plaintext.is_last())) {
      const std::size_t size = std::min(next.size(), write_bytes_max);
      const std::size_t whole = size > record_bytes_max ? size - size % record_bytes_max : size;
      encrypt(next.first(whole));
      plaintext.skip(whole);
      continue;
    }
    const std::size_t size = std::min(next.size(), record_bytes_max - record_.size());
    record_.insert(record_.end(), next.begin(), next.begin() + static_cast<std::ptrdiff_t>(size));
    plaintext.skip(size);
    if (record_.size() < record_bytes_max) continue;
    encrypt(record_);
    record_.clear();
  }
  if (!record_.empty()) encrypt(record_);
}

/// Writes what is encrypted. More may be added meanwhile, so it lies in a buffer of its own.
awaitable<void> TlsState::flush(std::shared_ptr<TlsState> self) {
  self->sending_.swap(self->out_);
  self->out_.clear();
  self->flushing_ = true;
  const std::span<const std::byte> piece(self->sending_);
  std::exception_ptr thrown;
  try {
    co_await self->inner_->write(std::span(&piece, 1));
  } catch (...) {
    thrown = std::current_exception();
  }
  self->flushing_ = false;
  self->written_ += self->sending_.size();
  const bool is_small = self->sending_.size() <= kept_bytes_max;
  self->sending_.clear();
  if (is_small && self->sending_.capacity() > kept_bytes_max) self->sending_.shrink_to_fit();
  if (thrown) std::rethrow_exception(thrown);
}

awaitable<void> TlsState::write(std::shared_ptr<TlsState> self, std::span<const std::span<const std::byte>> pieces) {
  if (self->closed_) throw_aborted();
  if (self->phase_ != Phase::secured) co_await handshake(self);
  Plaintext plaintext(pieces);
  if (plaintext.done()) co_return;
  self->written_ = 0;
  self->writing_ = true;
  std::exception_ptr thrown;
  try {
    while (!plaintext.done()) {
      if (self->closed_) throw_aborted();
      self->encrypt(plaintext);
      co_await flush(self);
    }
  } catch (...) {
    thrown = std::current_exception();
  }
  self->writing_ = false;
  if (thrown) std::rethrow_exception(thrown);
}

// Ends.

void TlsState::finish() noexcept {
  if (std::exchange(finished_, true) || closed_) return;
  if (phase_ != Phase::secured) return inner_->finish();
  try {
    ERR_clear_error();
    SSL_shutdown(ssl_);
    tasks_.start(say_end(shared_from_this()));
  } catch (...) {
    inner_->close(); // no memory for the word: the far side sees a cut, which it is
  }
}

awaitable<void> TlsState::say_end(std::shared_ptr<TlsState> self) {
  try {
    co_await flush(self);
  } catch (const boost::system::system_error&) {
    // Then the far side sees a cut, which it is; what it says is still read.
  }
  if (!self->closed_) self->inner_->finish();
}

void TlsState::close() noexcept {
  if (std::exchange(closed_, true)) return;
  if (phase_ == Phase::secured && !finished_ && !writing_ && !failure_) {
    try {
      ERR_clear_error();
      SSL_shutdown(ssl_);
      tasks_.start(say_end(shared_from_this())); // as far as it goes without waiting
    } catch (...) {
      // Without the word, then.
    }
  }
  inner_->close();
  phase_changed_.notify_all();
}

std::string TlsState::remote() const {
  std::string text = inner_->remote();
  if (proof_.far) text += "#" + proof_.far->id.to_string();
  return text;
}

class TlsTransport final : public Transport {
 public:
  explicit TlsTransport(std::shared_ptr<TlsState> state) : state_(std::move(state)) {}
  ~TlsTransport() override { state_->close(); }

  awaitable<std::size_t> read_some(std::span<std::byte> into) override { return TlsState::read(state_, into, {}); }
  awaitable<std::size_t> read_scattered(std::span<std::byte> into, std::span<std::byte> rest) override {
    return TlsState::read(state_, into, rest);
  }
  awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
    return TlsState::write(state_, pieces);
  }
  std::uint64_t write_progress() const noexcept override { return state_->write_progress(); }
  void finish() noexcept override { state_->finish(); }
  void close() noexcept override { state_->close(); }
  bool proves_identity() const noexcept override { return state_->proves_identity(); }
  bool needs_handshake() const noexcept override { return state_->needs_handshake(); }
  awaitable<void> handshake() override { return TlsState::handshake(state_); }
  const ChannelProof* proof() const noexcept override { return state_->proof(); }
  std::string remote() const override { return state_->remote(); }
  std::string remote_host() const override { return state_->remote_host(); }

 private:
  std::shared_ptr<TlsState> state_;
};

} // namespace

std::unique_ptr<Transport> make_tls_transport(const Executor& executor, std::unique_ptr<Transport> transport,
                                              std::shared_ptr<Identity> identity, TlsSide side) {
  return make_tls_transport(executor, std::move(transport), std::move(identity), nullptr, std::move(side));
}

std::unique_ptr<Transport> make_tls_transport(const Executor& executor, std::unique_ptr<Transport> transport,
                                              std::shared_ptr<Identity> identity, std::shared_ptr<ssl_ctx_st> web,
                                              TlsSide side) {
  if (side.dialled && side.pin && identity) web = nullptr;
  return std::make_unique<TlsTransport>(
      std::make_shared<TlsState>(executor, std::move(transport), std::move(identity), std::move(web), std::move(side)));
}

void set_tls_callbacks(ssl_ctx_st* context) {
  SSL_CTX_set_cert_verify_callback(context, verify_certificates, nullptr);
  SSL_CTX_set_alpn_select_cb(context, select_protocol, nullptr);
  SSL_CTX_set_client_hello_cb(context, meet_far_side, nullptr);
}

} // namespace trunkline
