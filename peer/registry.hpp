// The services of a node by name, and the instances that run, by id.
#pragma once

#include "fragment/ids.hpp"
#include "peer/local_peer.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

/// Services and running peers. Peers that are ending are not in it.
class Registry {
 public:
  struct Service {
    PeerServiceFunc function;
    ServiceOptions options;
    std::map<std::uint64_t, std::shared_ptr<LocalPeer>> running; // in the order in which they started
  };

  /// Errors: error::already_registered; std::invalid_argument for a name or function that is empty, or options that
  /// cannot be.
  void add_service(std::string name, PeerServiceFunc function, ServiceOptions options);
  /// Whether any service was registered with a rule of its own.
  bool has_rules() const noexcept { return has_rules_; }
  /// Gives the functions of all services away; their names stay, and no instance may be started any more. What the
  /// functions own may call back when it goes.
  std::vector<PeerServiceFunc> release_functions();
  Service* find_service(std::string_view name);
  const Service* find_service(std::string_view name) const;
  /// The names for error texts: "store, status", cut after a few; "nothing" when there is none. Only those that may be
  /// `shown`.
  std::string served(const std::function<bool(std::string_view name)>& shown = {}) const;

  /// Adds an instance of `service`, or of none when that is null: such a peer cannot be joined.
  void add_peer(std::shared_ptr<LocalPeer> peer, Service* service);
  void erase_peer(const LocalPeer& peer);
  std::shared_ptr<LocalPeer> find_peer(const PeerId& id) const;
  /// The instances of one service, or of all when the name is empty; in the order in which they started.
  std::vector<std::shared_ptr<LocalPeer>> peers(std::string_view service = {}) const;

 private:
  struct Running {
    std::uint64_t number; // in the order of the starts
    std::shared_ptr<LocalPeer> peer;
  };

  std::map<std::string, Service, std::less<>> services_;
  bool has_rules_ = false;
  std::map<PeerId, Running> peers_;
  std::uint64_t started_count_ = 0;
};

} // namespace trunkline
