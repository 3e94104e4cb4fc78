// How slaves become a cluster: the steps, and their order, are those of pyquarkchain's master. Internal to MasterNode.
#pragma once

#include "services/quarkchain/backend/root_backend.hpp"
#include "services/quarkchain/cluster/cluster_master.hpp"
#include "services/quarkchain/master/slave_list.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

struct BootOptions {
  std::vector<std::uint32_t> all_shards; // every one must be run by some slave
  Duration deadline = Duration::zero();  // of each request; zero: none
  std::function<std::string(const SlaveConfig&)> address_of; // default: as cluster_address says

  BootOptions() = default;
};

/// Coroutines keep it and what it is made with alive. Errors of each: BootFailure; what a connection ended with.
class Boot : public std::enable_shared_from_this<Boot> {
 public:
  Boot(BootOptions options, std::shared_ptr<RootBackend> backend, std::shared_ptr<SlaveList> slaves,
       std::shared_ptr<ClusterMaster> cluster);

  /// Dials all slaves, for as long as it takes; checks who they are; connects them with each other; gives them the tip.
  awaitable<void> all() { return all_of(shared_from_this()); }
  /// Takes one that was lost through the same steps, and gives it the root blocks that it has missed.
  awaitable<void> one(SlaveList::Slave& slave) { return one_of(shared_from_this(), slave); }

  /// Logs a step and remembers it.
  void enter(std::string step);
  const std::string& progress() const noexcept { return progress_; }

 private:
  using Pointer = std::shared_ptr<Boot>;
  static awaitable<void> all_of(Pointer self);
  static awaitable<void> one_of(Pointer self, SlaveList::Slave& slave);
  static awaitable<void> dial(Pointer self, SlaveList::Slave& slave);
  static awaitable<void> identify(Pointer self, SlaveConfig slave, SlaveClient client);
  static awaitable<void> introduce(Pointer self, SlaveConfig slave, SlaveClient client);
  static awaitable<void> give_tip(SlaveClient client, std::shared_ptr<const RootBlock> tip);
  static awaitable<void> catch_up(Pointer self, std::string id, SlaveClient client,
                                  std::shared_ptr<const RootBlock> tip);

  BootOptions options_;
  std::shared_ptr<RootBackend> backend_;
  std::shared_ptr<SlaveList> slaves_;
  std::shared_ptr<ClusterMaster> cluster_;
  std::string progress_ = "not started";
};

} // namespace trunkline::quarkchain
