#include "services/quarkchain/execution/trie_nodes.hpp"

namespace trunkline::quarkchain {
namespace {

constexpr std::string_view node_prefix = "state_n";
constexpr std::string_view preimage_prefix = "state_p";

std::string key_of(std::string_view prefix, const Hash256& hash) {
  return std::string(prefix).append(text_of(hash.bytes));
}

} // namespace

std::shared_ptr<const std::string> TrieNodes::get(const Hash256& hash) const {
  if (const auto* known = recent_.find(hash)) return *known;
  auto stored = store_.get(key_of(node_prefix, hash));
  if (!stored) throw MissingNode("the state has no node " + hash.hex());
  auto node = std::make_shared<const std::string>(*std::move(stored));
  recent_.keep(hash, node);
  return node;
}

bool TrieNodes::has(const Hash256& hash) const { return recent_.find(hash) || store_.has(key_of(node_prefix, hash)); }

std::optional<std::string> TrieNodes::preimage(const Hash256& key) const {
  return store_.get(key_of(preimage_prefix, key));
}

void TrieNodes::write(const FreshNodes& fresh, StoreBatch& into) {
  for (const auto& [hash, node] : fresh.nodes) into.put(key_of(node_prefix, hash), node);
  for (const auto& [key, preimage] : fresh.preimages) into.put(key_of(preimage_prefix, key), preimage);
}

} // namespace trunkline::quarkchain
