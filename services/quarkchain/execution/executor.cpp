#include "services/quarkchain/execution/executor.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {

std::string Capabilities::text() const {
  const auto yes = [](bool has) { return has ? "yes" : "no"; };
  return fmt::format("transactions: {}; contracts: {}; other tokens: {}; old states: {}; roots of pyquarkchain: {}",
                     transactions, yes(contracts), yes(other_tokens), yes(old_states), yes(python_roots));
}

} // namespace trunkline::quarkchain
