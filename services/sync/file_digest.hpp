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
  bool unchanged = false; // nobody wrote to it meanwhile; otherwise the digest is of nothing that ever was
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

/// The digest of a file as it is now: on the threads of the budgets, where there are some, or else here, where it waits
/// for its turn among all digests of the budgets, then pauses every 256 KiB. Errors: FileError.
awaitable<FileDigest> digest_file(std::shared_ptr<Budgets> budgets, std::shared_ptr<Directory> directory,
                                  std::string name, std::shared_ptr<Progress> progress, std::uint64_t seed,
                                  std::uint64_t bytes_max = std::numeric_limits<std::uint64_t>::max());

} // namespace trunkline::sync
