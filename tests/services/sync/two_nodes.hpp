// A whole sync between two nodes over memory, either way: the side that asks gives (push) or takes (pull), and the same
// registered service answers.
#pragma once

#include "services/sync/service.hpp"
#include "tests/services/sync/scratch.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::test {

enum class Way { push, pull };

struct Ended {
  sync::Report report;
  std::string failure; // empty: none
  std::vector<sync::Note> asker_notes;
  std::vector<sync::Note> answerer_notes;
  sync::Progress progress;
  std::uint64_t wire_bytes = 0; // both ways

  std::vector<std::string> notes(sync::Note::Kind kind) const;
};

struct Setting {
  sync::Options options;
  std::shared_ptr<sync::Disk> from_disk = std::make_shared<sync::Disk>();
  std::shared_ptr<sync::Disk> to_disk = std::make_shared<sync::Disk>();
  bool read_only = false;
  std::string path;
  sync::Tuning tuning;
  std::shared_ptr<sync::DigestThreads> digest_threads;
  std::uint64_t give_up_at_bytes = 0; // of files that have come; the side that asks is then cancelled
};

/// Brings the directory `from` to the directory `to`.
Ended sync_trees(Way way, const std::string& from, const std::string& to, const Setting& setting = {});

inline constexpr Way both_ways[] = {Way::push, Way::pull};
const char* name_of_way(Way way);
/// The same for the same seed and size.
std::string random_text(std::size_t size);

} // namespace trunkline::test
