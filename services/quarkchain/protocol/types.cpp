#include "services/quarkchain/protocol/types.hpp"

#include "services/quarkchain/chain/codec_fields.hpp"
#include "services/quarkchain/chain/json_fields.hpp"

#include <algorithm>
#include <vector>

namespace trunkline::quarkchain {
namespace {

// "biguint" is not a structure, but the one primitive whose encoding is worth asking for.

bool biguint_to_json(std::span<const std::byte> bytes, std::string& fields, ByteBuffer& encoded_again,
                     DecodeError& error) {
  Decoder in(bytes);
  BigUint value;
  if (!read(in, value)) {
    error = in.take_error("biguint");
    return false;
  }
  put_json(fields, value);
  Writer out(encoded_again.prepare(1 + value.bytes().size()));
  write(out, value);
  encoded_again.commit(1 + value.bytes().size());
  return true;
}

bool biguint_from_json(const Json& fields, ByteBuffer& into, std::string& why) {
  JsonReader in;
  BigUint value;
  if (!take_json(in, fields, value)) {
    why = in.take_error("biguint");
    return false;
  }
  Writer out(into.prepare(1 + value.bytes().size()));
  write(out, value);
  into.commit(1 + value.bytes().size());
  return true;
}

bool biguint_check(std::span<const std::byte> bytes, DecodeError& error) {
  Decoder in(bytes);
  BigUint value;
  if (read(in, value)) return true;
  error = in.take_error("biguint");
  return false;
}

void biguint_blank(std::string& fields) { put_json(fields, BigUint()); }

std::vector<TypeInfo> all_types() {
  std::vector<TypeInfo> all;
  for (const auto group : {core_types(), cluster_types(), p2p_types()})
    all.insert(all.end(), group.begin(), group.end());
  all.push_back({"biguint", 1, &biguint_to_json, &biguint_from_json, &biguint_check, &biguint_blank});
  std::sort(all.begin(), all.end(), [](const TypeInfo& a, const TypeInfo& b) { return a.name < b.name; });
  return all;
}

} // namespace

std::span<const TypeInfo> types() noexcept {
  static const std::vector<TypeInfo> all = all_types();
  return all;
}

const TypeInfo* find_type(std::string_view name) noexcept {
  const auto all = types();
  const auto found = std::lower_bound(all.begin(), all.end(), name,
                                      [](const TypeInfo& type, std::string_view wanted) { return type.name < wanted; });
  return found != all.end() && found->name == name ? &*found : nullptr;
}

} // namespace trunkline::quarkchain
