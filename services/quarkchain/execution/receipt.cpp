#include "services/quarkchain/execution/receipt.hpp"

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/rlp.hpp"
#include "services/quarkchain/execution/state_trie.hpp"

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t items_count = 6;
constexpr std::size_t list_max = 1 << 20;

/// A trie that begins empty reads nothing.
class NoStore final : public Store {
 public:
  std::optional<std::string> get(std::string_view) const override { return std::nullopt; }
  void write(const StoreBatch&) override {}
  void scan(std::string_view, std::string_view,
            const std::function<bool(std::string_view, std::string_view)>&) const override {}
};

std::string encoded_logs(const std::vector<ReceiptLog>& logs) {
  RlpList list;
  for (const ReceiptLog& log : logs) {
    RlpList topics;
    for (const Hash256& topic : log.topics) topics.add(text_of(topic.bytes));
    list.add_encoded(RlpList().add(text_of(log.recipient.bytes)).add_encoded(topics.encoded()).add(log.data).encoded());
  }
  return list.encoded();
}

template <class Value> Value fixed_from(std::string_view bytes, const char* what) {
  const auto value = Value::from_bytes(bytes_of(bytes));
  if (!value) throw RlpFailure(std::string("receipt: ") + what + " of " + std::to_string(bytes.size()) + " bytes");
  return *value;
}

std::vector<ReceiptLog> decoded_logs(std::string_view bytes) {
  std::vector<ReceiptLog> logs;
  for (const RlpItem& item : rlp_list(bytes, list_max)) {
    const auto parts = rlp_list(item.whole, 3);
    if (parts.size() != 3) throw RlpFailure("receipt: a log of " + std::to_string(parts.size()) + " items");
    ReceiptLog& log = logs.emplace_back();
    log.recipient = fixed_from<Recipient>(parts[0].content, "a recipient");
    for (const std::string_view topic : rlp_items(parts[1].whole, list_max))
      log.topics.push_back(fixed_from<Hash256>(topic, "a topic"));
    log.data = parts[2].content;
  }
  return logs;
}

Receipt decoded_receipt(std::string_view bytes) {
  const auto items = rlp_list(bytes, items_count);
  if (items.size() != items_count || items[5].content.size() != 4)
    throw RlpFailure("receipt: " + std::to_string(items.size()) + " items");
  Receipt receipt;
  receipt.success = !items[0].content.empty();
  receipt.cumulative_gas = fixed_from<FixedUint<16>>(items[1].content, "gas").to_u64().value_or(0);
  receipt.bloom = fixed_from<Uint2048>(items[2].content, "a bloom");
  receipt.logs = decoded_logs(items[3].whole);
  if (!items[4].content.empty()) receipt.contract = fixed_from<Recipient>(items[4].content, "a contract");
  receipt.full_shard_key = get_big<std::uint32_t>(bytes_of(items[5].content).data());
  return receipt;
}

} // namespace

std::string Receipt::to_rlp() const {
  std::byte key[4];
  put_big(key, full_shard_key);
  if (logs.empty() && !contract) { // the usual one, in one piece
    const BigUint gas(cumulative_gas);
    const std::string_view outcome = success ? std::string_view("\1", 1) : std::string_view();
    const std::string_view seen = text_of(bloom.bytes());
    std::string bytes;
    const std::size_t size = rlp_bytes_size(outcome) + rlp_bytes_size(gas.bytes()) + rlp_bytes_size(seen) + 1 + 1 +
                             rlp_bytes_size(text_of(key));
    bytes.reserve(size + 9);
    rlp_append_list_head(bytes, size);
    rlp_append_bytes(bytes, outcome);
    rlp_append_bytes(bytes, gas.bytes());
    rlp_append_bytes(bytes, seen);
    rlp_append_list_head(bytes, 0); // no logs
    rlp_append_bytes(bytes, {});    // no contract
    rlp_append_bytes(bytes, text_of(key));
    return bytes;
  }
  RlpList list;
  list.add(success ? std::string_view("\1", 1) : std::string_view()).add(cumulative_gas);
  list.add(text_of(bloom.bytes())).add_encoded(encoded_logs(logs));
  list.add(contract ? text_of(contract->bytes) : std::string_view());
  return list.add(text_of(key)).encoded();
}

Hash256 receipts_root(std::span<const Receipt> receipts) {
  const NoStore nothing;
  const TrieNodes nodes(nothing, 0);
  StateTrie trie(nodes, blank_root());
  for (std::size_t i = 0; i < receipts.size(); ++i) trie.set(rlp_bytes(BigUint(i).bytes()), receipts[i].to_rlp());
  FreshNodes fresh;
  return trie.commit(fresh);
}

Uint2048 bloom_of(std::span<const Receipt> receipts) {
  Uint2048 all;
  for (const Receipt& receipt : receipts)
    for (std::size_t i = 0; i < Uint2048::size; ++i) all.writable()[i] |= receipt.bloom.bytes()[i];
  return all;
}

std::string encoded_receipts(std::span<const Receipt> receipts) {
  RlpList list;
  for (const Receipt& receipt : receipts) list.add_encoded(receipt.to_rlp());
  return list.encoded();
}

std::vector<Receipt> decoded_receipts(std::string_view bytes) {
  std::vector<Receipt> receipts;
  for (const RlpItem& item : rlp_list(bytes, list_max)) receipts.push_back(decoded_receipt(item.whole));
  return receipts;
}

} // namespace trunkline::quarkchain
