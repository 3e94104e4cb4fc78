// What a Taker does when a file system says no.
#pragma once

#include "services/sync/disk.hpp"
#include "services/sync/report.hpp"
#include "services/sync/taker_voice.hpp"

#include <string>

namespace trunkline::sync {

/// A disk that is full, or that nothing may be written to, ends a sync: every other file would say the same.
/// Errors: Failure::Kind::file then.
void throw_if_hopeless(const FileError& failure);

/// Runs what may meet a file system that says no. False when it did: that was noted, and the sync goes on.
/// Errors: those of throw_if_hopeless.
template <class Action> bool attempt(TakerVoice& voice, const std::string& path, Action&& action) {
  try {
    action();
    return true;
  } catch (const FileError& failure) {
    throw_if_hopeless(failure);
    voice.note(Note::Kind::error, path, failure.what());
    return false;
  }
}

} // namespace trunkline::sync
