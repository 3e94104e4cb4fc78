// Events and ends as phrases, so that a test compares a dialogue as text.
#pragma once

#include <ostream>
#include <string>

#include "circuit/machine.hpp"

namespace trunkline::test {

/// The code in words, without the text for people: "clean", "circuit reset".
inline std::string phrase(const End& end) { return end.clean() ? "clean" : end.code.message(); }
inline std::string phrase(const End* end) { return end ? phrase(*end) : "clean"; }

inline const char* to_string(SendOutcome outcome) {
  switch (outcome) {
    case SendOutcome::queued: return "taken";
    case SendOutcome::no_credit: return "no_credit";
    case SendOutcome::closed: return "closed";
  }
  return "?";
}

inline const char* to_string(TrunkEvent::Kind kind) {
  using Kind = TrunkEvent::Kind;
  switch (kind) {
    case Kind::hello: return "hello";
    case Kind::opened: return "opened";
    case Kind::answered: return "answered";
    case Kind::readable: return "readable";
    case Kind::error_readable: return "error_readable";
    case Kind::writable: return "writable";
    case Kind::finished: return "finished";
    case Kind::ended: return "ended";
    case Kind::lost: return "lost";
    case Kind::metadata: return "metadata";
    case Kind::peer_ended: return "peer_ended";
    case Kind::draining: return "draining";
    case Kind::may_open: return "may_open";
    case Kind::closed: return "closed";
  }
  return "?";
}

/// "opened 1", "ended 3: circuit reset", "closed: protocol error".
inline std::string to_string(const TrunkEvent& event) {
  std::string text = to_string(event.kind);
  if (event.circuit) text += ' ' + std::to_string(event.circuit->id);
  switch (event.kind) {
    case TrunkEvent::Kind::ended: return text + ": " + phrase(event.end ? event.end.get() : event.circuit->end.get());
    case TrunkEvent::Kind::peer_ended:
    case TrunkEvent::Kind::closed: return text + ": " + phrase(event.end.get());
    default: return text;
  }
}

inline void join(std::string& phrases, const std::string& next) {
  if (!phrases.empty()) phrases += "; ";
  phrases += next;
}

} // namespace trunkline::test

namespace trunkline {
// doctest looks for these beside the types.
inline std::ostream& operator<<(std::ostream& out, SendOutcome outcome) { return out << test::to_string(outcome); }
inline std::ostream& operator<<(std::ostream& out, const TrunkEvent& event) { return out << test::to_string(event); }
} // namespace trunkline
