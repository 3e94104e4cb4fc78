// What a Taker has already of a file that is to come: an older version of it, what a run that died has got of it, or
// both, one behind the other.
#pragma once

#include "async/types.hpp"
#include "services/sync/block_sums.hpp"
#include "services/sync/outgoing_file.hpp"
#include "services/sync/root.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace trunkline::sync {

/// Files, as they were when somebody looked. Of each the whole blocks count; of a prefix all that was there.
class Basis {
 public:
  /// Of a new file of `file_bytes`. `prefix`: the first of the paths is taken for its beginning, and nothing is summed.
  /// Errors: FileError.
  Basis(Root& root, const std::vector<std::string>& paths, std::uint64_t file_bytes, std::uint64_t seed, bool prefix);

  const SumSizes& sizes() const noexcept { return sizes_; }
  std::uint64_t seed() const noexcept { return seed_; }
  std::uint64_t prefix_bytes() const noexcept { return prefix_ ? bytes_ : 0; }
  /// What copies may be made of.
  std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  friend class BasisReader;

  struct Part {
    std::string path;
    Status status; // as it was
    std::uint64_t begin = 0; // of its bytes among all
    std::uint64_t bytes = 0;
  };

  std::vector<Part> parts_;
  SumSizes sizes_;
  const std::uint64_t seed_;
  const bool prefix_;
  std::uint64_t bytes_ = 0;
};

/// The files of a basis, open. Errors: FileError.
class BasisReader {
 public:
  BasisReader(Root& root, const Basis& basis);

  /// All of them are what they were when the basis was made.
  bool unchanged() const;
  /// Reads [from, from + into.size()), which lies within Basis::bytes(); false when a file has become shorter.
  /// Several threads may read at a time.
  bool read(std::uint64_t from, std::span<std::byte> into) const;

 private:
  struct Open {
    std::shared_ptr<Directory> directory;
    Fd fd;
    Status status;
  };

  const Basis basis_;
  std::vector<Open> files_; // one for each part
};

} // namespace trunkline::sync
