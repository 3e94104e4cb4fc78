// What whoever asks for a sync wants of it.
#pragma once

#include "services/sync/entry.hpp"
#include "services/sync/rule.hpp"
#include "services/sync/xattrs.hpp"

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

  bool whole_file = false; // no basis is looked for; known to the side that has the destination only
  bool in_place = false;   // what is here of a file is overwritten: it is torn until it is whole
  bool append = false;     // the same, and what is here is taken for the beginning of the new file
  bool compress = false;   // zstd, where it pays
  std::uint64_t rate_max = 0; // bytes of files a second; 0: no limit

  bool owner = false; // of each entry, by name
  bool group = false;
  bool numeric_ids = false; // by number
  bool all_mode_bits = false; // setuid, setgid and sticky, too
  bool hard_links = false;
  bool acls = false;
  bool xattrs = false;
  bool devices = false; // and fifos and sockets
  std::vector<std::string> chmod; // see ModeChanges
  std::string chown_user; // whom everything belongs to, by name or number
  std::string chown_group;

  XattrScope xattr_scope() const noexcept { return {acls, xattrs}; }
  std::uint32_t mode_mask() const noexcept { return all_mode_bits ? sync::all_mode_bits : mode_bits; }

  // Not on the wire: what the side that has the destination has opened of the two above.
  std::shared_ptr<Root> backup_root;
  std::shared_ptr<Root> link_root; // none: it is not there
};

} // namespace trunkline::sync
