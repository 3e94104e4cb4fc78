// One file that comes to a Taker, on a circuit of its own.
#pragma once

#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "proto/sync.pb.h"
#include "services/sync/budgets.hpp"
#include "services/sync/incoming_listing.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"
#include "services/sync/want_list.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace trunkline::sync {

/// Brings a file from its circuit into the tree. What it is made with has to outlive it.
class Arrival {
 public:
  /// Errors: Failure::Kind::protocol when the far side has opened more circuits than files were wanted.
  Arrival(Tree* tree, const IncomingListing& listing, WantList& wants, TakerVoice& voice,
          std::shared_ptr<Budgets> budgets)
      : tree_(tree), listing_(listing), count_(wants), wants_(wants), voice_(voice), budgets_(std::move(budgets)) {
    wants_.add_circuit();
  }
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;

  /// Reads the circuit to its end and resolves the file, unless the Giver takes it back. A file that cannot be written
  /// here is noted, and ends the sync only when every other one would fare alike.
  /// Cancelled: no temporary file is left. Errors: Failure, what ended the circuit.
  awaitable<void> take(Circuit circuit);

 private:
  struct Count {
    explicit Count(WantList& of) : wants(of) {}
    Count(const Count&) = delete;
    ~Count() { wants.remove_circuit(); }
    WantList& wants;
  };

  awaitable<bool> take_content(Circuit& circuit, std::size_t index, wire::FileHeader header);

  Tree* const tree_; // null in a dry run into nothing, where no file is wanted
  const IncomingListing& listing_;
  const Count count_;
  WantList& wants_;
  TakerVoice& voice_;
  const std::shared_ptr<Budgets> budgets_;
};

} // namespace trunkline::sync
