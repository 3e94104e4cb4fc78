// Percent-encodes text for a URL.
#pragma once

#include <string>
#include <string_view>

namespace trunkline {

/// Writes every byte that is not printable ASCII, or is one of `special`, as %NN. '%' is encoded only when it is one of
/// `special`.
std::string percent_encode(std::string_view text, std::string_view special);

} // namespace trunkline
