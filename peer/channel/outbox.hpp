// The messages of one node and channel that are on their way to the connection: how much they are, and whose turn it
// is. They go in the order of the calls, also when the connection breaks under those that wait, and others come before
// these have noticed.
#pragma once

#include "async/signal.hpp"

#include <cstddef>
#include <list>

namespace trunkline {

struct Line;

class Outbox {
 public:
  /// A message in the queue, until it is handed over or given up.
  class Place {
   public:
    /// One that is not in order is counted and keeps nobody waiting.
    Place(Outbox& outbox, std::size_t bytes, bool in_order);
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { leave(); }

    /// Whether everything before it has gone, or waits on this line already. Without a line: whether it is the first.
    bool is_next(const Line* line) const noexcept;
    /// Waits for what may have made it the next.
    awaitable<void> changed() { return changed_.wait(); }
    /// It waits on a line now, which keeps the order from here; or with null no longer.
    void enter(const Line* line) noexcept;
    void leave() noexcept;

   private:
    void wake_next() noexcept;

    Outbox* outbox_; // null once it has left
    std::size_t bytes_;
    bool in_order_;
    const Line* line_ = nullptr;
    std::list<Place*>::iterator here_; // of one in order
    Signal changed_;
  };

  Outbox() = default;
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  std::size_t bytes() const noexcept { return bytes_; }
  std::size_t messages() const noexcept { return messages_; }

 private:
  std::list<Place*> places_; // of those in order, in the order of the calls
  std::size_t bytes_ = 0;
  std::size_t messages_ = 0;
};

} // namespace trunkline
