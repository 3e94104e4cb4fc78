// What runs that died have got of files: large temporary files, kept for the files that they are the beginning of.
#pragma once

#include "services/sync/disk.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace trunkline::sync {

/// Each is locked as long as it is here, so that no other sync takes or removes it. The voice must outlive it.
class Partials {
 public:
  Partials(std::uint64_t bytes_min, TakerVoice& voice) : bytes_min_(bytes_min), voice_(voice) {}
  Partials(const Partials&) = delete;
  Partials& operator=(const Partials&) = delete;

  /// Keeps a temporary file; of two for one file the larger, and the other one goes. False when it is none that is
  /// worth it, or there are too many.
  bool adopt(Tree& tree, const std::string& temporary_path);
  /// The path of the temporary file of a file; null: there is none.
  const std::string* find(const std::string& path) const;
  /// The file is there, and what it was made of goes.
  void drop(Tree& tree, const std::string& path);
  /// What nobody has asked for goes, and is noted.
  void drop_all(Tree& tree);

  static constexpr std::size_t count_max = 64;

 private:
  struct Partial {
    std::string path;
    std::uint64_t size = 0;
    Fd lock;
  };

  void remove(Tree& tree, const std::string& temporary_path);

  const std::uint64_t bytes_min_;
  TakerVoice& voice_;
  std::map<std::string, Partial> by_path_; // of the file, <= count_max
};

} // namespace trunkline::sync
