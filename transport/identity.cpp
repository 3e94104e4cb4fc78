#include "transport/identity.hpp"

#include "fragment/quote.hpp"
#include "transport/address.hpp"
#include "transport/authorities.hpp"
#include "transport/openssl.hpp"
#include "transport/tls_context.hpp"

#include <fmt/format.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <new>
#include <utility>

namespace trunkline {
namespace {

constexpr std::size_t name_bytes_max = 128;

std::shared_ptr<x509_store_st> load_authorities_if_any(const std::string& path) {
  return path.empty() ? nullptr : load_authorities(path);
}

/// The first name that a certificate is for, escaped: of its alternative names, otherwise its common name.
std::string name_in(X509* certificate) {
  std::string name;
  if (const std::shared_ptr<GENERAL_NAMES> names(
          static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
          GENERAL_NAMES_free);
      names) {
    for (int at = 0; at < sk_GENERAL_NAME_num(names.get()) && name.empty(); ++at) {
      const GENERAL_NAME* const one = sk_GENERAL_NAME_value(names.get(), at);
      if (one->type != GEN_DNS) continue;
      name.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(one->d.dNSName)),
                  static_cast<std::size_t>(ASN1_STRING_length(one->d.dNSName)));
    }
  }
  char common[256] = {};
  if (name.empty() &&
      X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common, sizeof common) > 0)
    name = common;
  return name.empty() ? "a certificate without a name" : escape(name, name_bytes_max);
}

bool is_for_host(X509* certificate, const std::string& host) {
  return X509_check_host(certificate, host.data(), host.size(), 0, nullptr) == 1 ||
         X509_check_ip_asc(certificate, host.c_str(), 0) == 1;
}

/// Trusted or not, of one that is no longer or not yet valid nothing else is looked at.
Judgement judge_times(const X509* leaf, const NodeId& id, const Meeting& meeting) {
  Judgement judgement;
  std::tm parts{};
  const auto day = [&parts](const ASN1_TIME* when) {
    ASN1_TIME_to_tm(when, &parts);
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                       parts.tm_hour, parts.tm_min);
  };
  if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0) {
    judgement.code = error::certificate_not_yet_valid;
    judgement.text = fmt::format("the certificate of {}, key {}, is valid from {} on; is a clock wrong?",
                                 meeting.address, id.to_string(), day(X509_get0_notBefore(leaf)));
  } else if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0) {
    judgement.code = error::certificate_expired;
    judgement.text = fmt::format("the certificate of {}, key {}, has expired: it was valid until {}", meeting.address,
                                 id.to_string(), day(X509_get0_notAfter(leaf)));
  }
  return judgement;
}

} // namespace

std::shared_ptr<Identity> Identity::open(const std::string& key_file, TrustOptions trust) {
  IdentityKey key = IdentityKey::load_or_make(key_file);
  return std::shared_ptr<Identity>(new Identity(key_file, std::move(key), std::move(trust)));
}

Identity::Identity(IdentityKey key, TrustOptions trust) : Identity(std::string(), std::move(key), std::move(trust)) {}

Identity::Identity(std::string key_file, IdentityKey key, TrustOptions trust)
    : key_file_(std::move(key_file)), key_(std::move(key)), trust_(std::move(trust)), context_(make_tls_context(key_)),
      authorities_(load_authorities_if_any(trust_.options().authority_file)) {}

Identity::~Identity() = default;

void Identity::reload() {
  IdentityKey key = key_file_.empty() ? key_ : IdentityKey::load(key_file_);
  auto context = make_tls_context(key);
  auto authorities = load_authorities_if_any(trust_.options().authority_file);
  trust_.reload(); // the last that can fail
  key_ = std::move(key);
  context_ = std::move(context);
  authorities_ = std::move(authorities);
}

Judgement Identity::judge(const ShownCertificates& shown, const Meeting& meeting) const {
  ShownKey key;
  const EVP_PKEY* const public_key = X509_get0_pubkey(shown.leaf);
  key.id = node_id_of_key(public_key);
  if (key.id.empty()) {
    Judgement judgement;
    judgement.code = error::not_secured;
    const char* const kind = public_key ? EVP_PKEY_get0_type_name(public_key) : nullptr;
    judgement.text = fmt::format("{} shows a key of kind {}, expected Ed25519", meeting.address, kind ? kind : "unknown");
    return judgement;
  }
  Judgement judgement = judge_times(shown.leaf, key.id, meeting);
  if (judgement.code != error::none) return judgement;
  key.formerly = succession_of(shown.leaf, shown.all, std::chrono::system_clock::now());
  certify(shown, meeting, key);
  return trust_.judge(key, meeting);
}

Judgement Identity::remember(Judgement stranger, const Meeting& meeting) {
  stranger = trust_.remember(std::move(stranger), meeting);
  if (stranger.code == error::none && on_stranger_) {
    try {
      on_stranger_(stranger.who, meeting.address);
    } catch (...) {
      // It hears of the stranger and decides nothing: that costs it this word.
    }
  }
  return stranger;
}

void Identity::certify(const ShownCertificates& shown, const Meeting& meeting, ShownKey& key) const {
  if (!authorities_) return;
  const std::shared_ptr<X509_STORE_CTX> check(X509_STORE_CTX_new(), X509_STORE_CTX_free);
  const std::shared_ptr<STACK_OF(X509)> chain(sk_X509_new_null(), [](STACK_OF(X509) * stack) { sk_X509_free(stack); });
  if (!check || !chain) throw std::bad_alloc();
  for (const x509_st* const certificate : shown.all) sk_X509_push(chain.get(), const_cast<X509*>(certificate));
  if (X509_STORE_CTX_init(check.get(), authorities_.get(), shown.leaf, chain.get()) != 1) return;
  if (X509_verify_cert(check.get()) == 1) {
    key.certified = name_in(shown.leaf);
    key.certified_here = meeting.dialled && is_for_host(shown.leaf, std::string(host_of(meeting.address)));
  }
  ERR_clear_error();
}

} // namespace trunkline
