// The books that a member knows: the current one, and some of those before it, by which messages may still come.
#pragma once

#include "services/gossip/book.hpp"

#include <cstddef>
#include <deque>
#include <memory>

namespace trunkline::gossip {

class Books {
 public:
  explicit Books(std::size_t books_max);

  const std::shared_ptr<const Book>& current() const noexcept { return books_.front(); }
  /// Null when it is not known.
  std::shared_ptr<const Book> find(const BookVersion& version) const;
  /// Whether one of the books has this node.
  bool is_member(const NodeId& node) const;
  /// The size of the largest book, at least 1.
  std::size_t members_max() const;
  /// Makes a book the current one. The oldest is forgotten when there are too many.
  void add(std::shared_ptr<const Book> book);

 private:
  std::size_t books_max_;
  std::deque<std::shared_ptr<const Book>> books_; // the current one first
};

} // namespace trunkline::gossip
