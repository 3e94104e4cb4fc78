// Small files that decide who is trusted: read only when nobody else can have changed them, and replaced as a whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline {

/// What others may do with a file that is read.
enum class Guard : std::uint8_t {
  secret,    // nothing: mode 0600 or less
  unchanged, // read it, but not write it
};

/// The content; nullopt when there is no such file. `kind` names it in error texts: "key file". Errors:
/// error::unusable_file for one that is of another user, that others may read or write against the guard, that is no
/// regular file, is larger than a megabyte, or cannot be read.
std::optional<std::string> read_guarded(const std::string& path, std::string_view kind, Guard guard);

/// Makes a file of mode 0600 that appears whole or not at all, and the directory that it is in, of mode 0700. Never
/// overwrites: returns false when there is one of this name. Errors: error::unusable_file.
bool make_file(const std::string& path, std::string_view kind, std::string_view content);

/// The same, in the place of what is there. With `keep_as`, what was there stays under that name.
void replace_file(const std::string& path, std::string_view kind, std::string_view content,
                  const std::string& keep_as = {});

/// While it lives, no other process holds one for the same path. Blocks until then.
class FileLock {
 public:
  explicit FileLock(const std::string& path);
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  ~FileLock();

 private:
  int descriptor_;
};

} // namespace trunkline
