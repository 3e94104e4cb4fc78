// A file on its way from a Giver to the Taker that wants it: all of it, or what the Taker's basis lacks.
#pragma once

#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "services/sync/block_sums.hpp"
#include "services/sync/budgets.hpp"
#include "services/sync/digest.hpp"
#include "services/sync/location.hpp"
#include "services/sync/mode_changes.hpp"
#include "services/sync/options.hpp"
#include "services/sync/pace.hpp"
#include "services/sync/report.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace trunkline::sync {

/// What all files of one sync share. `control` outlives them.
struct Sending {
  /// Errors: std::invalid_argument for changes of modes that are not understood.
  Sending(Circuit& control_circuit, Source from, Options wishes, Watch watcher, Tuning limits,
          std::shared_ptr<Budgets> shared);

  Circuit& control;
  const Source source;
  const Options options;
  const Watch watch;
  const Tuning tuning;
  const std::shared_ptr<Budgets> budgets;
  Pace pace;
  ModeChanges chmod;
  std::uint64_t circuits = 1; // that were opened, with the control circuit
};

/// What the Taker has said of a file that it wants.
struct Wanted {
  std::size_t index = 0;
  bool has_digest = false;
  bool compare_only = false;
  Digest digest;
  std::uint64_t seed = 0; // of the digest
  std::shared_ptr<const BlockSums> sums; // of the basis; null: it has none
  std::uint64_t prefix_bytes = 0; // the basis is the beginning
  bool has_basis() const noexcept { return sums || prefix_bytes > 0; }
};

/// What has become of one reading of it. `unwanted`: the Taker has said why already, or will.
enum class Given : std::uint8_t { sent, as_it_was, unwanted, same, different, changed };

/// Reads the file once and sends it, on a circuit of its own, if it has to be sent. On the last attempt a file that is
/// written all the time may go as it was at one moment. Errors: FileError; what ended the circuit, where that ends all.
awaitable<Given> send_file(std::shared_ptr<Sending> sending, Wanted wanted, std::string path, bool last_attempt);

} // namespace trunkline::sync
