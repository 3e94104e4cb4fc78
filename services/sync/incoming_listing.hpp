// What a Taker has heard of the Giver's listing, and what it does about each entry beyond the plan.
#pragma once

#include "services/sync/entry.hpp"
#include "services/sync/report.hpp"
#include "services/sync/taker_voice.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace trunkline::sync {

/// An entry's index is its place in the Giver's listing. The parts of a Taker share one listing, which outlives them.
struct IncomingListing {
  std::deque<Entry> entries; // a refused one without its path, a symlink that is made without its target
  std::vector<std::uint8_t> changes; // of each entry
  std::unordered_set<std::size_t> replaces_directory; // entries whose name an empty directory has
  std::unordered_set<std::size_t> attributes_differ;  // beside the content, of files that are compared

  void add(Entry entry) {
    entries.push_back(std::move(entry));
    changes.push_back(0);
  }

  /// Notes what was done about an entry.
  void say(TakerVoice& voice, Note::Kind kind, std::size_t index, std::uint8_t changed, std::string text = {},
           std::uint64_t bytes = 0) const {
    Note note;
    note.kind = kind;
    note.path = entries[index].path;
    note.type = entries[index].type;
    note.text = std::move(text);
    note.bytes = bytes;
    note.changes = changed;
    voice.note(std::move(note));
  }
};

} // namespace trunkline::sync
