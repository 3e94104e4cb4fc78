// What --chmod makes of modes, in rsync's syntax, which is chmod's: "Dg+s,ug+w,Fo-w,+X", "D2775,F664".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::sync {

class ModeChanges {
 public:
  ModeChanges() = default;
  /// Adds what a text says; the mask takes bits from those that are meant for nobody in particular.
  /// Errors: std::invalid_argument that names the part that is not understood.
  void add(std::string_view text, std::uint32_t mask);

  std::uint32_t of(std::uint32_t mode, bool is_directory) const noexcept;
  bool empty() const noexcept { return changes_.empty(); }

 private:
  struct Change {
    bool for_directories = true;
    bool for_files = true;
    char sign = '='; // '+', '-', '=', or '0' for all bits as they are
    std::uint32_t who = 0;  // bits that may change
    std::uint32_t bits = 0;
    bool executes_some = false; // X: for directories, and for what somebody may execute
  };

  void add_one(std::string_view text, std::uint32_t mask);

  std::vector<Change> changes_;
};

} // namespace trunkline::sync
