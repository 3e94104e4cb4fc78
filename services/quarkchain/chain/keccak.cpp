#include "services/quarkchain/chain/keccak.hpp"

#include <crypto++/keccak.h>

namespace trunkline::quarkchain {
namespace {

void add(CryptoPP::Keccak_256& keccak, std::span<const std::byte> bytes) {
  keccak.Update(reinterpret_cast<const CryptoPP::byte*>(bytes.data()), bytes.size());
}

} // namespace

Hash256 keccak256(std::span<const std::byte> bytes) { return keccak256(bytes, {}); }

Hash256 keccak256(std::span<const std::byte> first, std::span<const std::byte> second) {
  CryptoPP::Keccak_256 keccak;
  add(keccak, first);
  add(keccak, second);
  Hash256 hash;
  keccak.Final(reinterpret_cast<CryptoPP::byte*>(hash.bytes.data()));
  return hash;
}

FixedBytes<64> keccak512(std::span<const std::byte> bytes) {
  CryptoPP::Keccak_512 keccak;
  keccak.Update(reinterpret_cast<const CryptoPP::byte*>(bytes.data()), bytes.size());
  FixedBytes<64> hash;
  keccak.Final(reinterpret_cast<CryptoPP::byte*>(hash.bytes.data()));
  return hash;
}

} // namespace trunkline::quarkchain
