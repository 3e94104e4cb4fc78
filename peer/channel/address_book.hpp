// The addresses of nodes: from a file, added by the application, or learned from connected nodes.
#pragma once

#include "async/types.hpp"
#include "fragment/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

/// Finds nodes that are not in the address book: a registry, a name service.
class Resolver {
 public:
  virtual ~Resolver() = default;
  /// Returns the addresses of a node, best first; empty when there are none. After an error the node counts as unknown.
  virtual awaitable<std::vector<std::string>> resolve(NodeId node) = 0;
};

/// Maps node ids to addresses. Added addresses stay. Beyond learned_nodes_max the learned addresses of a node are
/// forgotten, those of the node that was learned least recently first.
class AddressBook {
 public:
  static constexpr std::size_t learned_nodes_max_default = 4096;
  static constexpr std::size_t addresses_per_node_max = 16;
  static constexpr std::size_t address_bytes_max = 512;

  explicit AddressBook(std::size_t learned_nodes_max = learned_nodes_max_default)
      : learned_nodes_max_(learned_nodes_max) {}

  /// Adds lines of a node id and its addresses, separated by spaces; '#' begins a comment.
  /// Errors: std::invalid_argument with the line's number; nothing was added then.
  void parse(std::string_view text);
  /// As `parse`, from a file. Errors also: boost::system::system_error that names the file.
  void load(const std::string& path);

  /// Errors: std::invalid_argument for an address that is empty, too long, or one too many, and for an empty id.
  void add(const NodeId& node, std::string address);
  /// The same for an address that was dialled: ignored where `add` would refuse it.
  void add_if_room(const NodeId& node, const std::string& address) noexcept;
  /// Learns the credible addresses that a connected node claims. Those beyond the limits are ignored.
  void learn(const NodeId& node, const std::vector<std::string>& addresses);
  /// Forgets the node, with added and learned addresses.
  void remove(const NodeId& node);

  /// Added ones first, in the order in which they were added, then learned ones.
  std::vector<std::string> find(const NodeId& node) const;
  /// In ascending order.
  std::vector<NodeId> nodes() const;
  std::size_t learned_nodes() const noexcept { return learned_nodes_; }

 private:
  struct Entry {
    std::vector<std::string> added;
    std::vector<std::string> learned;
    std::uint64_t heard = 0; // when it was learned last, on `clock_`
  };

  void forget_oldest();

  std::size_t learned_nodes_max_;
  std::map<NodeId, Entry> entries_;
  std::size_t learned_nodes_ = 0;
  std::uint64_t clock_ = 0;
};

} // namespace trunkline
