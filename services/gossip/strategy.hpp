// Which member sends to which: arithmetic over positions in a book, without members, time or I/O. The service, its
// rehearsal and `trunkline net tree` ask the same strategy.
#pragma once

#include "services/gossip/tree.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::gossip {

/// A message for one member, and how much of the spreading it hands over.
struct Hop {
  Position to = 0;
  std::uint32_t level = 0; // 0: for this member alone
  std::uint32_t span = 0; // exact: the members it answers for, itself first; 0 elsewhere

  friend bool operator==(const Hop&, const Hop&) = default;
};

/// What is done besides the tree, for members that do not answer and members that the tree does not reach.
struct Layers {
  bool repeats = false; // a message that is received again is passed on again, to the originator too: Pocket's tables
  bool adopts = false; // the sender to an unreachable member sends to that member's targets instead
  bool redundant = false; // the originator sends to every member once more, to be passed on by none
  bool cleans = false; // each member that has the message asks both neighbours in the book whether they have it
};

/// One way to spread a message. Immutable, and shared.
class Strategy {
 public:
  virtual ~Strategy() = default;

  /// The names joined by '+': plain, adopt, redundancy, cleanup, exact; "adopt+cleanup" is the default of
  /// services. Errors: std::invalid_argument that lists the names.
  static std::shared_ptr<const Strategy> parse(std::string_view names);
  static constexpr std::string_view default_names = "adopt+cleanup";

  const std::string& name() const noexcept { return name_; }
  const Layers& layers() const noexcept { return layers_; }

  /// The originator's own hop: the whole book.
  virtual Hop whole(std::uint32_t size, Position origin) const noexcept = 0;
  /// How much the receiver of this hop serves, as the highest level or the span; 0 when it passes nothing on. Of two
  /// hops for one member the one that reaches further covers the other.
  virtual std::uint32_t reach(const Hop& hop) const noexcept = 0;
  /// Whether a member of a book of this size can get such a hop: no level above the book's, no span beyond it.
  virtual bool is_possible(std::uint32_t size, const Hop& hop) const noexcept = 0;
  /// Appends what the member at `hop.to` sends on behalf of `hop`, highest level first, when it has served up to the
  /// reach `served` before. The hop must be possible.
  virtual void relay(std::uint32_t size, const Hop& hop, std::uint32_t served, std::vector<Hop>& into) const = 0;

 protected:
  Strategy(std::string name, Layers layers) : name_(std::move(name)), layers_(layers) {}

 private:
  std::string name_;
  Layers layers_;
};

} // namespace trunkline::gossip
