// How one proves to an execution layer that one is its consensus layer: a JSON web token of the secret that both have.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline::quarkchain {

/// HS256 over {"iat": now}. It is good for 60 seconds, so each call has one of its own. `now`: seconds of the clock.
std::string engine_token(std::string_view secret, std::uint64_t now);

} // namespace trunkline::quarkchain
