#include "services/gossip/book.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace trunkline::gossip {

Book::Book(std::uint64_t number, std::vector<NodeId> members) : members_(std::move(members)) {
  std::uint64_t digest = 0xCBF29CE484222325u;
  for (const NodeId& member : members_)
    for (const char byte : member.bytes()) digest = (digest ^ static_cast<unsigned char>(byte)) * 0x100000001B3u;
  version_ = {number, digest};
}

std::shared_ptr<const Book> Book::make(std::uint64_t number, std::vector<NodeId> members) {
  std::sort(members.begin(), members.end());
  members.erase(std::unique(members.begin(), members.end()), members.end());
  if (members.size() > book_members_max)
    throw std::invalid_argument(
        fmt::format("book of {} members exceeds book_members_max {}", members.size(), book_members_max));
  if (!members.empty() && members.front().empty()) throw std::invalid_argument("a member of a book needs an id");
  return std::shared_ptr<const Book>(new Book(number, std::move(members)));
}

std::optional<Position> Book::find(const NodeId& member) const noexcept {
  const auto found = std::lower_bound(members_.begin(), members_.end(), member);
  if (found == members_.end() || *found != member) return std::nullopt;
  return static_cast<Position>(found - members_.begin());
}

} // namespace trunkline::gossip
