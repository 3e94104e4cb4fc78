#include "peer/channel/address_book.hpp"

#include "fragment/input_file.hpp"
#include "fragment/quote.hpp"
#include "peer/url.hpp"

#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace trunkline {
namespace {

std::string_view next_word(std::string_view& line) {
  const std::size_t begin = line.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return line = {};
  line.remove_prefix(begin);
  const std::string_view word = line.substr(0, line.find_first_of(" \t\r"));
  line.remove_prefix(word.size());
  return word;
}

/// What is wrong with an address, or nothing.
std::string wrong_with(std::string_view address) {
  if (address.empty()) return "an address is empty";
  if (address.size() > AddressBook::address_bytes_max)
    return fmt::format("address of {} bytes exceeds address_bytes_max {}", address.size(),
                       AddressBook::address_bytes_max);
  if (scheme_of(address).empty())
    return fmt::format("{} is no address: it has no scheme, as tcp://host:port has", quote(address));
  return {};
}

} // namespace

void AddressBook::parse(std::string_view text) {
  std::vector<std::pair<NodeId, std::vector<std::string>>> lines;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    line = line.substr(0, line.find('#'));
    const std::string_view id = next_word(line);
    if (id.empty()) continue;
    const std::optional<NodeId> node = NodeId::parse(id);
    if (!node || node->empty())
      throw std::invalid_argument(
          fmt::format("address book, line {}: {} is no node id of 22 characters", number, quote(id)));
    std::vector<std::string> addresses;
    for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
      if (const std::string wrong = wrong_with(word); !wrong.empty())
        throw std::invalid_argument(fmt::format("address book, line {}: {}", number, wrong));
      addresses.emplace_back(word);
    }
    if (addresses.empty() || addresses.size() > addresses_per_node_max)
      throw std::invalid_argument(fmt::format("address book, line {}: a node has 1 to {} addresses, this one {}",
                                              number, addresses_per_node_max, addresses.size()));
    lines.emplace_back(*node, std::move(addresses));
  }
  for (auto& [node, addresses] : lines)
    for (std::string& address : addresses) add(node, std::move(address));
}

void AddressBook::load(const std::string& path) {
  std::string text;
  try {
    text = content_of_file(path);
  } catch (const std::system_error& failure) {
    throw boost::system::system_error(failure.code().value(), boost::system::generic_category(),
                                      "cannot read address book " + quote(path));
  }
  parse(text);
}

void AddressBook::add(const NodeId& node, std::string address) {
  if (node.empty()) throw std::invalid_argument("an address book entry needs a node id");
  if (const std::string wrong = wrong_with(address); !wrong.empty()) throw std::invalid_argument(wrong);
  std::vector<std::string>& added = entries_[node].added;
  if (std::find(added.begin(), added.end(), address) != added.end()) return;
  if (added.size() >= addresses_per_node_max)
    throw std::invalid_argument(fmt::format("node {} has addresses_per_node_max {} addresses already", node.to_string(),
                                            addresses_per_node_max));
  added.push_back(std::move(address));
}

void AddressBook::add_if_room(const NodeId& node, const std::string& address) noexcept {
  try {
    add(node, address);
  } catch (const std::exception&) {
    // It is a convenience: the connection is there.
  }
}

void AddressBook::learn(const NodeId& node, const std::vector<std::string>& addresses) {
  std::vector<std::string> learned;
  for (const std::string& address : addresses)
    if (learned.size() < addresses_per_node_max && wrong_with(address).empty()) learned.push_back(address);
  if (node.empty() || learned.empty() || learned_nodes_max_ == 0) return;
  Entry& entry = entries_[node];
  entry.heard = ++clock_;
  learned_nodes_ += entry.learned.empty();
  entry.learned = std::move(learned);
  if (learned_nodes_ > learned_nodes_max_) forget_oldest();
}

void AddressBook::forget_oldest() {
  auto oldest = entries_.end();
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry)
    if (!entry->second.learned.empty() && (oldest == entries_.end() || entry->second.heard < oldest->second.heard))
      oldest = entry;
  oldest->second.learned.clear();
  --learned_nodes_;
  if (oldest->second.added.empty()) entries_.erase(oldest);
}

void AddressBook::remove(const NodeId& node) {
  const auto found = entries_.find(node);
  if (found == entries_.end()) return;
  learned_nodes_ -= !found->second.learned.empty();
  entries_.erase(found);
}

std::vector<std::string> AddressBook::find(const NodeId& node) const {
  const auto found = entries_.find(node);
  if (found == entries_.end()) return {};
  std::vector<std::string> addresses = found->second.added;
  for (const std::string& address : found->second.learned)
    if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) addresses.push_back(address);
  return addresses;
}

std::vector<NodeId> AddressBook::nodes() const {
  std::vector<NodeId> nodes;
  nodes.reserve(entries_.size());
  for (const auto& [node, entry] : entries_) nodes.push_back(node);
  return nodes;
}

} // namespace trunkline
