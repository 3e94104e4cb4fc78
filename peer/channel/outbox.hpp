// The backlog of one node and channel: how many bytes wait for the connection, and which message is next. Messages
// leave in the order of the calls. A lost connection does not change that: a message that was waiting on it still goes
// before later ones.
#pragma once

#include "async/signal.hpp"

#include <cstddef>
#include <list>

namespace trunkline {

class Line;

class Outbox {
 public:
  /// A message in the queue, until it is handed over or its sender gives up.
  class Place {
   public:
    /// A message that is not `in_order` is counted, and no other one waits for it.
    Place(Outbox& outbox, std::size_t bytes, bool in_order);
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { leave(); }

    /// Whether everything before it has left, or waits on this line already. Without a line: whether it is the first.
    bool is_next(const Line* line) const noexcept;
    /// Returns when it may have become the next.
    awaitable<void> changed() { return changed_.wait(); }
    /// Notes that the message waits on this line now, which keeps the order from here on. Null: it waits on none any
    /// more.
    void enter(const Line* line) noexcept;
    void leave() noexcept;

   private:
    void wake_next() noexcept;

    Outbox* outbox_; // null once it has left
    std::size_t bytes_;
    bool in_order_;
    const Line* line_ = nullptr;
    std::list<Place*>::iterator here_; // valid when in order
    Signal changed_;
  };

  Outbox() = default;
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  std::size_t bytes() const noexcept { return bytes_; }
  std::size_t messages() const noexcept { return messages_; }

 private:
  std::list<Place*> places_; // messages in order, by their calls
  std::size_t bytes_ = 0;
  std::size_t messages_ = 0;
};

} // namespace trunkline
