#include "services/quarkchain/execution/state_trie.hpp"

#include "services/quarkchain/chain/rlp.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace trunkline::quarkchain {
namespace {

using Node = StateTrie::Node;

constexpr std::size_t digits_count = 16;
constexpr std::size_t branch_items = digits_count + 1;

/// How a parent names a child: not at all, by its bytes as they stand in the parent, or by the node once it is loaded.
struct Child {
  std::string written; // an RLP item, valid while the node is not loaded or has not changed
  std::unique_ptr<Node> node;

  bool empty() const noexcept { return written.empty() && !node; }
};

/// Digits of a key, one to a char, most significant first.
std::string digits_of(std::string_view key) {
  std::string digits;
  digits.reserve(2 * key.size());
  for (const char byte : key) {
    digits += static_cast<char>(static_cast<unsigned char>(byte) >> 4);
    digits += static_cast<char>(static_cast<unsigned char>(byte) & 15);
  }
  return digits;
}

std::string key_of(std::string_view digits) {
  std::string key;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) key += static_cast<char>(digits[i] << 4 | digits[i + 1]);
  return key;
}

/// Two digits to a byte, behind a flag that says how many and whether a leaf ends here.
std::string packed(std::string_view digits, bool leaf) {
  unsigned first = leaf ? 0x20u : 0u;
  std::size_t at = 0;
  if (digits.size() % 2 == 1) first |= 0x10u | static_cast<unsigned>(digits[at++]);
  std::string path(1, static_cast<char>(first));
  for (; at < digits.size(); at += 2) path += static_cast<char>(digits[at] << 4 | digits[at + 1]);
  return path;
}

std::size_t shared_of(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

} // namespace

struct StateTrie::Node {
  enum class Kind : std::uint8_t { leaf, extension, branch };

  explicit Node(Kind of) : kind(of) {}

  Kind kind;
  bool changed = true;
  std::string path;                          // of a leaf and an extension
  std::string value;                         // of a leaf
  Child child;                               // of an extension
  std::array<Child, digits_count> children{}; // of a branch
};

namespace {

std::unique_ptr<Node> make_leaf(std::string_view path, std::string value) {
  auto node = std::make_unique<Node>(Node::Kind::leaf);
  node->path = path;
  node->value = std::move(value);
  return node;
}

/// In front of a node: an extension, or the node with a longer path.
std::unique_ptr<Node> with_prefix(std::string_view prefix, std::unique_ptr<Node> node) {
  if (prefix.empty()) return node;
  if (node->kind != Node::Kind::branch) {
    node->path.insert(0, prefix);
    node->changed = true;
    return node;
  }
  auto extension = std::make_unique<Node>(Node::Kind::extension);
  extension->path = prefix;
  extension->child.node = std::move(node);
  return extension;
}

std::unique_ptr<Node> parsed(std::string_view bytes) {
  const auto items = rlp_list(bytes, branch_items);
  const auto child_of = [](const RlpItem& item) {
    Child child;
    if (item.list || !item.content.empty()) child.written = item.whole;
    return child;
  };
  if (items.size() == branch_items) {
    auto node = std::make_unique<Node>(Node::Kind::branch);
    for (std::size_t digit = 0; digit < digits_count; ++digit) node->children[digit] = child_of(items[digit]);
    node->changed = false;
    return node;
  }
  if (items.size() != 2 || items[0].list || items[0].content.empty()) throw MissingNode("a node of no known form");
  const std::string digits = digits_of(items[0].content);
  const bool leaf = (digits[0] & 2) != 0;
  auto node = std::make_unique<Node>(leaf ? Node::Kind::leaf : Node::Kind::extension);
  node->path = digits.substr((digits[0] & 1) != 0 ? 1 : 2);
  if (leaf) node->value = items[1].content;
  else node->child = child_of(items[1]);
  node->changed = false;
  return node;
}

/// The node behind a child that is not empty.
Node& loaded(const TrieNodes& nodes, Child& child) {
  if (!child.node) {
    const bool inside = static_cast<unsigned char>(child.written[0]) >= 0xc0;
    if (inside) child.node = parsed(child.written);
    else child.node = parsed(*nodes.get(*Hash256::from_bytes(bytes_of(std::string_view(child.written).substr(1)))));
  }
  return *child.node;
}

/// The value at the end of the path, or null.
const std::string* found(const TrieNodes& nodes, Child& at, std::string_view path) {
  if (at.empty()) return nullptr;
  Node& node = loaded(nodes, at);
  switch (node.kind) {
    case Node::Kind::leaf: return node.path == path ? &node.value : nullptr;
    case Node::Kind::extension:
      return path.starts_with(node.path) ? found(nodes, node.child, path.substr(node.path.size())) : nullptr;
    case Node::Kind::branch:
      return path.empty() ? nullptr : found(nodes, node.children[static_cast<std::size_t>(path[0])], path.substr(1));
  }
  return nullptr;
}

void insert(const TrieNodes& nodes, Child& at, std::string_view path, std::string&& value) {
  if (at.empty()) {
    at.node = make_leaf(path, std::move(value));
    return;
  }
  Node& node = loaded(nodes, at);
  node.changed = true;
  if (node.kind == Node::Kind::branch) {
    assert(!path.empty());
    return insert(nodes, node.children[static_cast<std::size_t>(path[0])], path.substr(1), std::move(value));
  }
  const std::size_t shared = shared_of(node.path, path);
  if (shared == node.path.size()) {
    if (node.kind == Node::Kind::extension) return insert(nodes, node.child, path.substr(shared), std::move(value));
    if (shared == path.size()) {
      node.value = std::move(value);
      return;
    }
  }
  // The ways part: a branch takes the place of the node, behind an extension for what both share.
  assert(shared < node.path.size() && shared < path.size());
  auto branch = std::make_unique<Node>(Node::Kind::branch);
  const auto theirs = static_cast<std::size_t>(node.path[shared]);
  const auto ours = static_cast<std::size_t>(path[shared]);
  const std::string prefix = node.path.substr(0, shared);
  node.path.erase(0, shared + 1);
  if (node.kind == Node::Kind::extension && node.path.empty()) branch->children[theirs] = std::move(node.child);
  else branch->children[theirs].node = std::move(at.node);
  branch->children[ours].node = make_leaf(path.substr(shared + 1), std::move(value));
  at.node = with_prefix(prefix, std::move(branch));
}

/// Whether the key was there. What is left has the one form that these entries have.
bool erase(const TrieNodes& nodes, Child& at, std::string_view path) {
  if (at.empty()) return false;
  Node& node = loaded(nodes, at);
  if (node.kind == Node::Kind::leaf) {
    if (node.path != path) return false;
    at = Child();
    return true;
  }
  if (node.kind == Node::Kind::extension) {
    if (!path.starts_with(node.path) || !erase(nodes, node.child, path.substr(node.path.size()))) return false;
    // Below an extension is a branch, which never becomes empty; it may have become a path of its own.
    node.changed = true;
    Node& below = loaded(nodes, node.child);
    if (below.kind != Node::Kind::branch) {
      const std::string prefix = node.path;
      std::unique_ptr<Node> rest = std::move(node.child.node);
      at.node = with_prefix(prefix, std::move(rest));
    }
    return true;
  }
  if (path.empty() || !erase(nodes, node.children[static_cast<std::size_t>(path[0])], path.substr(1))) return false;
  node.changed = true;
  const auto is_there = [](const Child& child) { return !child.empty(); };
  const auto only = std::find_if(node.children.begin(), node.children.end(), is_there);
  if (std::find_if(std::next(only), node.children.end(), is_there) != node.children.end()) return true;
  const std::string digit(1, static_cast<char>(only - node.children.begin()));
  loaded(nodes, *only);
  std::unique_ptr<Node> last = std::move(only->node);
  at.node = with_prefix(digit, std::move(last));
  return true;
}

/// How the parent writes this child; its new nodes are appended to `fresh`.
const std::string& written(Child& child, FreshNodes& fresh);

std::string bytes_of_node(Node& node, FreshNodes& fresh) {
  RlpList list;
  switch (node.kind) {
    case Node::Kind::leaf: list.add(packed(node.path, true)).add(node.value); break;
    case Node::Kind::extension: list.add(packed(node.path, false)).add_encoded(written(node.child, fresh)); break;
    case Node::Kind::branch:
      for (Child& child : node.children) {
        if (child.empty()) list.add(std::string_view());
        else list.add_encoded(written(child, fresh));
      }
      list.add(std::string_view());
  }
  node.changed = false;
  return list.encoded();
}

const std::string& written(Child& child, FreshNodes& fresh) {
  if (!child.node || (!child.node->changed && !child.written.empty())) return child.written;
  std::string bytes = bytes_of_node(*child.node, fresh);
  if (bytes.size() < Hash256::size) {
    child.written = std::move(bytes);
  } else {
    const Hash256 hash = keccak256(quarkchain::bytes_of(bytes));
    child.written = rlp_bytes(text_of(hash.bytes));
    fresh.nodes.emplace_back(hash, std::move(bytes));
  }
  return child.written;
}

/// False once `visit` has said so. `bound`: what is left of the key after which to begin, or nothing to take all.
bool walk_from(const TrieNodes& nodes, Child& at, std::string& way, std::optional<std::string_view> bound,
               const std::function<bool(const std::string&, const std::string&)>& visit) {
  if (at.empty()) return true;
  Node& node = loaded(nodes, at);
  const std::size_t before = way.size();
  bool on = true;
  if (node.kind == Node::Kind::branch) {
    const std::size_t first = bound && !bound->empty() ? static_cast<std::size_t>((*bound)[0]) : 0;
    for (std::size_t digit = first; on && digit < digits_count; ++digit) {
      way += static_cast<char>(digit);
      const bool edge = bound && !bound->empty() && digit == first;
      on = walk_from(nodes, node.children[digit], way, edge ? std::optional(bound->substr(1)) : std::nullopt, visit);
      way.resize(before);
    }
    return on;
  }
  if (bound && !bound->starts_with(node.path)) {
    if (node.path < *bound) return true; // all of it is before
    bound.reset();
  } else if (bound) {
    bound = bound->substr(node.path.size());
  }
  way += node.path;
  if (node.kind == Node::Kind::extension) on = walk_from(nodes, node.child, way, bound, visit);
  else if (!bound) on = visit(key_of(way), node.value); // with a bound it is that key itself
  way.resize(before);
  return on;
}

} // namespace

const Hash256& blank_root() {
  static const Hash256 root = keccak256(bytes_of(rlp_bytes({})));
  return root;
}

StateTrie::StateTrie(const TrieNodes& nodes, const Hash256& root)
    : nodes_(&nodes), root_(std::make_unique<Node>(Node::Kind::extension)) {
  if (root != blank_root()) root_->child.written = rlp_bytes(text_of(root.bytes));
}
StateTrie::~StateTrie() = default;
StateTrie::StateTrie(StateTrie&&) noexcept = default;
StateTrie& StateTrie::operator=(StateTrie&&) noexcept = default;

std::optional<std::string> StateTrie::get(std::string_view key) {
  const std::string* value = found(*nodes_, root_->child, digits_of(key));
  return value ? std::optional(*value) : std::nullopt;
}

void StateTrie::set(std::string_view key, std::string value) {
  if (value.empty()) erase(*nodes_, root_->child, digits_of(key));
  else insert(*nodes_, root_->child, digits_of(key), std::move(value));
}

Hash256 StateTrie::commit(FreshNodes& fresh) {
  Child& first = root_->child;
  if (first.empty()) return blank_root();
  if (first.node && (first.node->changed || first.written.empty())) {
    // The first node is named by its hash however short it is.
    std::string bytes = bytes_of_node(*first.node, fresh);
    const Hash256 hash = keccak256(bytes_of(bytes));
    first.written = rlp_bytes(text_of(hash.bytes));
    fresh.nodes.emplace_back(hash, std::move(bytes));
  }
  return *Hash256::from_bytes(bytes_of(std::string_view(first.written).substr(1)));
}

void StateTrie::walk(const std::optional<std::string>& after,
                     const std::function<bool(const std::string&, const std::string&)>& visit) {
  std::string way;
  const std::string bound = after ? digits_of(*after) : std::string();
  walk_from(*nodes_, root_->child, way, after ? std::optional<std::string_view>(bound) : std::nullopt, visit);
}

} // namespace trunkline::quarkchain
