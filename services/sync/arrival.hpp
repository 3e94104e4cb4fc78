// One file that comes to a Taker, on a circuit of its own.
#pragma once

#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "proto/sync.pb.h"
#include "services/sync/budgets.hpp"
#include "services/sync/fetch.hpp"
#include "services/sync/incoming_listing.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"
#include "services/sync/want_list.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace trunkline::sync {

/// Brings a file from its circuit into the tree. What it is made with has to outlive it.
class Arrival {
 public:
  /// Errors: Failure::Kind::protocol when the far side has opened more circuits than files were wanted.
  Arrival(Tree* tree, const IncomingListing& listing, const Options& options, const Tuning& tuning, Fetch& fetch,
          WantList& wants, TakerVoice& voice, std::shared_ptr<Budgets> budgets)
      : tree_(tree), listing_(listing), options_(options), tuning_(tuning), fetch_(fetch), count_(wants), wants_(wants),
        voice_(voice), budgets_(std::move(budgets)) {
    wants_.add_circuit();
  }
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;

  /// Reads the circuit to its end and resolves the file, unless the Giver takes it back. A file that cannot be written
  /// here is noted, and ends the sync only when every other one would fare alike.
  /// Cancelled: no temporary file is left, but for a large one (Tuning::partial_bytes_min). Errors: Failure, what ended
  /// the circuit.
  awaitable<void> take(Circuit circuit);

 private:
  struct Count {
    explicit Count(WantList& of) : wants(of) {}
    Count(const Count&) = delete;
    ~Count() { wants.remove_circuit(); }
    WantList& wants;
  };

  /// What becomes of a file's circuit: `wrong` is a content that is not the Giver's, because of the basis.
  enum class Outcome : std::uint8_t { whole, taken_back, wrong };
  struct Content;

  awaitable<Outcome> take_content(Circuit& circuit, std::size_t index, wire::FileHeader header);
  awaitable<bool> take_pieces(Circuit& circuit, Content& content);
  void take_data(Content& content, std::uint64_t to, std::span<const std::byte> bytes);
  awaitable<bool> take_copies(Content& content, wire::Copies copies);

  Tree* const tree_; // null in a dry run into nothing, where no file is wanted
  const IncomingListing& listing_;
  const Options& options_;
  const Tuning& tuning_;
  Fetch& fetch_;
  const Count count_;
  WantList& wants_;
  TakerVoice& voice_;
  const std::shared_ptr<Budgets> budgets_;
  std::string left_; // where what has come of a file stays that the Giver has taken back
};

} // namespace trunkline::sync
