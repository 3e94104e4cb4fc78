#include "services/sync/digest.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <stdexcept>

namespace trunkline::sync {
namespace {

void check(int returned) {
  if (returned != 1) throw std::runtime_error("SHA-256 is not available from OpenSSL");
}

} // namespace

struct Digester::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();

  ~State() { EVP_MD_CTX_free(context); }
};

bool Digest::from_bytes(std::string_view bytes, Digest& into) noexcept {
  if (bytes.size() != bytes_count) return false;
  std::copy(bytes.begin(), bytes.end(), into.bytes_.begin());
  return true;
}

Digester::Digester() : state_(std::make_unique<State>()) {
  check(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr));
}

Digester::~Digester() = default;

void Digester::add(std::span<const std::byte> bytes) {
  check(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()));
}

Digest Digester::take() {
  Digest digest;
  unsigned int size = 0;
  check(EVP_DigestFinal_ex(state_->context, digest.bytes_.data(), &size));
  return digest;
}

} // namespace trunkline::sync
