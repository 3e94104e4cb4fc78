#include "services/gossip/outgoing.hpp"

namespace trunkline::gossip {

void Outgoing::send_rumor(const Rumor& rumor, const NodeId& to, const Hop& hop, std::uint64_t ticket) {
  Word word;
  word.kind = Word::Kind::rumor;
  word.yes = ticket != 0;
  word.level = static_cast<std::uint8_t>(hop.level);
  word.span = hop.span;
  word.book = rumor.book ? rumor.book->version() : books_.current()->version();
  word.origin = rumor.key.first;
  word.id = rumor.key.second;
  word.payload = rumor.payload.bytes();
  ++counters_.sends;
  sends_.push_back({to, word.encode(), ticket});
}

void Outgoing::say(const NodeId& to, Word::Kind kind, const Key& key, bool yes, std::uint64_t ticket) {
  Word word;
  word.kind = kind;
  word.yes = yes;
  word.book = books_.current()->version();
  word.origin = key.first;
  word.id = key.second;
  sends_.push_back({to, word.encode(), ticket});
}

} // namespace trunkline::gossip
