#include "services/quarkchain/master/slave_list.hpp"

#include "fragment/quote.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace trunkline::quarkchain {

bool SlaveList::Slave::runs(std::uint32_t full_shard_id) const {
  return std::ranges::find(config.full_shard_id_list, full_shard_id) != config.full_shard_id_list.end();
}

SlaveList::SlaveList(const std::vector<SlaveConfig>& slaves, Duration request_deadline)
    : request_deadline_(request_deadline) {
  for (const SlaveConfig& slave : slaves) slaves_.push_back(Slave{slave, nullptr});
}

SlaveList::Slave& SlaveList::find(std::string_view id) {
  const auto found = std::ranges::find_if(slaves_, [&](const Slave& slave) { return slave.config.id == id; });
  if (found == slaves_.end()) throw std::out_of_range(fmt::format("no slave {} in the configuration", quote(id)));
  return *found;
}

SlaveList::Slave& SlaveList::running(std::uint32_t full_shard_id) {
  for (Slave& slave : slaves_)
    if (slave.runs(full_shard_id)) return slave;
  throw std::out_of_range(fmt::format("no slave runs {}", shard_text(full_shard_id)));
}

SlaveClient SlaveList::client(const Slave& slave) const {
  if (!slave.is_open()) throw std::out_of_range(fmt::format("slave {} is not connected", quote(slave.config.id)));
  return SlaveClient(slave.circuit, request_deadline_);
}

std::vector<SlaveClient> SlaveList::clients() const {
  std::vector<SlaveClient> all;
  for (const Slave& slave : slaves_) all.push_back(client(slave));
  return all;
}

std::string SlaveList::name_of(const RpcCircuit& circuit) const {
  for (const Slave& slave : slaves_)
    if (slave.circuit.get() == &circuit) return slave.config.id;
  return circuit.remote();
}

} // namespace trunkline::quarkchain
