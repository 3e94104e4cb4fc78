// The messages that a member holds, and the ids of those that it has seen, within limits that no member can use up for
// the others.
//
// Half of each limit is shared out equally between the members and is always there for its owner. The other half is for
// any member; when that is used up, the member that is furthest beyond its share gives way. So a flood costs its sender
// alone.
#pragma once

#include "services/gossip/books.hpp"
#include "services/gossip/rumor.hpp"
#include "services/gossip/timers.hpp"

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <utility>

namespace trunkline::gossip {

class Store {
 public:
  Store(const MachineOptions& options, const Books& books, Timers& timers)
      : options_(options), books_(books), timers_(timers) {}

  /// Makes room for one message of `origin`; false when it has used up what one member may have.
  bool make_room(const NodeId& origin, std::size_t bytes);
  /// Holds a message, and remembers it. `here` is our place in `book`; both may be missing.
  std::shared_ptr<Rumor> keep(const Key& key, std::shared_ptr<const Book> book, std::optional<Position> here,
                              Payload payload, Instant now);
  /// Releases a message. Its id is remembered.
  void let_go(const std::shared_ptr<Rumor>& rumor);
  void forget_old(Instant now);

  /// Null when it is not held.
  std::shared_ptr<Rumor> find(const Key& key) const;
  bool is_remembered(const Key& key) const { return remembered_.contains(key); }
  const std::map<Key, std::shared_ptr<Rumor>>& held() const noexcept { return rumors_; }
  std::size_t held_bytes() const noexcept { return held_bytes_; }
  std::size_t remembered_messages() const noexcept { return remembered_.size(); }

 private:
  struct Origin { // what one member has used
    std::size_t held_messages = 0;
    std::size_t held_bytes = 0;
    std::size_t remembered = 0;
  };

  bool has_room(std::size_t theirs, std::size_t all, std::size_t more, std::size_t limit) const;
  bool let_go_one_for(const NodeId& origin, std::size_t Origin::* figure, std::size_t would_have);

  const MachineOptions& options_;
  const Books& books_;
  Timers& timers_;
  std::map<Key, std::shared_ptr<Rumor>> rumors_; // held
  std::set<Key> remembered_; // seen; those held included
  std::deque<std::pair<Instant, Key>> remembered_in_order_;
  std::map<NodeId, Origin> origins_;
  std::size_t held_bytes_ = 0;
};

} // namespace trunkline::gossip
