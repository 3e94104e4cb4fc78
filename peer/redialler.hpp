// Brings connections back: leaves an address alone for a while after an attempt that failed, waits for a connection,
// and keeps addresses connected.
#pragma once

#include "async/signal.hpp"
#include "async/types.hpp"
#include "fragment/ids.hpp"
#include "peer/backoff.hpp"
#include "peer/node.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

class NodeCore;
class NodeLink;

/// What a node remembers about addresses; a part of it. Invariant: while an address is left alone, nothing dials it.
class Redialler {
 public:
  explicit Redialler(NodeCore& core) : core_(core) {}
  Redialler(const Redialler&) = delete;
  Redialler& operator=(const Redialler&) = delete;

  /// When an address may be dialled next: in the past unless an attempt has failed a moment ago.
  TimePoint next_attempt(const std::string& address) const;
  /// A dial waits for that.
  void note_held_back() noexcept { ++dials_held_back_; }
  /// The far side of a link has said Hello.
  void note_open(NodeLink& link);
  /// A link is over, and the tables do not know it any more.
  void note_over(const NodeLink& link);

  // What a Node offers.
  static awaitable<LinkInfo> wait_for(std::shared_ptr<NodeCore> core, std::string address, Duration deadline);
  void keep(std::string address);
  void stop_keeping(std::string_view address);
  std::vector<std::string> kept() const;
  /// The node takes no new circuits any more: nothing is dialled from here on, and every wait ends.
  void stop();

  std::uint64_t dials_held_back() const noexcept { return dials_held_back_; }
  std::uint64_t reconnects() const noexcept { return reconnects_; }

 private:
  struct Address {
    std::uint32_t failures = 0; // in a row
    TimePoint next_attempt;     // it is left alone until then
    TimePoint next_own_attempt; // nor do `keep` and `wait_for` dial it before
    std::string failure;        // the last one
    std::size_t waiting = 0;    // coroutines that refer to this
    bool is_kept = false;
    bool has_keeper = false; // a task that keeps it
    Signal changed;          // a link of this name came or went, it is not kept any more, or all is to stop
  };
  using Addresses = std::map<std::string, std::shared_ptr<Address>, std::less<>>;

  static awaitable<void> run_keeper(std::shared_ptr<NodeCore> core, std::string address,
                                    std::shared_ptr<Address> entry);
  awaitable<void> changed(std::shared_ptr<Address> entry, TimePoint until);
  std::shared_ptr<Address> entry_of(const std::string& address);
  void forget_old();
  void note_attempt(const NodeLink& link, bool was_open);
  void rest(const std::string& address);
  void notify(const NodeLink& link);
  void notify(std::string_view name);
  bool dial_if_due(const std::string& address, const Address& entry);
  Backoff backoff() const;
  void add_failure(Address& entry, std::string failure);
  TimePoint now() const;

  NodeCore& core_;
  Addresses addresses_;
  std::size_t forget_at_ = 64; // look for old ones when there are so many
  std::deque<NodeId> lost_;    // nodes whose last link is over, oldest first; trunks_max of them are remembered
  std::uint64_t dials_held_back_ = 0;
  std::uint64_t reconnects_ = 0;
};

} // namespace trunkline
