// One thing in a tree, as it is listed and as it travels.
#pragma once

#include "services/sync/disk.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace trunkline::sync {

/// `other` is a device, a fifo or a socket: only in the way, unless such things are synced, too.
enum class EntryType : std::uint8_t { file, directory, symlink, other };

/// What a mode may say by default: setuid, setgid and sticky stay at home.
inline constexpr std::uint32_t mode_bits = 0777;
inline constexpr std::uint32_t all_mode_bits = 07777;

struct Entry {
  std::string path; // empty only for the directory that is synced itself
  EntryType type = EntryType::file;
  std::uint64_t size = 0; // of a file
  FileTime mtime;
  std::uint32_t mode = 0; // permissions only; nothing for a symlink
  std::string target;     // of a symlink
  std::uint32_t owner = 0;
  std::uint32_t group = 0;
  bool keeps_owner = false; // of one that comes: it is to have this owner here
  bool keeps_group = false;
  std::uint32_t special_mode = 0; // of `other`: its type, as in a mode
  std::uint64_t same_as = 0; // of one that comes: 1 + the number of the first entry that is the same file; 0: none
  bool has_names = false;    // entries behind it may be the same file
  std::uint64_t device = 0;  // of a device
  std::string xattrs;        // see read_xattrs; only where they are synced

  friend bool operator==(const Entry&, const Entry&) = default;
};

} // namespace trunkline::sync
