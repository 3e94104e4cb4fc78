// Where a sync reads from and writes to, on either side of it.
#pragma once

#include "services/sync/root.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace trunkline::sync {

/// What a Giver lists: everything below a root, or one file in it.
struct Source {
  std::shared_ptr<Root> root;
  std::string only; // empty: everything
};

/// The directory or file at a path below a root. Errors: FileError.
Source open_source(const std::shared_ptr<Root>& root, std::string_view path);
/// The directory or file at the user's own path. Errors: FileError.
Source open_source(const std::string& path, std::shared_ptr<Disk> disk = std::make_shared<Disk>());

/// The directory at a path below a root; made when only its last component is missing, except in a dry run, which
/// returns nothing instead. Errors: FileError.
std::shared_ptr<Root> open_destination(const std::shared_ptr<Root>& root, std::string_view path, bool dry_run);
std::shared_ptr<Root> open_destination(const std::string& path, bool dry_run,
                                       std::shared_ptr<Disk> disk = std::make_shared<Disk>());

} // namespace trunkline::sync
