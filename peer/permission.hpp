// Who may open circuits to a service.
#pragma once

#include "fragment/identity.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace trunkline {

/// An answer, with the rule that gave it: the far side and one log line hear it where the answer is no.
struct Permission {
  bool allowed = false;
  std::string rule; // "line 7 of /etc/trunkline/policy", "not before nine"

  static Permission yes() { return {true, {}}; }
  static Permission no(std::string rule) { return {false, std::move(rule)}; }
};

/// Asked before a circuit of a far side reaches a service, or starts one. `who` is null for a far side whose connection
/// proves nothing. Called while the node is dispatching events: it must not call back into the node, nor wait. What it
/// throws is a no.
using Allow = std::function<Permission(const RemoteIdentity* who, std::string_view service)>;

} // namespace trunkline
