#include "transport/authorities.hpp"

#include "fragment/error.hpp"
#include "fragment/quote.hpp"
#include "transport/guarded_file.hpp"
#include "transport/openssl.hpp"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <new>
#include <optional>
#include <string_view>

namespace trunkline {
namespace {

constexpr std::string_view authority_kind = "authority file";

} // namespace

std::shared_ptr<x509_store_st> load_authorities(const std::string& path) {
  const std::optional<std::string> text = read_guarded(path, authority_kind, Guard::unchanged);
  const auto fail = [&path](const std::string& why) {
    throw_error(error::unusable_file, fmt::format("{} {}: {}", authority_kind, quote(path), why));
  };
  if (!text) fail("there is none");
  const std::shared_ptr<BIO> memory(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())), BIO_free_all);
  const std::shared_ptr<x509_store_st> store(X509_STORE_new(), X509_STORE_free);
  if (!memory || !store) throw std::bad_alloc();
  ERR_clear_error();
  int count = 0;
  while (X509* const certificate = PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr)) {
    const bool added = X509_STORE_add_cert(store.get(), certificate) == 1;
    X509_free(certificate);
    if (!added) fail("holds a certificate that cannot be used: " + openssl_reason());
    ++count;
  }
  ERR_clear_error();
  if (count == 0) fail("holds no certificate in PEM");
  return store;
}

} // namespace trunkline
