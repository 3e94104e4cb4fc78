#include "services/quarkchain/chain/codec.hpp"

#include "services/quarkchain/chain/codec_fields.hpp"

namespace trunkline::quarkchain {
namespace {

constexpr std::uint8_t evm_transaction_type = 0;

std::string with_prefix(const std::string& name, const std::string& rest) {
  return rest.empty() || rest.front() == '[' ? name + rest : name + "." + rest;
}

std::string unknown_transaction_type(unsigned type) {
  return "unknown transaction type " + std::to_string(type) + ", known is " + std::to_string(evm_transaction_type);
}

} // namespace

std::string DecodeError::text() const { return path + " at byte " + std::to_string(offset) + ": " + reason; }

const std::byte* Decoder::needs(std::size_t count) {
  fail(offset(), "needs " + std::to_string(count) + (count == 1 ? " byte, " : " bytes, ") + std::to_string(left()) +
                     (left() == 1 ? " is left" : " are left"));
  return nullptr;
}

bool Decoder::fail(std::size_t offset, std::string reason) {
  error_.offset = offset;
  error_.reason = std::move(reason);
  return false;
}

bool Decoder::in_field(const char* name) {
  error_.path = with_prefix(name, error_.path);
  return false;
}

bool Decoder::in_element(std::size_t index) {
  error_.path = with_prefix("[" + std::to_string(index) + "]", error_.path);
  return false;
}

DecodeError Decoder::take_error(const char* type) {
  in_field(type);
  return std::move(error_);
}

bool read(Decoder& in, TokenBalances& into) {
  std::uint32_t count = 0;
  if (!read_count(in, 2 * Minimum<BigUint>::bytes, count)) return false;
  // Tokens come in ascending order from every writer that exists; only where they do not is a tree needed.
  std::map<BigUint, BigUint> unordered;
  for (std::size_t index = 0; index < count; ++index) {
    TokenBalances::Entry entry;
    if (!(read(in, entry.token) || in.in_field("token"))) return in.in_element(index);
    if (!(read(in, entry.amount) || in.in_field("amount"))) return in.in_element(index);
    if (unordered.empty() && into.append(std::move(entry))) continue;
    if (unordered.empty())
      for (const TokenBalances::Entry& before : into)
        unordered.emplace_hint(unordered.end(), before.token, before.amount);
    unordered.insert_or_assign(std::move(entry.token), std::move(entry.amount));
  }
  if (unordered.empty()) return true;
  into = TokenBalances();
  for (auto& [token, amount] : unordered) into.append({token, std::move(amount)});
  return true;
}

bool check_transaction_type(Decoder& in) {
  Decoder ahead = in;
  std::uint8_t type = 0;
  if (ahead.number(type) && type != evm_transaction_type) return in.fail(in.offset(), unknown_transaction_type(type));
  return true; // a missing byte is reported by whoever reads the field
}

bool Sizer::in_field(const char* name) {
  path_ = with_prefix(name, path_);
  return false;
}

bool Sizer::in_element(std::size_t index) {
  path_ = with_prefix("[" + std::to_string(index) + "]", path_);
  return false;
}

void Sizer::fail(std::string reason) {
  if (reason_.empty()) reason_ = std::move(reason);
}

void Sizer::throw_failure(const char* type) {
  in_field(type);
  throw EncodeFailure(path_ + ": " + reason_);
}

void Sizer::too_many(std::size_t count, unsigned prefix_bytes) {
  fail(std::to_string(count) + " do not fit behind a length of " + std::to_string(prefix_bytes) +
       (prefix_bytes == 1 ? " byte" : " bytes"));
}

void check_transaction_type(Sizer& out, const SerializedEvmTransaction& tx) {
  if (tx.type != evm_transaction_type) out.fail(unknown_transaction_type(tx.type));
}

} // namespace trunkline::quarkchain
