#include "services/gossip/books.hpp"

#include <algorithm>
#include <utility>

namespace trunkline::gossip {

Books::Books(std::size_t books_max) : books_max_(books_max) { books_.push_front(Book::make(0, {})); }

std::shared_ptr<const Book> Books::find(const BookVersion& version) const {
  for (const auto& book : books_)
    if (book->version() == version) return book;
  return nullptr;
}

bool Books::is_member(const NodeId& node) const {
  return std::any_of(books_.begin(), books_.end(), [&](const auto& book) { return book->find(node).has_value(); });
}

std::size_t Books::members_max() const {
  std::size_t members = 1;
  for (const auto& book : books_) members = std::max<std::size_t>(members, book->size());
  return members;
}

void Books::add(std::shared_ptr<const Book> book) {
  if (current()->size() == 0) books_.pop_front(); // the one it began with; nothing comes by it
  books_.push_front(std::move(book));
  if (books_.size() > books_max_) books_.pop_back();
}

} // namespace trunkline::gossip
