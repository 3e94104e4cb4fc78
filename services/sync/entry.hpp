// One thing in a tree, as it is listed and as it travels.
#pragma once

#include "services/sync/disk.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace trunkline::sync {

/// `other` is a device, a fifo or a socket: only in the way, and never on the wire.
enum class EntryType : std::uint8_t { file, directory, symlink, other };

/// What a mode may say by default: setuid, setgid and sticky stay at home.
inline constexpr std::uint32_t mode_bits = 0777;

struct Entry {
  std::string path; // empty only for the directory that is synced itself
  EntryType type = EntryType::file;
  std::uint64_t size = 0; // of a file
  FileTime mtime;
  std::uint32_t mode = 0; // permissions only; nothing for a symlink
  std::string target;     // of a symlink
  std::uint32_t owner = 0;
  std::uint32_t group = 0;

  friend bool operator==(const Entry&, const Entry&) = default;
};

} // namespace trunkline::sync
