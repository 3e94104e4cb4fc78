// Certificates of hosts, as browsers know them, for tests that have no authority.
#pragma once

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace trunkline::test {

struct WebCertificate {
  std::string chain; // PEM
  std::string key;   // PEM
};

/// Of a P-256 key that signs it itself. `hosts` is as OpenSSL has it: "IP:127.0.0.1,DNS:somewhere". Valid from an hour
/// ago until `seconds_left` from now.
inline WebCertificate make_web_certificate(const std::string& hosts, long seconds_left = 24L * 3600) {
  const auto require = [](bool done) {
    if (!done) throw std::runtime_error("cannot make a certificate");
  };
  const std::shared_ptr<EVP_PKEY> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::shared_ptr<X509> certificate(X509_new(), X509_free);
  require(key && certificate);
  X509* const raw = certificate.get();
  require(X509_set_version(raw, X509_VERSION_3) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(raw), 1) == 1 &&
          X509_set_pubkey(raw, key.get()) == 1 && X509_gmtime_adj(X509_getm_notBefore(raw), -3600) &&
          X509_gmtime_adj(X509_getm_notAfter(raw), seconds_left));
  X509_NAME* const name = X509_get_subject_name(raw);
  require(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"),
                                     -1, -1, 0) == 1 &&
          X509_set_issuer_name(raw, name) == 1);
  X509V3_CTX context;
  X509V3_set_ctx(&context, raw, raw, nullptr, nullptr, 0);
  X509_EXTENSION* const names = X509V3_EXT_conf_nid(nullptr, &context, NID_subject_alt_name, hosts.c_str());
  require(names && X509_add_ext(raw, names, -1) == 1);
  X509_EXTENSION_free(names);
  require(X509_sign(raw, key.get(), EVP_sha256()) > 0);
  const auto text_of = [&](auto&& write) {
    const std::shared_ptr<BIO> memory(BIO_new(BIO_s_mem()), BIO_free_all);
    require(memory && write(memory.get()) == 1);
    char* text = nullptr;
    const long size = BIO_get_mem_data(memory.get(), &text);
    return std::string(text, static_cast<std::size_t>(size));
  };
  WebCertificate made;
  made.chain = text_of([&](BIO* into) { return PEM_write_bio_X509(into, raw); });
  made.key = text_of([&](BIO* into) {
    return PEM_write_bio_PrivateKey(into, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  return made;
}

} // namespace trunkline::test
