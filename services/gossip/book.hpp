// The members of a broadcast, as an immutable snapshot that messages refer to.
#pragma once

#include "fragment/ids.hpp"
#include "services/gossip/tree.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace trunkline::gossip {

/// Which book a message was sent by. The digest tells two books apart that were given the same number.
struct BookVersion {
  std::uint64_t number = 0;
  std::uint64_t digest = 0;
  friend bool operator==(const BookVersion&, const BookVersion&) = default;
};

/// Members in ascending order of their ids, each once. A member sees the list rotated so that it stands first itself.
class Book {
 public:
  /// Sorts, and leaves out repetitions. Errors: std::invalid_argument for more than book_members_max members, for an
  /// empty id.
  static std::shared_ptr<const Book> make(std::uint64_t number, std::vector<NodeId> members);

  const BookVersion& version() const noexcept { return version_; }
  const std::vector<NodeId>& members() const noexcept { return members_; }
  std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(members_.size()); }
  std::optional<Position> find(const NodeId& member) const noexcept;

 private:
  Book(std::uint64_t number, std::vector<NodeId> members);

  BookVersion version_;
  std::vector<NodeId> members_;
};

} // namespace trunkline::gossip
