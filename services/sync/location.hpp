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

/// The directory that a request names beside its destination: relative to that, and somewhere below the root all the
/// same; or from the root when it begins with '/'. Made like a destination if `make` says so; nothing when it is not
/// there. Errors: FileError; Failure::Kind::denied when it leads out of the root.
std::shared_ptr<Root> open_aside(const std::shared_ptr<Root>& root, std::string_view destination, std::string_view path,
                                 bool make);
/// The same for the user's own paths.
std::shared_ptr<Root> open_aside(const std::string& destination, const std::string& path, bool make);

} // namespace trunkline::sync
