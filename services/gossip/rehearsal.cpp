#include "services/gossip/rehearsal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <stdexcept>
#include <utility>

namespace trunkline::gossip {
namespace {

/// All members of a rehearsal and the messages in flight between them, nearest to the originator first.
class Stage {
 public:
  Stage(const Strategy& strategy, std::uint32_t size, Position origin, const std::vector<bool>& dead)
      : strategy_(strategy), size_(size), origin_(origin), dead_(dead), members_(size) {
    outcome_.reads.resize(size);
  }

  Rehearsal play() {
    if (!is_dead(origin_)) {
      members_[origin_].has = true;
      holders_.push_back({origin_, 0});
      serve(origin_, strategy_.whole(size_, origin_), 0);
      if (strategy_.layers().redundant)
        for (std::uint32_t offset = 1; offset < size_; ++offset)
          post(origin_, {static_cast<Position>((origin_ + offset) % size_), 0, 0}, 1);
      deliver_all();
      if (strategy_.layers().cleans) clean();
    }
    for (Position member = 0; member < size_; ++member)
      if (!members_[member].has && !is_dead(member)) outcome_.missed.push_back(member);
    return std::move(outcome_);
  }

 private:
  struct Member {
    bool has = false;
    std::uint32_t served = 0;
    std::map<Position, std::uint32_t> sent; // by target: up to which reach
  };
  struct UnderWay {
    Position from;
    Hop hop;
    std::uint32_t depth;
  };
  struct Holder {
    Position member;
    std::uint32_t depth;
  };

  bool is_dead(Position member) const { return member < dead_.size() && dead_[member]; }

  /// `member` sends what belongs to this hop, which is its own or that of a dead member which it adopts.
  void serve(Position member, const Hop& hop, std::uint32_t depth) {
    const bool own = hop.to == member;
    const std::uint32_t served = own && !strategy_.layers().repeats ? members_[member].served : 0;
    std::vector<Hop> hops;
    strategy_.relay(size_, hop, served, hops);
    if (own) members_[member].served = std::max(members_[member].served, strategy_.reach(hop));
    for (const Hop& next : hops) {
      if (next.to == member) {
        serve(member, next, depth); // the dead member would have sent it to the member that adopts
      } else {
        post(member, next, depth + 1);
      }
    }
  }

  void post(Position from, const Hop& hop, std::uint32_t depth) {
    if (!strategy_.layers().repeats) {
      if (hop.to == origin_) return;
      const std::uint32_t reach = strategy_.reach(hop);
      const auto [entry, first] = members_[from].sent.emplace(hop.to, reach);
      if (!first && reach <= entry->second && hop.level > 0) return;
      entry->second = std::max(entry->second, reach);
    }
    outcome_.sends.push_back({from, hop.to, hop.level});
    outcome_.depth = std::max(outcome_.depth, depth);
    under_way_.push_back({from, hop, depth});
  }

  void deliver_all() {
    while (!under_way_.empty()) {
      const UnderWay message = under_way_.front();
      under_way_.pop_front();
      if (is_dead(message.hop.to)) {
        if (strategy_.layers().adopts) serve(message.from, message.hop, message.depth - 1);
        continue;
      }
      Member& member = members_[message.hop.to];
      ++outcome_.reads[message.hop.to];
      if (!std::exchange(member.has, true)) holders_.push_back({message.hop.to, message.depth});
      serve(message.hop.to, message.hop, message.depth);
    }
  }

  /// Every member that has it asks the nearest live neighbour on both sides, and so do members that get it that way.
  void clean() {
    while (!holders_.empty()) {
      const Holder holder = holders_.front();
      holders_.pop_front();
      for (const std::uint32_t step : {size_ - 1, 1u}) {
        for (Position neighbour = (holder.member + step) % size_; neighbour != holder.member;
             neighbour = (neighbour + step) % size_) {
          ++outcome_.questions;
          if (is_dead(neighbour)) continue; // no answer: the one behind it is asked
          if (!members_[neighbour].has) {
            post(holder.member, {neighbour, 0, 0}, holder.depth + 1);
            deliver_all();
          }
          break;
        }
      }
    }
  }

  const Strategy& strategy_;
  const std::uint32_t size_;
  const Position origin_;
  const std::vector<bool>& dead_;
  std::vector<Member> members_;
  std::deque<UnderWay> under_way_;
  std::deque<Holder> holders_; // in the order in which they got the message
  Rehearsal outcome_;
};

} // namespace

Rehearsal rehearse(const Strategy& strategy, std::uint32_t size, Position origin, const std::vector<bool>& dead) {
  if (size == 0 || size > book_members_max)
    throw std::invalid_argument(fmt::format("a book of {} members is not one of 1 to {}", size, book_members_max));
  if (origin >= size) throw std::invalid_argument(fmt::format("the origin {} is not one of 1 to {}", origin + 1, size));
  return Stage(strategy, size, origin, dead).play();
}

} // namespace trunkline::gossip
