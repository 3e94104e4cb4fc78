// The Medium of one simulated host: scheme "sim", addresses "sim://alpha" and "sim://alpha:name".
#pragma once

#include "transport/sim/fabric.hpp"
#include "transport/medium.hpp"

#include <memory>
#include <string>

namespace trunkline::sim {

/// Makes the medium through which nodes of `host` listen and dial; it keeps the fabric alive.
std::shared_ptr<Medium> make_medium(std::shared_ptr<Fabric> fabric, const std::string& host);

} // namespace trunkline::sim
