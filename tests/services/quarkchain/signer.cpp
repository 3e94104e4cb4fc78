#include "tests/services/quarkchain/signer.hpp"

#include "services/quarkchain/chain/keccak.hpp"

#include <secp256k1_recovery.h>

#include <array>
#include <span>
#include <stdexcept>

namespace trunkline::quarkchain::test {
namespace {

const unsigned char* raw(const Hash256& hash) { return reinterpret_cast<const unsigned char*>(hash.bytes.data()); }

secp256k1_context* curve() {
  static secp256k1_context* const context = secp256k1_context_create(SECP256K1_CONTEXT_SIGN);
  return context;
}

} // namespace

Signer::Signer(std::uint8_t number) {
  key.bytes[31] = std::byte{number};
  key.bytes[0] = std::byte{1};
  secp256k1_pubkey point;
  if (!secp256k1_ec_pubkey_create(curve(), &point, raw(key))) throw std::runtime_error("no key");
  std::array<std::byte, 65> bytes;
  std::size_t size = bytes.size();
  secp256k1_ec_pubkey_serialize(curve(), reinterpret_cast<unsigned char*>(bytes.data()), &size, &point,
                                SECP256K1_EC_UNCOMPRESSED);
  const Hash256 hash = keccak256(std::span<const std::byte>(bytes).subspan(1));
  address = *Recipient::from_bytes(std::span<const std::byte>(hash.bytes).last(Recipient::size));
}

EvmTransaction& Signer::sign(EvmTransaction& tx) const {
  secp256k1_ecdsa_recoverable_signature signature;
  const Hash256 hash = tx.hash_signed();
  if (!secp256k1_ecdsa_sign_recoverable(curve(), &signature, raw(hash), raw(key), nullptr, nullptr))
    throw std::runtime_error("no signature");
  std::array<std::byte, 64> bytes;
  int id = 0;
  secp256k1_ecdsa_recoverable_signature_serialize_compact(curve(), reinterpret_cast<unsigned char*>(bytes.data()), &id,
                                                          &signature);
  tx.r = *BigUint::from_bytes(std::span<const std::byte>(bytes).first(32));
  tx.s = *BigUint::from_bytes(std::span<const std::byte>(bytes).last(32));
  tx.v = BigUint(27 + static_cast<unsigned>(id));
  return tx;
}

} // namespace trunkline::quarkchain::test
