#include "transport/tls_context.hpp"

#include "fragment/error.hpp"
#include "fragment/quote.hpp"
#include "transport/authorities.hpp"
#include "transport/guarded_file.hpp"
#include "transport/openssl.hpp"
#include "transport/tls_stream.hpp"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <new>
#include <optional>
#include <string_view>
#include <utility>

namespace trunkline {
namespace {

constexpr std::string_view certificate_kind = "certificate file";
constexpr std::string_view key_kind = "key file";

void require(bool done, const char* step) {
  if (!done) throw_error(error::not_secured, fmt::format("{}: {}", step, openssl_reason()));
}

std::shared_ptr<ssl_ctx_st> make_context() {
  const std::shared_ptr<ssl_ctx_st> context(SSL_CTX_new(TLS_method()), SSL_CTX_free);
  if (!context) throw std::bad_alloc();
  SSL_CTX* const raw = context.get();
  require(SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set1_groups_list(raw, "X25519:P-256:P-384") == 1,
          "cannot set up TLS");
  // A resumed session would prove nothing about who holds the key now.
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  require(SSL_CTX_set_num_tickets(raw, 0) == 1, "cannot set up TLS");
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_max_cert_list(raw, certificates_bytes_max);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS); // an idle connection holds none
  SSL_CTX_set_read_ahead(raw, 1);
  set_tls_callbacks(raw);
  return context;
}

/// Of a program that asks for a passphrase, nobody would hear.
int no_passphrase(char*, int, int, void*) { return 0; }

/// One PEM file, to be read from its beginning.
std::shared_ptr<BIO> read_pem(const std::string& path, std::string_view kind, Guard guard) {
  const std::optional<std::string> text = read_guarded(path, kind, guard);
  if (!text) throw_error(error::unusable_file, fmt::format("{} {}: there is none", kind, quote(path)));
  const std::shared_ptr<BIO> memory(BIO_new(BIO_s_mem()), BIO_free_all);
  if (!memory || BIO_write(memory.get(), text->data(), static_cast<int>(text->size())) < 0) throw std::bad_alloc();
  ERR_clear_error();
  return memory;
}

void use_certificate_chain(SSL_CTX* context, const std::string& path, Guard guard) {
  const auto fail = [&path](const std::string& why) {
    throw_error(error::unusable_file, fmt::format("{} {}: {}", certificate_kind, quote(path), why));
  };
  const std::shared_ptr<BIO> memory = read_pem(path, certificate_kind, guard);
  int count = 0;
  while (X509* const certificate = PEM_read_bio_X509(memory.get(), nullptr, no_passphrase, nullptr)) {
    const int used = count++ == 0 ? SSL_CTX_use_certificate(context, certificate)
                                  : static_cast<int>(SSL_CTX_add1_chain_cert(context, certificate));
    X509_free(certificate);
    if (used != 1) fail("holds a certificate that cannot be used: " + openssl_reason());
  }
  ERR_clear_error();
  if (count == 0) fail("holds no certificate in PEM");
}

void use_private_key(SSL_CTX* context, const std::string& path, std::string_view kind) {
  const auto fail = [&](const std::string& why) {
    throw_error(error::unusable_file, fmt::format("{} {}: {}", kind, quote(path), why));
  };
  const std::shared_ptr<BIO> memory = read_pem(path, kind, Guard::secret);
  const std::shared_ptr<EVP_PKEY> key(PEM_read_bio_PrivateKey(memory.get(), nullptr, no_passphrase, nullptr),
                                      EVP_PKEY_free);
  if (!key) fail("holds no private key in PEM without a passphrase: " + openssl_reason());
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) fail("its key is not that of the first certificate");
}

std::shared_ptr<ssl_ctx_st> make_web_context(const WebTlsOptions& options) {
  const std::shared_ptr<ssl_ctx_st> context = make_context();
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_verify(raw, SSL_VERIFY_NONE, nullptr); // of a side that answers; one that dials sets its own
  const std::string& authorities = options.authority_file;
  if (authorities.empty()) {
    require(SSL_CTX_set_default_verify_paths(raw) == 1, "cannot use the system's authorities");
  } else {
    SSL_CTX_set1_cert_store(raw, load_authorities(authorities).get()); // OpenSSL itself would leave the file open on exec
  }
  if (options.certificate_file.empty()) return context;
  const bool is_apart = !options.key_file.empty();
  use_certificate_chain(raw, options.certificate_file, is_apart ? Guard::unchanged : Guard::secret);
  if (is_apart) use_private_key(raw, options.key_file, key_kind);
  else use_private_key(raw, options.certificate_file, certificate_kind);
  return context;
}

} // namespace

std::shared_ptr<ssl_ctx_st> make_tls_context(const IdentityKey& key) {
  const std::shared_ptr<ssl_ctx_st> context = make_context();
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  require(SSL_CTX_use_certificate(raw, key.certificates().front().get()) == 1 &&
              SSL_CTX_use_PrivateKey(raw, key.key()) == 1,
          "cannot use the key in TLS");
  for (std::size_t at = 1; at < key.certificates().size(); ++at)
    require(SSL_CTX_add1_chain_cert(raw, key.certificates()[at].get()) == 1, "cannot use a certificate in TLS");
  return context;
}

WebTls::WebTls(WebTlsOptions options) : options_(std::move(options)), context_(make_web_context(options_)) {}

void WebTls::reload() { context_ = make_web_context(options_); }

} // namespace trunkline
