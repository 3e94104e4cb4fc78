#include "services/quarkchain/execution/state_trie.hpp"

#include "services/quarkchain/chain/keccak_many.hpp"
#include "services/quarkchain/chain/rlp.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {
namespace {

using Node = StateTrie::Node;

constexpr std::size_t digits_count = 16;
constexpr std::size_t branch_items = digits_count + 1;

constexpr std::size_t reference_bytes = 1 + Hash256::size; // a hash as an RLP item

/// How a parent names a child: not at all, by its bytes as they stand in the parent, or by the node once it is loaded.
class Child {
 public:
  bool empty() const noexcept { return size_ == 0 && !node; }

  /// An RLP item: the child's hash, or the whole child when it is shorter than one. Empty: it was never written.
  std::string_view written() const noexcept { return {bytes_.data(), size_}; }
  void write(std::string_view item) {
    assert(item.size() <= bytes_.size());
    size_ = static_cast<std::uint8_t>(item.size());
    std::memcpy(bytes_.data(), item.data(), item.size());
  }
  void write(const Hash256& hash) {
    size_ = reference_bytes;
    bytes_[0] = static_cast<char>(0x80 + Hash256::size);
    std::memcpy(bytes_.data() + 1, hash.bytes.data(), Hash256::size);
  }
  bool is_hash() const noexcept { return size_ == reference_bytes; }
  Hash256 hash() const { return *Hash256::from_bytes(bytes_of(written().substr(1))); }

  std::unique_ptr<Node> node; // once it is loaded; what is written stands for it until it changes

 private:
  std::array<char, reference_bytes> bytes_; // the first size_ of them
  std::uint8_t size_ = 0;
};

/// Digits of a key or of a part of one, each a char, most significant first.
class Digits {
 public:
  static constexpr std::size_t count_max = 2 * Hash256::size;

  Digits() = default;
  explicit Digits(std::string_view digits) { append(digits); }
  /// Both digits of each byte.
  static Digits of_key(std::string_view key) {
    Digits digits;
    assert(2 * key.size() <= count_max);
    for (const char byte : key) {
      digits.push(static_cast<unsigned char>(byte) >> 4);
      digits.push(static_cast<unsigned char>(byte) & 15);
    }
    return digits;
  }
  static Digits joined(std::string_view first, std::string_view rest) {
    Digits digits(first);
    digits.append(rest);
    return digits;
  }

  std::string_view view() const noexcept { return {digits_.data(), size_}; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

 private:
  void push(int digit) { digits_[size_++] = static_cast<char>(digit); }
  void append(std::string_view more) {
    assert(size_ + more.size() <= count_max);
    std::memcpy(digits_.data() + size_, more.data(), more.size());
    size_ = static_cast<std::uint8_t>(size_ + more.size());
  }

  std::array<char, count_max> digits_; // the first size_ of them
  std::uint8_t size_ = 0;
};

std::string key_of(std::string_view digits) {
  std::string key;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) key += static_cast<char>(digits[i] << 4 | digits[i + 1]);
  return key;
}

/// Digits as a node has them: two to a byte, behind a flag that says how many and whether a leaf ends here.
class PackedPath {
 public:
  PackedPath(std::string_view digits, bool leaf) {
    unsigned first = leaf ? 0x20u : 0u;
    std::size_t at = 0;
    if (digits.size() % 2 == 1) first |= 0x10u | static_cast<unsigned>(digits[at++]);
    bytes_[size_++] = static_cast<char>(first);
    for (; at < digits.size(); at += 2) bytes_[size_++] = static_cast<char>(digits[at] << 4 | digits[at + 1]);
  }
  std::string_view view() const noexcept { return {bytes_.data(), size_}; }

 private:
  std::array<char, 1 + Hash256::size> bytes_;
  std::size_t size_ = 0;
};

Digits unpacked(std::string_view path) {
  if (path.size() > 1 + Hash256::size)
    throw MissingNode("a node with a path of " + std::to_string(path.size()) + " bytes");
  const auto flag = static_cast<unsigned char>(path[0]);
  const Digits rest = Digits::of_key(path.substr(1));
  if ((flag & 0x10) == 0) return rest;
  const char first = static_cast<char>(flag & 15);
  if (rest.size() == Digits::count_max) throw MissingNode("a node with a path that is longer than any key");
  return Digits::joined({&first, 1}, rest.view());
}

std::size_t shared_of(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

} // namespace

struct StateTrie::Node {
  enum class Kind : std::uint8_t { leaf, extension, branch };

  explicit Node(Kind of) : kind(of) {
    if (kind == Kind::branch) children_ = std::make_unique<Child[]>(digits_count);
    if (kind == Kind::extension) children_ = std::make_unique<Child[]>(1);
  }

  /// Of a branch by its digit, of an extension the only one: 0.
  Child& child(std::size_t digit) noexcept { return children_[digit]; }
  const Child& child(std::size_t digit) const noexcept { return children_[digit]; }
  std::span<Child> children() noexcept {
    return {children_.get(), kind == Kind::branch ? digits_count : kind == Kind::extension ? 1u : 0u};
  }

  Kind kind;
  bool changed = true;
  Digits path;       // of a leaf and an extension
  std::string value; // of a leaf

 private:
  std::unique_ptr<Child[]> children_; // most nodes are leaves, which have none
};

namespace {

std::unique_ptr<Node> make_leaf(std::string_view path, std::string value) {
  auto node = std::make_unique<Node>(Node::Kind::leaf);
  node->path = Digits(path);
  node->value = std::move(value);
  return node;
}

/// In front of a node: an extension, or the node with a longer path.
std::unique_ptr<Node> with_prefix(std::string_view prefix, std::unique_ptr<Node> node) {
  if (prefix.empty()) return node;
  if (node->kind != Node::Kind::branch) {
    node->path = Digits::joined(prefix, node->path.view());
    node->changed = true;
    return node;
  }
  auto extension = std::make_unique<Node>(Node::Kind::extension);
  extension->path = Digits(prefix);
  extension->child(0).node = std::move(node);
  return extension;
}

std::unique_ptr<Node> parsed(std::string_view bytes) {
  std::array<RlpItem, branch_items> items;
  const std::size_t count = rlp_list(bytes, items);
  const auto write = [](Child& child, const RlpItem& item) {
    if (!item.list && item.content.empty()) return;
    const bool is_hash = !item.list && item.content.size() == Hash256::size;
    if (!is_hash && (!item.list || item.whole.size() >= Hash256::size))
      throw MissingNode("a node with a child of " + std::to_string(item.content.size()) + " bytes");
    child.write(item.whole);
  };
  std::unique_ptr<Node> node;
  if (count == branch_items) {
    node = std::make_unique<Node>(Node::Kind::branch);
    for (std::size_t digit = 0; digit < digits_count; ++digit) write(node->child(digit), items[digit]);
  } else {
    if (count != 2 || items[0].list || items[0].content.empty()) throw MissingNode("a node of no known form");
    const bool leaf = (items[0].content[0] & 0x20) != 0;
    node = std::make_unique<Node>(leaf ? Node::Kind::leaf : Node::Kind::extension);
    node->path = unpacked(items[0].content);
    if (leaf) node->value = items[1].content;
    else write(node->child(0), items[1]);
  }
  node->changed = false;
  return node;
}

/// The node behind a child that is not empty.
Node& loaded(const TrieNodes& nodes, Child& child) {
  if (!child.node) child.node = parsed(child.is_hash() ? nodes.get(child.hash()) : child.written());
  return *child.node;
}

/// The value at the end of the path, or null. What is looked at stays loaded: most of what is asked for changes next.
const std::string* found(const TrieNodes& nodes, Child& at, std::string_view path) {
  if (at.empty()) return nullptr;
  Node& node = loaded(nodes, at);
  const std::string_view own = node.path.view();
  switch (node.kind) {
    case Node::Kind::leaf: return own == path ? &node.value : nullptr;
    case Node::Kind::extension:
      return path.starts_with(own) ? found(nodes, node.child(0), path.substr(own.size())) : nullptr;
    case Node::Kind::branch:
      return path.empty() ? nullptr : found(nodes, node.child(static_cast<std::size_t>(path[0])), path.substr(1));
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
    return insert(nodes, node.child(static_cast<std::size_t>(path[0])), path.substr(1), std::move(value));
  }
  const std::size_t shared = shared_of(node.path.view(), path);
  if (shared == node.path.size()) {
    if (node.kind == Node::Kind::extension) return insert(nodes, node.child(0), path.substr(shared), std::move(value));
    if (shared == path.size()) {
      node.value = std::move(value);
      return;
    }
  }
  // The ways part: a branch takes the place of the node, behind an extension for what both share.
  assert(shared < node.path.size() && shared < path.size());
  auto branch = std::make_unique<Node>(Node::Kind::branch);
  const Digits own = node.path;
  const auto theirs = static_cast<std::size_t>(own.view()[shared]);
  const auto ours = static_cast<std::size_t>(path[shared]);
  node.path = Digits(own.view().substr(shared + 1));
  if (node.kind == Node::Kind::extension && node.path.empty()) branch->child(theirs) = std::move(node.child(0));
  else branch->child(theirs).node = std::move(at.node);
  branch->child(ours).node = make_leaf(path.substr(shared + 1), std::move(value));
  at.node = with_prefix(own.view().substr(0, shared), std::move(branch));
}

/// Whether the key was there. What is left has the one form that these entries have.
bool erase(const TrieNodes& nodes, Child& at, std::string_view path) {
  if (at.empty()) return false;
  Node& node = loaded(nodes, at);
  if (node.kind == Node::Kind::leaf) {
    if (node.path.view() != path) return false;
    at = Child();
    return true;
  }
  if (node.kind == Node::Kind::extension) {
    const Digits own = node.path;
    if (!path.starts_with(own.view()) || !erase(nodes, node.child(0), path.substr(own.size()))) return false;
    // Below an extension is a branch, which never becomes empty; it may have become a path of its own.
    node.changed = true;
    Node& below = loaded(nodes, node.child(0));
    if (below.kind != Node::Kind::branch) {
      std::unique_ptr<Node> rest = std::move(node.child(0).node);
      at.node = with_prefix(own.view(), std::move(rest));
    }
    return true;
  }
  if (path.empty() || !erase(nodes, node.child(static_cast<std::size_t>(path[0])), path.substr(1))) return false;
  node.changed = true;
  const auto is_there = [](const Child& child) { return !child.empty(); };
  const std::span<Child> children = node.children();
  const auto only = std::find_if(children.begin(), children.end(), is_there);
  if (std::find_if(std::next(only), children.end(), is_there) != children.end()) return true;
  const char digit = static_cast<char>(only - children.begin());
  loaded(nodes, *only);
  std::unique_ptr<Node> last = std::move(only->node);
  at.node = with_prefix({&digit, 1}, std::move(last));
  return true;
}

/// The node as it is kept; all its children are written.
std::string bytes_of_node(const Node& node) {
  std::string bytes;
  const auto begin = [&](std::size_t size) {
    bytes.reserve(size + 9);
    rlp_append_list_head(bytes, size);
  };
  if (node.kind == Node::Kind::branch) {
    std::size_t size = 1; // the value, which no branch has
    for (std::size_t digit = 0; digit < digits_count; ++digit)
      size += std::max<std::size_t>(1, node.child(digit).written().size());
    begin(size);
    for (std::size_t digit = 0; digit < digits_count; ++digit) {
      const std::string_view child = node.child(digit).written();
      if (child.empty()) rlp_append_bytes(bytes, {});
      else bytes += child;
    }
    rlp_append_bytes(bytes, {});
    return bytes;
  }
  const bool leaf = node.kind == Node::Kind::leaf;
  const PackedPath path(node.path.view(), leaf);
  const std::size_t behind = leaf ? rlp_bytes_size(node.value) : node.child(0).written().size();
  begin(rlp_bytes_size(path.view()) + behind);
  rlp_append_bytes(bytes, path.view());
  if (leaf) rlp_append_bytes(bytes, node.value);
  else bytes += node.child(0).written();
  return bytes;
}

/// Children whose node changed, by how deep they are.
using Levels = std::vector<std::vector<Child*>>;

void collect(Child& child, std::size_t depth, Levels& levels) {
  if (!child.node || (!child.node->changed && !child.written().empty())) return;
  if (levels.size() == depth) levels.emplace_back();
  for (Child& below : child.node->children()) collect(below, depth + 1, levels);
  levels[depth].push_back(&child);
}

/// Writes the children of one level, those below them being written; new nodes are appended to `fresh`. `named`: by its
/// hash however short it is.
void write(std::span<Child* const> level, FreshNodes& fresh, bool named) {
  std::vector<Child*> hashed;
  const std::size_t first = fresh.nodes.size();
  if (const std::size_t wanted = first + level.size(); wanted > fresh.nodes.capacity())
    fresh.nodes.reserve(std::max(wanted, 2 * fresh.nodes.capacity())); // there may be many small tries
  hashed.reserve(level.size());
  for (Child* const child : level) {
    std::string bytes = bytes_of_node(*child->node);
    child->node->changed = false;
    if (child->is_hash()) fresh.replaced.push_back(child->hash());
    if (bytes.size() < Hash256::size && !named) {
      child->write(bytes);
      continue;
    }
    hashed.push_back(child);
    fresh.nodes.emplace_back(Hash256(), std::move(bytes));
  }
  std::vector<std::string_view> texts;
  texts.reserve(hashed.size());
  for (std::size_t i = 0; i < hashed.size(); ++i) texts.emplace_back(fresh.nodes[first + i].second);
  const std::vector<Hash256> hashes = keccak256_of_each(texts);
  for (std::size_t i = 0; i < hashed.size(); ++i) {
    hashed[i]->write(hashes[i]);
    fresh.nodes[first + i].first = hashes[i];
  }
}

void forget_below(Child& child, std::size_t levels) {
  if (!child.node) return;
  assert(!child.node->changed && !child.written().empty());
  if (levels == 0) {
    child.node.reset();
    return;
  }
  for (Child& below : child.node->children()) forget_below(below, levels - 1);
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
      on = walk_from(nodes, node.child(digit), way, edge ? std::optional(bound->substr(1)) : std::nullopt, visit);
      way.resize(before);
    }
    return on;
  }
  const std::string_view own = node.path.view();
  if (bound && !bound->starts_with(own)) {
    if (own < *bound) return true; // all of it is before
    bound.reset();
  } else if (bound) {
    bound = bound->substr(own.size());
  }
  way += own;
  if (node.kind == Node::Kind::extension) on = walk_from(nodes, node.child(0), way, bound, visit);
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
  if (root != blank_root()) root_->child(0).write(root);
}
StateTrie::~StateTrie() = default;
StateTrie::StateTrie(StateTrie&&) noexcept = default;
StateTrie& StateTrie::operator=(StateTrie&&) noexcept = default;

const std::string* StateTrie::get(std::string_view key) {
  return found(*nodes_, root_->child(0), Digits::of_key(key).view());
}

void StateTrie::set(std::string_view key, std::string value) {
  const Digits path = Digits::of_key(key);
  if (value.empty()) erase(*nodes_, root_->child(0), path.view());
  else insert(*nodes_, root_->child(0), path.view(), std::move(value));
}

/// Level by level, the deepest first: the nodes of one level are hashed together.
Hash256 StateTrie::commit(FreshNodes& fresh) {
  Child& first = root_->child(0);
  fresh.upper_count = 0;
  if (first.empty()) return blank_root();
  Levels levels;
  collect(first, 0, levels);
  for (std::size_t depth = levels.size(); depth-- > 0;) {
    const std::size_t before = fresh.nodes.size();
    write(levels[depth], fresh, depth == 0);
    if (depth < upper_levels) fresh.upper_count += fresh.nodes.size() - before;
  }
  return first.hash();
}

void StateTrie::forget_lower() { forget_below(root_->child(0), upper_levels); }

void StateTrie::walk(const std::optional<std::string>& after,
                     const std::function<bool(const std::string&, const std::string&)>& visit) {
  std::string way;
  const Digits bound = after ? Digits::of_key(*after) : Digits();
  walk_from(*nodes_, root_->child(0), way, after ? std::optional(bound.view()) : std::nullopt, visit);
}

} // namespace trunkline::quarkchain
