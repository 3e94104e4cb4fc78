// Bugs on purpose, outside of the library: they show that the checkers would notice.
#pragma once

#include "transport/medium.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::sim {

enum class Bug : std::uint8_t {
  none,
  drop,      // some writes get lost, as if the trunk had forgotten a batch of frames
  duplicate, // some writes happen twice
  swap,      // some writes change places with the next one
  corrupt,   // some bytes in the middle of a large write change
  delay,     // some writes take seconds
  leak,      // some connections are never closed
  hoard,     // nodes may hold eight times what the checker believes
};

std::optional<Bug> parse_bug(std::string_view name);
std::vector<std::string> bug_names();

/// A medium whose connections have the bug now and then.
std::shared_ptr<Medium> plant(Bug bug, std::shared_ptr<Medium> medium, std::function<std::uint64_t()> random);

} // namespace trunkline::sim
