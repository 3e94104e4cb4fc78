// One act of the honest program in progress, and the steps that many acts have: to open a circuit, to end it in one of
// the ways that there are, and to tell the ledger of each.
#pragma once

#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "peer/node.hpp"
#include "peer/url.hpp"
#include "tests/sim/honest_acts.hpp"
#include "tests/sim/honest_stage.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::sim {

/// One act in progress.
struct Act {
  Actor actor;
  HonestStage& stage;
  Random random;

  Act(Actor of, HonestStage& on, std::uint64_t seed) : actor(std::move(of)), stage(on), random(seed) {}

  /// Another host.
  std::string draw_host() {
    const auto own = std::ranges::find(stage.hosts, actor.host) - stage.hosts.begin();
    const std::size_t others = stage.hosts.size() - 1;
    const std::size_t index = (static_cast<std::size_t>(own) + 1 + random.below(others)) % stage.hosts.size();
    return stage.hosts[index];
  }
  /// How many to open in one go.
  std::uint64_t draw_count(std::uint64_t most) {
    const std::uint64_t count = std::min(random.magnitude(most), stage.opens_left);
    stage.opens_left -= count;
    return count;
  }
  Duration draw_time(std::uint64_t microseconds_max) {
    return std::chrono::microseconds(random.magnitude(microseconds_max));
  }
  /// Of one fragment of a stream to this host.
  std::size_t draw_bytes(const std::string& host) {
    return random.magnitude(std::min(stage.fragment_bytes_max, stage.fragment_bytes_between(actor.host, host)));
  }
};

/// One thing that a program does.
struct ActKind {
  const char* name;
  awaitable<void> (*run)(Act& act);
};

/// A circuit of an act, and what the ledger calls it. Its handle is empty when it could not be opened.
struct Opened {
  std::string name;
  std::shared_ptr<Circuit> circuit;

  Opened(std::string of, std::shared_ptr<Circuit> handle) : name(std::move(of)), circuit(std::move(handle)) {}
};

struct Opening {
  const char* kind;
  std::string service;
  std::string host;
  std::optional<std::size_t> first; // bytes of a fragment that comes with it
  bool wants_answer = false;
  bool starts = false;              // a new instance
  std::string refusal;              // what it runs into
  Duration deadline = Duration::max();
  std::optional<PeerUrl> url;       // of one instance; any otherwise
  std::optional<std::string> user_string; // drawn unless given

  Opening(const char* of_kind, std::string to_service, std::string on)
      : kind(of_kind), service(std::move(to_service)), host(std::move(on)) {}
};

/// Opens it as one of the act's own peer, or of another one on its host.
Opened open(Act& act, const Opening& opening);
Opened open(Act& act, LocalPeer& peer, const Opening& opening);

/// Null when the node is gone. An act that waits must not keep the node.
std::shared_ptr<LocalPeer> new_peer(Act& act);

/// Lets go of a circuit whose way forth is finished: what was sent arrives, what comes is not taken.
void leave_behind(Act& act, Opened& opened);
void abandon(Act& act, Opened& opened);

awaitable<void> hear_end(Act& act, Opened& opened);
awaitable<void> take_rest(Act& act, Opened& opened);
/// The usual end: finishes, and takes what comes until the far side has finished, too.
awaitable<void> end_well(Act& act, Opened& opened, bool wait);
/// An answer to the first fragment, and one of the ways to end.
awaitable<void> take_answer(Act& act, Opened& opened);
/// The program has not read it since it was opened, for as long as that may be.
void note_unread(Act& act, const Opened& opened);

/// What one circuit of an act comes to. An end that the ledger knows a reason for is none of the act.
awaitable<void> told(Act& act, std::string name, awaitable<void> body);

bool is_timed_out(const std::exception_ptr& failure);
void complain(Act& act, const std::string& what);

} // namespace trunkline::sim
