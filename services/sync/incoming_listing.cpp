#include "services/sync/incoming_listing.hpp"

#include "services/sync/messages.hpp"

namespace trunkline::sync {

void IncomingListing::forget(std::size_t index) {
  const auto found = entries_.find(index);
  if (found == entries_.end() || found->second.stays) return;
  share_.give_back(bytes_of(found->second.entry));
  entries_.erase(found);
}

std::string IncomingListing::take_target(std::size_t index) {
  std::string& target = entries_.at(index).entry.target;
  share_.give_back(target.size());
  return std::exchange(target, {});
}

void IncomingListing::say(TakerVoice& voice, Note::Kind kind, std::size_t index, std::uint8_t changed, std::string text,
                          std::uint64_t bytes) const {
  Note note;
  note.kind = kind;
  note.path = entry(index).path;
  note.type = entry(index).type;
  note.text = std::move(text);
  note.bytes = bytes;
  note.changes = changed;
  voice.note(std::move(note));
}

} // namespace trunkline::sync
