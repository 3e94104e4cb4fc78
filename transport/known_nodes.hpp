// The nodes whose keys a user trusts, as a file: a line for each, its id, a name, and the addresses where it is met.
#pragma once

#include "fragment/ids.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

struct KnownNode {
  NodeId id;
  std::string name;                   // empty: none
  std::vector<std::string> addresses; // empty: wherever it is met
};

/// The content of a known-nodes file. Lines are "ID NAME ADDRESS...", NAME is "-" for none, '#' begins a comment; lines
/// of comments are kept. A value.
class KnownNodes {
 public:
  KnownNodes() = default;
  /// `path` is for error texts. Errors: error::unusable_file, with the number of the line.
  static KnownNodes parse(std::string_view text, const std::string& path);
  /// Empty when there is no such file. Errors: as `parse`; also for a file that others may write.
  static KnownNodes load(const std::string& path);

  const std::vector<KnownNode>& nodes() const noexcept { return nodes_; }
  /// Null when it is not known.
  const KnownNode* find(const NodeId& id) const noexcept;
  const KnownNode* find(std::string_view name) const noexcept;
  /// The nodes of which an address is noted.
  std::vector<const KnownNode*> at(std::string_view address) const;

  /// Adds a node, or adds what is new to one that is known: a name in the place of its own, an address to the others.
  /// Errors: std::invalid_argument for a name that is no name (see `is_name`) or is another node's.
  void trust(const KnownNode& node);
  /// Returns false when it is not known.
  bool forget(const NodeId& id);

  std::string to_text() const;
  /// Changes a file as a whole, in turn with other processes that do the same, and returns what is in it then.
  static KnownNodes change(const std::string& path, const std::function<void(KnownNodes&)>& change);

  /// Of letters, digits, '.', '_' and '-', not beginning with '-', at most 64, and no id.
  static bool is_name(std::string_view text) noexcept;

 private:
  std::vector<KnownNode> nodes_;
  std::vector<std::string> comments_; // lines, before all others
};

} // namespace trunkline
