#include "transport/known_nodes.hpp"

#include "fragment/error.hpp"
#include "fragment/quote.hpp"
#include "transport/guarded_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <utility>

namespace trunkline {
namespace {

constexpr std::string_view file_kind = "known-nodes file";
constexpr std::string_view no_name = "-";
constexpr std::size_t name_size_max = 64;

std::string_view take_word(std::string_view& line) {
  const std::size_t begin = line.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return line = {};
  line.remove_prefix(begin);
  const std::string_view word = line.substr(0, line.find_first_of(" \t\r"));
  line.remove_prefix(word.size());
  return word;
}

std::string taken(const std::string& name, const NodeId& owner) {
  return "the name " + quote(name) + " is that of " + owner.to_string();
}

/// What is new of a node to one that is known.
void add_to(KnownNode& known, const KnownNode& node) {
  if (!node.name.empty()) known.name = node.name;
  for (const std::string& address : node.addresses)
    if (std::ranges::find(known.addresses, address) == known.addresses.end()) known.addresses.push_back(address);
}

} // namespace

bool KnownNodes::is_name(std::string_view text) noexcept {
  if (text.empty() || text.size() > name_size_max || text.front() == '-' || NodeId::parse(text)) return false;
  return std::ranges::all_of(text, [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
           letter == '.' || letter == '_' || letter == '-';
  });
}

KnownNodes KnownNodes::parse(std::string_view text, const std::string& path) {
  KnownNodes parsed;
  std::unordered_map<NodeId, std::size_t> places; // in the nodes: to look for each would take the square of their number
  std::unordered_map<std::string, NodeId> owners; // of names
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const auto fail = [&](const std::string& why) {
      throw_error(error::unusable_file, fmt::format("{} {} line {}: {}", file_kind, quote(path), number, why));
    };
    if (const std::size_t at = line.find_first_not_of(" \t\r"); at == std::string_view::npos || line[at] == '#') {
      parsed.comments_.emplace_back(line);
      continue;
    }
    KnownNode node;
    const std::string_view id = take_word(line);
    const std::optional<NodeId> read = NodeId::parse(id);
    if (!read || read->empty()) fail("expected the 22 characters of a node id first, saw " + quote(id));
    node.id = *read;
    if (const std::string_view name = take_word(line); !name.empty() && name != no_name) {
      if (!is_name(name)) fail("expected a name of letters, digits, '.', '_' and '-', or \"-\", saw " + quote(name));
      node.name = name;
    }
    for (std::string_view word = take_word(line); !word.empty() && word.front() != '#'; word = take_word(line))
      node.addresses.emplace_back(word);
    const auto [place, is_new] = places.try_emplace(node.id, parsed.nodes_.size());
    if (!node.name.empty()) {
      if (!is_new) owners.erase(parsed.nodes_[place->second].name);
      const auto [owner, is_free] = owners.try_emplace(node.name, node.id);
      if (!is_free) fail(taken(node.name, owner->second));
    }
    if (is_new) parsed.nodes_.push_back(std::move(node));
    else add_to(parsed.nodes_[place->second], node);
  }
  return parsed;
}

KnownNodes KnownNodes::load(const std::string& path) {
  const std::optional<std::string> text = read_guarded(path, file_kind, Guard::unchanged);
  return text ? parse(*text, path) : KnownNodes();
}

const KnownNode* KnownNodes::find(const NodeId& id) const noexcept {
  const auto found = std::ranges::find(nodes_, id, &KnownNode::id);
  return found == nodes_.end() ? nullptr : &*found;
}

const KnownNode* KnownNodes::find(std::string_view name) const noexcept {
  const auto found = std::ranges::find(nodes_, name, &KnownNode::name);
  return name.empty() || found == nodes_.end() ? nullptr : &*found;
}

std::vector<const KnownNode*> KnownNodes::at(std::string_view address) const {
  std::vector<const KnownNode*> there;
  for (const KnownNode& node : nodes_)
    if (std::ranges::find(node.addresses, address) != node.addresses.end()) there.push_back(&node);
  return there;
}

void KnownNodes::trust(const KnownNode& node) {
  if (!node.name.empty()) {
    if (!is_name(node.name))
      throw std::invalid_argument("the name " + quote(node.name) + " is not of letters, digits, '.', '_' and '-' alone");
    const KnownNode* const other = find(node.name);
    if (other && other->id != node.id)
      throw std::invalid_argument(taken(node.name, other->id));
  }
  const auto found = std::ranges::find(nodes_, node.id, &KnownNode::id);
  if (found == nodes_.end()) {
    nodes_.push_back(node);
    return;
  }
  add_to(*found, node);
}

bool KnownNodes::forget(const NodeId& id) {
  return std::erase_if(nodes_, [&id](const KnownNode& node) { return node.id == id; }) > 0;
}

std::string KnownNodes::to_text() const {
  std::string text;
  for (const std::string& comment : comments_) text += comment + "\n";
  for (const KnownNode& node : nodes_) {
    text += node.id.to_string();
    if (!node.name.empty() || !node.addresses.empty())
      text += " " + (node.name.empty() ? std::string(no_name) : node.name);
    for (const std::string& address : node.addresses) text += " " + address;
    text += "\n";
  }
  return text;
}

KnownNodes KnownNodes::change(const std::string& path, const std::function<void(KnownNodes&)>& change) {
  const FileLock lock(path);
  KnownNodes nodes = load(path);
  change(nodes);
  replace_file(path, file_kind, nodes.to_text());
  return nodes;
}

} // namespace trunkline
