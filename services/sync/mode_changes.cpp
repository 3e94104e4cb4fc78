#include "services/sync/mode_changes.hpp"

#include "services/sync/path.hpp"

#include <stdexcept>

namespace trunkline::sync {

void ModeChanges::add(std::string_view text, std::uint32_t mask) {
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    add_one(text.substr(0, comma), mask);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
}

void ModeChanges::add_one(std::string_view text, std::uint32_t mask) {
  const auto refuse = [text] { throw std::invalid_argument("mode \"" + printable(text) + "\" is not understood"); };
  Change change;
  std::string_view rest = text;
  if (rest.starts_with('D')) change.for_files = false;
  if (rest.starts_with('F')) change.for_directories = false;
  if (!change.for_files || !change.for_directories) rest.remove_prefix(1);
  if (rest.empty()) refuse();
  if (rest.front() >= '0' && rest.front() <= '7') {
    change.sign = '0';
    for (const char digit : rest) {
      if (digit < '0' || digit > '7' || change.bits > 0777) refuse();
      change.bits = change.bits << 3 | static_cast<std::uint32_t>(digit - '0');
    }
    changes_.push_back(change);
    return;
  }
  for (; !rest.empty() && std::string_view("ugoa").find(rest.front()) != std::string_view::npos;
       rest.remove_prefix(1)) {
    switch (rest.front()) {
      case 'u': change.who |= 04700; break;
      case 'g': change.who |= 02070; break;
      case 'o': change.who |= 00007; break;
      default: change.who |= 07777;
    }
  }
  const bool for_all = change.who == 0;
  if (for_all) change.who = 07777 & ~(mask & 0777);
  if (rest.empty() || std::string_view("+-=").find(rest.front()) == std::string_view::npos) refuse();
  change.sign = rest.front();
  rest.remove_prefix(1);
  for (const char letter : rest) {
    switch (letter) {
      case 'r': change.bits |= 0444; break;
      case 'w': change.bits |= 0222; break;
      case 'x': change.bits |= 0111; break;
      case 'X': change.executes_some = true; break;
      case 's': change.bits |= 06000; break;
      case 't':
        change.bits |= 01000;
        change.who |= 01000;
        break;
      default: refuse();
    }
  }
  changes_.push_back(change);
}

std::uint32_t ModeChanges::of(std::uint32_t mode, bool is_directory) const noexcept {
  for (const Change& change : changes_) {
    if (is_directory ? !change.for_directories : !change.for_files) continue;
    std::uint32_t bits = change.bits;
    if (change.executes_some && (is_directory || (mode & 0111))) bits |= 0111;
    switch (change.sign) {
      case '0': mode = bits; break;
      case '+': mode |= bits & change.who; break;
      case '-': mode &= ~(bits & change.who); break;
      default: mode = (mode & ~change.who) | (bits & change.who);
    }
  }
  return mode & 07777;
}

} // namespace trunkline::sync
