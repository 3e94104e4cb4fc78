// What whoever asks for a sync wants of it.
#pragma once

#include "services/sync/rule.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::sync {

class Root;

struct Options {
  bool checksum = false;     // content decides, not size and mtime
  bool delete_extra = false; // what the source does not have
  bool dry_run = false;

  std::vector<Rule> rules;      // see Filter
  bool delete_excluded = false; // a rule that is for both sides protects nothing
  std::optional<std::vector<std::string>> only; // these paths and the directories that lead to them; see Selection

  bool one_file_system = false; // what is mounted in a tree is left alone
  std::optional<std::uint64_t> size_max; // of a file that comes
  std::optional<std::uint64_t> size_min;
  bool update = false;          // a file that is newer here stays
  bool existing = false;        // nothing new is made
  bool ignore_existing = false; // nothing that is here is changed
  std::optional<std::uint64_t> deletions_max;

  bool backup = false;       // what would be replaced or deleted is kept under another name
  std::string backup_suffix; // behind that name; not empty, unless there is a backup_dir
  std::string backup_dir;    // where it goes, under its own path; relative to the destination
  std::string link_dest;     // a file that is the same there is linked instead of sent; relative to the destination

  // Not on the wire: what the side that has the destination has opened of the two above.
  std::shared_ptr<Root> backup_root;
  std::shared_ptr<Root> link_root; // none: it is not there
};

} // namespace trunkline::sync
