#include "peer/node_link.hpp"

#include "peer/node_core.hpp"

#include <utility>

namespace trunkline {

NodeLink::NodeLink(std::weak_ptr<NodeCore> core, std::string dialled_address)
    : Link(std::move(dialled_address)), core_(std::move(core)) {}

NodeLink::NodeLink(std::weak_ptr<NodeCore> core, std::string remote, std::string remote_host)
    : Link(std::move(remote), std::move(remote_host)), core_(std::move(core)) {}

void NodeLink::on_event(TrunkEvent& event) {
  if (const auto core = core_.lock()) core->on_event(shared(), event);
}

void NodeLink::on_opened_here(TrunkCircuit& circuit) {
  if (const auto core = core_.lock()) core->on_opened_here(*this, circuit);
}

} // namespace trunkline
