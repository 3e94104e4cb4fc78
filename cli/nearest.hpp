// What somebody may have meant who wrote a name that does not exist.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace trunkline::cli {

/// "; did you mean A, B or C?" with at most three of `names`, the nearest first, or nothing when none is near. Letters
/// count the same in either case.
std::string did_you_mean(std::string_view wanted, std::span<const std::string_view> names);

} // namespace trunkline::cli
