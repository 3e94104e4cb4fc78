// What a file's content came to.
#pragma once

#include "async/types.hpp"
#include "services/sync/budgets.hpp"
#include "services/sync/digest.hpp"
#include "services/sync/report.hpp"
#include "services/sync/root.hpp"

#include <cstdint>
#include <limits>
#include <memory>
#include <string>

namespace trunkline::sync {

struct FileDigest {
  Digest digest;
  bool unchanged = false; // nobody wrote to it meanwhile; otherwise the digest is of nothing that ever was
};

/// The digest of a file as it is now; waits for its turn among all digests of the budgets, then pauses every 256 KiB.
/// Holes are not read, nor what lies behind bytes_max. Errors: FileError.
awaitable<FileDigest> digest_file(std::shared_ptr<Budgets> budgets, std::shared_ptr<Directory> directory,
                                  std::string name, std::shared_ptr<Progress> progress, std::uint64_t seed,
                                  std::uint64_t bytes_max = std::numeric_limits<std::uint64_t>::max());

} // namespace trunkline::sync
