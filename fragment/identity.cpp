#include "fragment/identity.hpp"

namespace trunkline {

std::string RemoteIdentity::to_string() const {
  std::string text = id.to_string();
  if (!name.empty()) text += " (" + name + ")";
  else if (!certified.empty()) text += " (" + certified + ")";
  return text;
}

} // namespace trunkline
