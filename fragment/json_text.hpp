// A text as JSON has it. The one place that writes one.
#pragma once

#include <string>
#include <string_view>

namespace trunkline {

/// Appends `text` as a JSON text, quotes included. A byte that is not UTF-8 becomes U+FFFD.
void append_json_text(std::string& out, std::string_view text);

} // namespace trunkline
