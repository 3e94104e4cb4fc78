// One member's part in all broadcasts, as a machine without I/O: words and time points in, words and deliveries out. It
// reads no clock, throws on nothing that a member sent, and holds no more than its limits say.
#pragma once

#include "fragment/payload.hpp"
#include "services/gossip/book.hpp"
#include "services/gossip/strategy.hpp"
#include "services/gossip/word.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::gossip {

using Instant = std::chrono::steady_clock::time_point; // a value given from outside, never read here

struct MachineOptions {
  std::string strategy{Strategy::default_names};
  /// Whether a payload makes sense, and comes from whom it says, if it carries a proof: what is refused here is neither
  /// delivered nor passed on. Must not call the machine.
  std::function<bool(const NodeId& origin, std::span<const std::byte> payload)> validate;
  std::function<std::uint64_t()> random; // for ids; needed

  std::chrono::milliseconds ack_timeout{400};
  std::uint32_t ack_tries = 2; // sends to a target before its part is adopted
  std::uint32_t tries = 4; // questions to a neighbour, and sends to it, before the next one is asked
  std::chrono::milliseconds clean_after{1000}; // from the arrival through the tree to the first question
  std::uint32_t clean_reach = 1; // neighbours on each side who are to say that they have it
  std::uint32_t clean_again = 3; // times that those who did not answer are asked anew
  std::chrono::milliseconds clean_again_after{2500};

  std::size_t payload_bytes_max = 1 << 20;
  std::size_t held_bytes_max = 16 << 20; // payloads kept for those who may still want them
  std::size_t held_messages_max = 4096;
  std::chrono::milliseconds hold_for{20000};
  std::size_t remembered_messages_max = 100000; // ids, so that nothing is delivered twice
  std::chrono::milliseconds remember_for{300000};
  std::size_t promises_max = 1024; // messages that somebody said he would bring
  std::size_t books_max = 4; // the current one, and those before it

  MachineOptions() = default;
};

struct MachineCounters {
  std::uint64_t broadcasts = 0;
  std::uint64_t delivered = 0;
  std::uint64_t duplicates = 0; // arrived again
  std::uint64_t sends = 0; // of messages
  std::uint64_t resends = 0; // of those, repeated for want of an ack
  std::uint64_t adoptions = 0; // targets whose part was taken over
  std::uint64_t questions = 0;
  std::uint64_t given = 0; // of the sends, after a question
  std::uint64_t refused_malformed = 0; // no word, or validate said no
  std::uint64_t refused_level = 0; // above what the book allows
  std::uint64_t refused_stranger = 0; // sender or origin is no member
  std::uint64_t refused_share = 0; // its origin has used up what is due to one member
  std::uint64_t books_unknown = 0; // messages that came by a book that is not known here
};

/// One member. Inputs return at once; what they caused is in the outputs.
class Machine {
 public:
  struct Send {
    NodeId to;
    std::vector<std::byte> bytes;
    std::uint64_t ticket = 0; // for `failed`; 0: nobody wants to know
  };
  struct Delivery {
    NodeId origin;
    RandomId id;
    Payload payload;
  };

  /// Errors: std::invalid_argument for an unknown strategy, limits of zero, no source of random numbers.
  Machine(NodeId self, MachineOptions options);
  ~Machine();

  // What happened.
  void set_book(std::shared_ptr<const Book> book, Instant now);
  /// Spreads a message and returns its id. Errors: std::logic_error while this member is not in its own book;
  /// std::length_error beyond payload_bytes_max, and when this member has too many messages under way.
  RandomId broadcast(Payload payload, Instant now);
  void receive(const NodeId& from, std::span<const std::byte> bytes, Instant now);
  /// A send could not be handed over: its target cannot be reached.
  void failed(std::uint64_t ticket, Instant now);
  void tick(Instant now);

  // What it wants.
  std::vector<Send> take_sends() { return std::exchange(sends_, {}); }
  std::vector<Delivery> take_deliveries() { return std::exchange(deliveries_, {}); }
  /// When `tick` wants to be called at the latest; Instant::max() when never.
  Instant deadline() const noexcept;

  const MachineCounters& counters() const noexcept { return counters_; }
  const std::shared_ptr<const Book>& book() const noexcept { return books_.front(); }
  const Strategy& strategy() const noexcept { return *strategy_; }
  std::size_t held_bytes() const noexcept { return held_bytes_; }
  std::size_t held_messages() const noexcept { return rumors_.size(); }
  std::size_t remembered_messages() const noexcept { return remembered_.size(); }
  std::size_t promises() const noexcept { return promises_.size(); }

 private:
  using Key = std::pair<NodeId, RandomId>; // origin and id
  struct Rumor;
  struct Timer;
  struct Origin { // what is due to one member
    std::size_t held_messages = 0;
    std::size_t held_bytes = 0;
    std::size_t remembered = 0;
  };
  struct Promise {
    NodeId by;
    Instant until;
    std::set<NodeId> before; // who promised and did not bring it
  };

  // machine.cpp
  std::shared_ptr<const Book> find_book(const BookVersion& version) const;
  bool is_member(const NodeId& node) const;
  std::size_t share_of(std::size_t limit) const;
  bool has_room(std::size_t theirs, std::size_t all, std::size_t more, std::size_t limit) const;
  bool make_room(const NodeId& origin, std::size_t bytes);
  bool let_go_one_for(const NodeId& origin, std::size_t Origin::* figure, std::size_t would_have);
  std::shared_ptr<Rumor> keep(const Key& key, std::shared_ptr<const Book> book, Payload payload, Instant now);
  void let_go(const std::shared_ptr<Rumor>& rumor);
  void forget_old(Instant now);
  void on_rumor(const NodeId& from, const Word& word, Instant now);
  void say(const NodeId& to, Word::Kind kind, const Key& key, bool yes, std::uint64_t ticket = 0);
  std::uint64_t start_timer(Instant due, Timer timer);
  void stop_timer(std::uint64_t ticket);
  void on_timer(const Timer& timer, Instant now);

  // spreading.cpp: down the tree.
  /// False when it has been served too often.
  bool serve(Rumor& rumor, const Hop& hop, Instant now);
  void adopt(Rumor& rumor, const Hop& hop, Instant now);
  void post(Rumor& rumor, const Hop& hop, Instant now);
  void send_rumor(Rumor& rumor, const NodeId& to, const Hop& hop, std::uint64_t ticket);
  void on_ack(const NodeId& from, const Word& word, Instant now);
  void on_no_ack(Rumor& rumor, const Timer& timer, bool unreachable, Instant now);

  // cleaning.cpp: neighbour to neighbour.
  void start_cleaning(Rumor& rumor, Instant now);
  void ask_next(Rumor& rumor, std::size_t side, Instant now);
  void ask(Rumor& rumor, std::size_t side, std::uint32_t tries_done, Instant now);
  void neighbour_has_it(Rumor& rumor, const NodeId& neighbour, Instant now);
  bool has_room_for_promise(const NodeId& from, Instant now);
  void on_question(const NodeId& from, const Word& word, Instant now);
  void on_answer(const NodeId& from, const Word& word, Instant now);
  void on_later(const NodeId& from, const Word& word, Instant now);
  void give(Rumor& rumor, std::size_t side, std::uint32_t tries_done, Instant now);

  NodeId self_;
  MachineOptions options_;
  std::shared_ptr<const Strategy> strategy_;
  std::deque<std::shared_ptr<const Book>> books_; // the current one first
  std::map<Key, std::shared_ptr<Rumor>> rumors_; // held: with payload, still spreading or asked for
  std::set<Key> remembered_; // seen; those held included
  std::deque<std::pair<Instant, Key>> remembered_in_order_;
  std::map<NodeId, Origin> origins_;
  std::map<Key, Promise> promises_;
  std::map<std::uint64_t, Timer> timers_;
  std::set<std::pair<Instant, std::uint64_t>> due_;
  std::uint64_t ticket_last_ = 0;
  std::size_t held_bytes_ = 0;
  std::vector<Send> sends_;
  std::vector<Delivery> deliveries_;
  MachineCounters counters_;
};

} // namespace trunkline::gossip
