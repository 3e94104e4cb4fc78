#include "services/quarkchain/chain/evm_transaction.hpp"

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/rlp.hpp"

#include <secp256k1_recovery.h>

#include <array>
#include <cstring>
#include <memory>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t items_count = 15;
constexpr std::size_t number_bytes_max = 32;
constexpr std::uint64_t token_id_max = 4873763662273663091; // ZZZZZZZZZZZZ

[[noreturn]] void fail(const char* field, const std::string& reason) {
  throw TransactionFailure(std::string("transaction: ") + field + " " + reason);
}

BigUint number_of(const char* field, std::string_view bytes) {
  if (!bytes.empty() && bytes.front() == 0) fail(field, "has leading zeros");
  if (bytes.size() > number_bytes_max)
    fail(field, "has " + std::to_string(bytes.size()) + " bytes, at most " + std::to_string(number_bytes_max) +
                    " are allowed");
  return *BigUint::from_bytes(bytes_of(bytes));
}

std::uint64_t token_of(const char* field, std::string_view bytes) {
  const BigUint number = number_of(field, bytes);
  const auto token = number.to_u64();
  if (!token || *token > token_id_max)
    fail(field, "is " + number.to_decimal() + ", at most " + std::to_string(token_id_max) + " is allowed");
  return *token;
}

std::uint32_t shard_key_of(const char* field, std::string_view bytes) {
  if (bytes.size() != 4) fail(field, "has " + std::to_string(bytes.size()) + " bytes, expected 4");
  return get_big<std::uint32_t>(bytes_of(bytes).data());
}

std::optional<Recipient> recipient_of(const char* field, std::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  const auto recipient = Recipient::from_bytes(bytes_of(bytes));
  if (!recipient) fail(field, "has " + std::to_string(bytes.size()) + " bytes, expected 20 or none");
  return recipient;
}

std::string shard_key_bytes(std::uint32_t key) {
  std::byte bytes[4];
  put_big(bytes, key);
  return std::string(text_of(bytes));
}

std::string_view recipient_bytes(const std::optional<Recipient>& recipient) {
  return recipient ? text_of(recipient->bytes) : std::string_view();
}

/// The first 11 items, which all forms begin with.
RlpList unsigned_items(const EvmTransaction& tx) {
  RlpList list;
  list.add(tx.nonce).add(tx.gasprice).add(tx.startgas).add(recipient_bytes(tx.to)).add(tx.value).add(tx.data);
  list.add(tx.network_id).add(shard_key_bytes(tx.from_full_shard_key)).add(shard_key_bytes(tx.to_full_shard_key));
  return list.add(tx.gas_token_id).add(tx.transfer_token_id);
}

Hash256 hash_text(std::string_view text) { return keccak256(bytes_of(text)); }

/// A number in exactly `size` bytes.
std::string padded(const char* field, std::string_view bytes, std::size_t size) {
  if (bytes.size() > size) fail(field, "does not fit into " + std::to_string(size) + " bytes");
  return std::string(size - bytes.size(), '\0').append(bytes);
}

/// What wallets show and sign: names and types of the fields, hashed, and then the fields.
Hash256 hash_typed(const EvmTransaction& tx) {
  static const Hash256 schema = hash_text(
      "uint256 nonceuint256 gasPriceuint256 gasLimituint160 touint256 valuebytes datauint256 networkIduint32 "
      "fromFullShardKeyuint32 toFullShardKeyuint64 gasTokenIduint64 transferTokenIdstring qkcDomain");
  std::string fields;
  fields += padded("nonce", tx.nonce.bytes(), 32);
  fields += padded("gasprice", tx.gasprice.bytes(), 32);
  fields += padded("startgas", tx.startgas.bytes(), 32);
  fields += padded("to", recipient_bytes(tx.to), 20);
  fields += padded("value", tx.value.bytes(), 32);
  fields += tx.data;
  fields += padded("network_id", tx.network_id.bytes(), 32);
  fields += shard_key_bytes(tx.from_full_shard_key);
  fields += shard_key_bytes(tx.to_full_shard_key);
  fields += padded("gas_token_id", BigUint(tx.gas_token_id).bytes(), 8);
  fields += padded("transfer_token_id", BigUint(tx.transfer_token_id).bytes(), 8);
  fields += "bottom-quark";
  return keccak256(schema.bytes, hash_text(fields).bytes);
}

/// 0 to 3, from the v of any version.
int recovery_id(const EvmTransaction& tx) {
  // EIP-155 hides the network's id in v.
  const BigUint base = tx.version == BigUint(2) ? BigUint(35) + tx.network_id + tx.network_id : BigUint(27);
  const auto id = tx.v < base ? std::nullopt : (tx.v - base).to_u64();
  if (!id || *id > 3) fail("v", "is " + tx.v.to_decimal() + ", expected " + base.to_decimal() + " or a little more");
  return static_cast<int>(*id);
}

const secp256k1_context* curve() {
  static const std::unique_ptr<secp256k1_context, void (*)(secp256k1_context*)> context(
      secp256k1_context_create(SECP256K1_CONTEXT_VERIFY), &secp256k1_context_destroy);
  return context.get();
}

} // namespace

EvmTransaction EvmTransaction::from_rlp(std::string_view rlp) try {
  const auto items = rlp_items(rlp, items_count);
  if (items.size() != items_count)
    throw TransactionFailure("transaction: has " + std::to_string(items.size()) + " items, expected " +
                             std::to_string(items_count));
  EvmTransaction tx;
  tx.nonce = number_of("nonce", items[0]);
  tx.gasprice = number_of("gasprice", items[1]);
  tx.startgas = number_of("startgas", items[2]);
  tx.to = recipient_of("to", items[3]);
  tx.value = number_of("value", items[4]);
  tx.data = items[5];
  tx.network_id = number_of("network_id", items[6]);
  tx.from_full_shard_key = shard_key_of("from_full_shard_key", items[7]);
  tx.to_full_shard_key = shard_key_of("to_full_shard_key", items[8]);
  tx.gas_token_id = token_of("gas_token_id", items[9]);
  tx.transfer_token_id = token_of("transfer_token_id", items[10]);
  tx.version = number_of("version", items[11]);
  tx.v = number_of("v", items[12]);
  tx.r = number_of("r", items[13]);
  tx.s = number_of("s", items[14]);
  return tx;
} catch (const RlpFailure& failure) {
  throw TransactionFailure(std::string("transaction: ") + failure.what());
}

std::string EvmTransaction::to_rlp() const { return unsigned_items(*this).add(version).add(v).add(r).add(s).encoded(); }

TypedTransaction EvmTransaction::typed() const {
  TypedTransaction transaction;
  transaction.tx.serialized_tx = to_rlp();
  return transaction;
}

Hash256 EvmTransaction::hash_unsigned() const {
  if (version != BigUint(2)) return hash_text(unsigned_items(*this).encoded());
  RlpList list;
  list.add(nonce).add(gasprice).add(startgas).add(recipient_bytes(to)).add(value).add(data);
  return hash_text(list.add(network_id).add(std::uint64_t{0}).add(std::uint64_t{0}).encoded());
}

Hash256 EvmTransaction::hash_signed() const {
  if (version == BigUint(1)) return hash_typed(*this);
  if (version > BigUint(2)) fail("version", "is " + version.to_decimal() + ", known are 0, 1 and 2");
  return hash_unsigned();
}

Recipient EvmTransaction::sender() const {
  const Hash256 hash = hash_signed();
  const int id = recovery_id(*this);
  const std::string compact = padded("r", r.bytes(), 32) + padded("s", s.bytes(), 32);
  secp256k1_ecdsa_recoverable_signature signature;
  secp256k1_pubkey key;
  if (r.is_zero() || s.is_zero() ||
      !secp256k1_ecdsa_recoverable_signature_parse_compact(
          curve(), &signature, reinterpret_cast<const unsigned char*>(compact.data()), id) ||
      !secp256k1_ecdsa_recover(curve(), &key, &signature, reinterpret_cast<const unsigned char*>(hash.bytes.data())))
    fail("signature", "is nobody's");
  std::array<std::byte, 65> point;
  std::size_t size = point.size();
  secp256k1_ec_pubkey_serialize(curve(), reinterpret_cast<unsigned char*>(point.data()), &size, &key,
                                SECP256K1_EC_UNCOMPRESSED);
  const Hash256 known_by = keccak256(std::span<const std::byte>(point).subspan(1));
  return *Recipient::from_bytes(std::span<const std::byte>(known_by.bytes).last(Recipient::size));
}

} // namespace trunkline::quarkchain
