#include "transport/identity_key.hpp"

#include "fragment/deadline.hpp"
#include "fragment/error.hpp"
#include "fragment/quote.hpp"
#include "transport/guarded_file.hpp"
#include "transport/openssl.hpp"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <new>
#include <optional>
#include <utility>

namespace trunkline {
namespace {

constexpr std::string_view key_kind = "key file";
constexpr std::string_view id_prefix = "trunkline node id 1";
constexpr std::size_t public_key_bytes = 32;
constexpr std::string_view succession_word = "trunkline succession"; // no certificate is one by accident
constexpr std::size_t certificates_max = 8; // of one key; older successions are left out

using Key = std::shared_ptr<evp_pkey_st>;
using Certificate = std::shared_ptr<x509_st>;

Key own(EVP_PKEY* key) {
  if (!key) throw std::bad_alloc();
  return Key(key, EVP_PKEY_free);
}

Certificate own(X509* certificate) {
  if (!certificate) throw std::bad_alloc();
  return Certificate(certificate, X509_free);
}

std::optional<std::array<unsigned char, public_key_bytes>> public_key_of(const EVP_PKEY* key) {
  std::array<unsigned char, public_key_bytes> bytes{};
  std::size_t size = bytes.size();
  if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(key, bytes.data(), &size) != 1 || size != bytes.size())
    return std::nullopt;
  return bytes;
}

void require(bool done, const char* step) {
  if (!done) throw_error(error::unusable_file, fmt::format("{}: {}", step, openssl_reason()));
}

std::time_t as_time_t(WallTime when) { return std::chrono::system_clock::to_time_t(when); }

WallTime as_wall_time(const ASN1_TIME* when) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(when, &parts) != 1) return WallTime::min();
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

void set_name(X509_NAME* name, int kind, std::string_view text) {
  require(X509_NAME_add_entry_by_NID(name, kind, MBSTRING_ASC, reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()), -1, 0) == 1,
          "cannot name a certificate");
}

void add_extension(X509* certificate, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value);
  require(extension != nullptr, "cannot make a certificate's extension");
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  require(added, "cannot add a certificate's extension");
}

void set_times(X509* certificate, const Validity& validity) {
  const auto set = [](ASN1_TIME* into, WallTime when) {
    // Beyond what a time_t of a certificate can say: "no well-defined end" (RFC 5280).
    if (when >= WallTime::max() - std::chrono::hours(48)) return ASN1_TIME_set_string_X509(into, "99991231235959Z") == 1;
    return ASN1_TIME_set(into, as_time_t(when)) != nullptr;
  };
  require(set(X509_getm_notBefore(certificate), validity.begins) && set(X509_getm_notAfter(certificate), validity.ends),
          "cannot date a certificate");
}

/// For the key `subject`, signed by the key `issuer`; both are named by their ids.
Certificate certify(const Key& subject, const Key& issuer, const Validity& validity) {
  const Certificate certificate = own(X509_new());
  X509* const raw = certificate.get();
  std::array<unsigned char, 16> serial{};
  require(RAND_bytes(serial.data(), static_cast<int>(serial.size())) == 1, "cannot draw a serial number");
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 1); // positive, and of full length
  BIGNUM* const number = BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr);
  require(number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(raw)), "cannot number a certificate");
  BN_free(number);
  require(X509_set_version(raw, X509_VERSION_3) == 1 && X509_set_pubkey(raw, subject.get()) == 1,
          "cannot make a certificate");
  set_name(X509_get_subject_name(raw), NID_commonName, node_id_of_key(subject.get()).to_string());
  if (subject != issuer) set_name(X509_get_subject_name(raw), NID_organizationalUnitName, succession_word);
  set_name(X509_get_issuer_name(raw), NID_commonName, node_id_of_key(issuer.get()).to_string());
  set_times(raw, validity);
  add_extension(raw, raw, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(raw, raw, NID_key_usage, "critical,digitalSignature");
  add_extension(raw, raw, NID_ext_key_usage, "serverAuth,clientAuth");
  require(X509_sign(raw, issuer.get(), nullptr) > 0, "cannot sign a certificate");
  return certificate;
}

template <class Write> std::string to_pem(Write&& write) {
  BIO* const memory = BIO_new(BIO_s_mem());
  if (!memory) throw std::bad_alloc();
  const bool written = write(memory) == 1;
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  std::string text(data, written ? static_cast<std::size_t>(size) : 0);
  BIO_free_all(memory);
  require(written, "cannot write a key as text");
  return text;
}

/// A key file has no passphrase: whoever could type it could read the file.
int no_passphrase(char*, int, int, void*) { return 0; }

bool is_succession(const x509_st* certificate) {
  char word[64] = {};
  const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_organizationalUnitName, word,
                                             static_cast<int>(sizeof word));
  return size > 0 && std::string_view(word, static_cast<std::size_t>(size)) == succession_word;
}

NodeId id_of(const x509_st* certificate) { return node_id_of_key(X509_get0_pubkey(certificate)); }

bool is_valid_at(const x509_st* certificate, WallTime now) {
  return as_wall_time(X509_get0_notBefore(certificate)) <= now && now <= as_wall_time(X509_get0_notAfter(certificate));
}

/// The ids that a leaf's succeeds, newest first; `counts` decides which successions count.
template <class Counts>
std::vector<NodeId> walk_succession(NodeId leaf, const std::vector<const x509_st*>& certificates, Counts&& counts) {
  std::vector<NodeId> proven = {leaf};
  for (std::size_t at = 0; at < proven.size() && proven.size() <= certificates_max; ++at) {
    for (const x509_st* const said : certificates) {
      if (id_of(said) != proven[at] || !is_succession(said) || !counts(said)) continue;
      for (const x509_st* const signer : certificates) {
        const NodeId older = id_of(signer);
        if (older.empty() || std::ranges::find(proven, older) != proven.end()) continue;
        if (X509_verify(const_cast<X509*>(said), X509_get0_pubkey(signer)) == 1) proven.push_back(older);
      }
    }
  }
  proven.erase(proven.begin());
  return proven;
}

std::vector<const x509_st*> raw(const std::vector<Certificate>& certificates) {
  std::vector<const x509_st*> pointers;
  for (const Certificate& certificate : certificates) pointers.push_back(certificate.get());
  return pointers;
}

} // namespace

Validity Validity::from_now(std::chrono::seconds duration) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const WallTime ends = after(WallTime(now), duration);
  return {now - std::chrono::minutes(10), std::chrono::floor<std::chrono::seconds>(ends)};
}

NodeId node_id_of_key(std::string_view public_key) {
  std::string text(id_prefix);
  text += public_key;
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return *NodeId::from_bytes({reinterpret_cast<const char*>(digest.data()), NodeId::bytes_count});
}

NodeId node_id_of_key(const evp_pkey_st* key) {
  const auto bytes = public_key_of(key);
  if (!bytes) return NodeId();
  return node_id_of_key(std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size()));
}

IdentityKey IdentityKey::draw(Validity validity) {
  IdentityKey drawn;
  do {
    drawn.key_ = own(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    drawn.id_ = node_id_of_key(drawn.key_.get());
  } while (drawn.id_.to_string().starts_with('-'));
  drawn.certificates_.push_back(certify(drawn.key_, drawn.key_, validity));
  return drawn;
}

IdentityKey IdentityKey::parse(const std::string& text, const std::string& path) {
  const auto fail = [&path](const std::string& why) {
    throw_error(error::unusable_file, fmt::format("{} {}: {}", key_kind, quote(path), why));
  };
  IdentityKey parsed;
  const std::shared_ptr<BIO> memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free_all);
  if (!memory) throw std::bad_alloc();
  ERR_clear_error();
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(memory.get(), nullptr, no_passphrase, nullptr);
  if (!key) fail("holds no private key in PEM without a passphrase: " + openssl_reason());
  parsed.key_ = own(key);
  parsed.id_ = node_id_of_key(key);
  if (parsed.id_.empty())
    fail(fmt::format("holds a key of kind {}, expected Ed25519", EVP_PKEY_get0_type_name(key)));

  BIO_reset(memory.get());
  while (X509* const certificate = PEM_read_bio_X509(memory.get(), nullptr, no_passphrase, nullptr)) {
    parsed.certificates_.push_back(own(certificate));
    if (parsed.certificates_.size() > certificates_max)
      fail(fmt::format("holds more than {} certificates", certificates_max));
  }
  const unsigned long end = ERR_peek_last_error();
  if (ERR_GET_LIB(end) != ERR_LIB_PEM || ERR_GET_REASON(end) != PEM_R_NO_START_LINE)
    fail("holds a certificate that cannot be read: " + openssl_reason());
  ERR_clear_error();
  if (parsed.certificates_.empty())
    parsed.certificates_.push_back(certify(parsed.key_, parsed.key_, Validity::from_now(key_validity_default)));
  if (id_of(parsed.certificates_.front().get()) != parsed.id_)
    fail("its first certificate is of another key than its private key");
  return parsed;
}

IdentityKey IdentityKey::load(const std::string& path) {
  const std::optional<std::string> text = read_guarded(path, key_kind, Guard::secret);
  if (!text)
    throw_error(error::unusable_file, fmt::format("{} {}: there is none; `trunkline key new` makes one", key_kind, quote(path)));
  return parse(*text, path);
}

IdentityKey IdentityKey::load_or_make(const std::string& path, bool* made) {
  if (made) *made = false;
  if (const auto text = read_guarded(path, key_kind, Guard::secret)) return parse(*text, path);
  IdentityKey key = draw();
  if (!key.save(path)) return load(path); // another process was faster
  if (made) *made = true;
  return key;
}

IdentityKey IdentityKey::successor(Validity validity, Validity overlap) const {
  IdentityKey next = draw(validity);
  next.certificates_.push_back(certify(next.key_, key_, overlap));
  for (const Certificate& older : certificates_)
    if (next.certificates_.size() < certificates_max) next.certificates_.push_back(older);
  return next;
}

std::string IdentityKey::to_text() const {
  std::string text = to_pem([&](BIO* into) {
    return PEM_write_bio_PKCS8PrivateKey(into, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  for (const Certificate& certificate : certificates_)
    text += to_pem([&](BIO* into) { return PEM_write_bio_X509(into, certificate.get()); });
  return text;
}

bool IdentityKey::save(const std::string& path) const { return make_file(path, key_kind, to_text()); }

std::vector<NodeId> IdentityKey::formerly() const {
  return walk_succession(id_, raw(certificates_), [](const x509_st*) { return true; });
}

Validity IdentityKey::validity() const {
  const X509* const own = certificates_.front().get();
  return {as_wall_time(X509_get0_notBefore(own)), as_wall_time(X509_get0_notAfter(own))};
}

std::vector<NodeId> succession_of(const x509_st* leaf, const std::vector<const x509_st*>& certificates, WallTime now) {
  const NodeId id = id_of(leaf);
  if (id.empty() || certificates.size() > certificates_max) return {};
  return walk_succession(id, certificates, [now](const x509_st* said) { return is_valid_at(said, now); });
}

} // namespace trunkline
