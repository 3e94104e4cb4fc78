// The links of a node by number, what went over all that there ever were, and how the last ones were lost.
#pragma once

#include "peer/node.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::admin {

/// What went over links, those that are over included.
struct LinkTotals {
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t frames_received = 0;
  std::uint64_t circuits_opened = 0; // by this side
};

/// A link that has ended otherwise than in order.
struct LostLink {
  std::chrono::system_clock::time_point at;
  std::uint64_t number = 0;
  std::string remote;
  std::string node_name;
  std::string reason;
};

/// Give `note` to NodeOptions::on_link, and it misses nothing; without that `look`, called now and then, sees the links
/// that live long enough. One executor; not thread safe.
class LinkBook {
 public:
  static constexpr std::size_t lost_max = 32; // that are kept

  void note(LinkChange change, const LinkInfo& link);
  /// The links that there are now; those that it does not name are over.
  void look(const std::vector<LinkInfo>& links);

  /// Counts from 1, in the order in which they came; 0 for one that was never seen.
  std::uint64_t number_of(const std::shared_ptr<Trunk>& trunk) const;
  /// The link whose far end a line of the log names by its address, the newest of several; nothing where there is none.
  /// Those that ended lately are known as well.
  struct Named {
    std::uint64_t number = 0;
    std::string remote;
  };
  const Named* named_in(std::string_view line) const;
  LinkTotals totals() const;
  /// The latest last.
  const std::deque<LostLink>& lost() const noexcept { return lost_; }

 private:
  void add(const LinkInfo& link);
  void end(std::map<std::shared_ptr<Trunk>, Named>::iterator link);

  static constexpr std::size_t over_max = 64; // whose addresses are kept

  std::map<std::shared_ptr<Trunk>, Named> links_; // that are not over
  std::deque<Named> ended_;                       // the latest last
  std::uint64_t number_last_ = 0;
  LinkTotals over_; // of links that are
  std::deque<LostLink> lost_;
};

} // namespace trunkline::admin
