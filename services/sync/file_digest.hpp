// What a file's content came to.
#pragma once

#include "async/types.hpp"
#include "services/sync/budgets.hpp"
#include "services/sync/digest.hpp"
#include "services/sync/digest_threads.hpp"
#include "services/sync/outgoing_file.hpp"
#include "services/sync/report.hpp"
#include "services/sync/root.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::sync {

struct FileDigest {
  Digest digest;
  bool unchanged = false; // otherwise there is no digest, or one of nothing that ever was
};

/// One of many files that are small, and what comes of it.
struct DigestedFile {
  std::shared_ptr<Directory> directory;
  std::string name;
  std::uint64_t size = 0; // that it had when it was seen, <= SmallFilesDigesting::file_bytes_max
  FileDigest made;
  std::optional<FileError> failure; // nothing was made
};

/// Digests of small files, one after another: what each of them takes beside being read and digested is most of what it
/// takes. Each is read at once, with a byte more than its size, and nobody asks for its status: a file that has another
/// size is not `unchanged`, and one that was rewritten has the digest of what is in it now.
class SmallFilesDigesting final : public DigestWork {
 public:
  static constexpr std::uint64_t file_bytes_max = 128 * 1024;
  static constexpr std::size_t files_max = 256;
  static constexpr std::uint64_t bytes_max = 4 << 20;
  static constexpr std::size_t directories_max = 8; // which stay open as long

  explicit SmallFilesDigesting(std::uint64_t seed) : seed_(seed) {}

  /// Whether one more fits.
  bool has_room_for(const Directory& directory, std::uint64_t size) const noexcept;
  void add(std::shared_ptr<Directory> directory, std::string name, std::uint64_t size);
  bool step(std::size_t bytes_max) override;
  /// In the order in which they were added; after the last step each has what came of it.
  const std::vector<DigestedFile>& files() const noexcept { return files_; }

 private:
  void digest(DigestedFile& file);

  const std::uint64_t seed_;
  std::vector<DigestedFile> files_;
  std::uint64_t bytes_ = 0;
  std::uint64_t size_max_ = 0; // of a file
  std::size_t directories_count_ = 0; // changes from one to the next
  std::size_t next_ = 0;              // <= files_.size()
  std::vector<std::byte> buffer_;
};

/// A digest while it is made. Holes are not read, nor what lies behind bytes_max.
class FileDigesting final : public DigestWork {
 public:
  FileDigesting(std::shared_ptr<Directory> directory, std::string name, std::uint64_t seed, std::uint64_t bytes_max);

  /// The file is open from the first step to the last.
  bool step(std::size_t bytes_max) override;
  /// After the last step.
  const FileDigest& result() const noexcept { return result_; }

 private:
  void open();

  std::shared_ptr<Directory> directory_;
  std::string name_;
  const std::uint64_t bytes_max_;
  Digester digester_;
  std::optional<OutgoingFile> file_; // none: not begun, or ended
  std::vector<std::byte> buffer_;
  std::vector<std::byte> zeros_;
  std::uint64_t end_ = 0;
  std::uint64_t hole_end_ = 0; // of a hole that is not digested
  std::uint64_t done_ = 0;     // <= end_
  FileDigest result_;
};

/// All steps of a work: on the threads of the budgets, where there are some, or else here, where it waits for its turn
/// among all digests of the budgets, then pauses every 256 KiB. Errors: FileError.
awaitable<void> make_digests(std::shared_ptr<Budgets> budgets, std::shared_ptr<DigestWork> work,
                             std::shared_ptr<Progress> progress);

/// The digest of a file as it is now. Errors: FileError.
awaitable<FileDigest> digest_file(std::shared_ptr<Budgets> budgets, std::shared_ptr<Directory> directory,
                                  std::string name, std::shared_ptr<Progress> progress, std::uint64_t seed,
                                  std::uint64_t bytes_max = std::numeric_limits<std::uint64_t>::max());

} // namespace trunkline::sync
