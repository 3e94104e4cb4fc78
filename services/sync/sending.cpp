#include "services/sync/sending.hpp"

#include "async/task_group.hpp"
#include "async/within.hpp"
#include "services/sync/compression.hpp"
#include "services/sync/delta_finder.hpp"
#include "services/sync/file_digest.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/outgoing_file.hpp"
#include "services/sync/path.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace trunkline::sync {
namespace {

constexpr std::size_t bytes_between_yields = 1 << 20;

using SendingPointer = std::shared_ptr<Sending>;

std::uint32_t mask_of_process() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return mask;
}

/// What a send says about a circuit that is over, in the words of its end.
[[noreturn]] void throw_ended(const Circuit& circuit, const boost::system::error_code& code) {
  const std::optional<End> end = circuit.end();
  if (!end || end->text.empty()) throw boost::system::system_error(code);
  throw boost::system::system_error(code, end->text);
}

/// Why a circuit for a file is over before the file is: the Taker gave the file up, or everything, and says why on the
/// control circuit, which may not be read so far yet; or something that ends the whole sync.
bool taker_gave_up(const Circuit& circuit) {
  const std::optional<End> end = circuit.end();
  if (!end) return false;
  constexpr std::array said_elsewhere{error::circuit_closed, error::circuit_reset, error::circuit_abandoned,
                                      error::peer_ended, error::no_peer};
  return end->clean() || std::ranges::any_of(said_elsewhere, [&](error code) { return end->code == code; });
}

/// The digest of what was sent of a file, holes as the zeros that they are.
class SentDigest {
 public:
  explicit SentDigest(std::uint64_t seed) : digester_(seed) {}
  awaitable<void> add_hole(std::uint64_t until) {
    if (done_ < until && zeros_.empty()) zeros_.resize(256 * 1024);
    while (done_ < until) {
      const std::size_t count = std::min<std::uint64_t>(zeros_.size(), until - done_);
      add(std::span(zeros_).first(count));
      co_await let_others_run();
    }
  }
  void add(std::span<const std::byte> bytes) {
    digester_.add(bytes);
    done_ += bytes.size();
  }
  Digest take() { return digester_.take(); }

 private:
  Digester digester_;
  std::vector<std::byte> zeros_;
  std::uint64_t done_ = 0;
};

/// One file on its way.
struct OneFile {
  OneFile(SendingPointer of, const Wanted& file_wanted, const std::string& its_path, OutgoingFile& opened, Circuit& to)
      : sending(std::move(of)), wanted(file_wanted), path(its_path), file(opened), circuit(to) {}

  SendingPointer sending;
  const Wanted& wanted;
  const std::string& path;
  OutgoingFile& file;
  Circuit& circuit;
  Compressor compressor;
  std::optional<SentDigest> digest;
  wire::Copies copies; // to be said before anything else is
  std::uint64_t counted = 0; // of the file's size, in the progress
  std::size_t since_yield = 0;

  void count() {
    sending->watch.progress->bytes_done += file.offset() - counted;
    counted = file.offset();
    ++sending->watch.progress->worked;
  }
};

/// False: the Taker wants no more of the file.
awaitable<bool> give_fragment(OneFile& one, Fragment fragment) {
  co_await one.sending->pace.spend(fragment.payload.size());
  const result<void> sent = co_await as_result(one.circuit.send(std::move(fragment)));
  if (!sent && taker_gave_up(one.circuit)) co_return false;
  if (!sent) throw_ended(one.circuit, sent.error());
  co_return true;
}

awaitable<bool> give_bytes(OneFile& one, std::uint64_t to, Payload bytes) {
  Fragment fragment(op::data, std::move(bytes));
  fragment.part = static_cast<std::int64_t>(to);
  if (one.sending->options.compress && fragment.payload.size() <= packed_data_bytes_max) {
    if (std::optional<Payload> packed = one.compressor.compress(fragment.payload.bytes())) {
      fragment.op = op::packed_data;
      fragment.payload = std::move(*packed);
    }
  }
  co_return co_await give_fragment(one, std::move(fragment));
}

awaitable<void> give_turn(OneFile& one, std::size_t count) {
  one.since_yield += count;
  if (one.since_yield < bytes_between_yields) co_return;
  one.since_yield = 0;
  co_await let_others_run();
}

/// Sends the data of a file; the circuit stays unfinished.
awaitable<Given> give_data(OneFile& one) {
  OutgoingFile& file = one.file;
  while (const std::size_t size = file.next_bytes(one.sending->tuning.fragment_bytes)) {
    const std::uint64_t offset = file.offset();
    if (one.digest) co_await one.digest->add_hole(offset);
    Payload bytes = Payload::uninitialized(size);
    const std::size_t count = file.read(bytes.writable());
    if (count < size) co_return Given::changed; // it has become shorter
    if (one.digest) one.digest->add(bytes.bytes());
    const bool is_wanted = co_await give_bytes(one, offset, std::move(bytes));
    if (!is_wanted) co_return Given::unwanted;
    one.count();
    co_await give_turn(one, count);
  }
  if (one.digest) co_await one.digest->add_hole(file.status().size);
  co_return file.unchanged() ? Given::sent : Given::changed;
}

awaitable<bool> give_copies(OneFile& one) {
  if (one.copies.copies_size() == 0) co_return true;
  const wire::Copies copies = std::exchange(one.copies, wire::Copies());
  co_return co_await give_fragment(one, to_fragment(op::copies, copies));
}

awaitable<bool> give_copy(OneFile& one, std::uint64_t to, std::uint64_t from, std::uint64_t size) {
  wire::Copies::Copy& copy = *one.copies.add_copies();
  copy.set_to(to);
  copy.set_from(from);
  copy.set_size(size);
  // What is far behind what was read would keep the Taker waiting.
  constexpr std::uint64_t behind_max = 8 << 20;
  if (one.copies.copies_size() < copies_per_message && to + size - one.copies.copies(0).to() < behind_max)
    co_return true;
  co_return co_await give_copies(one);
}

/// Everything that a finder has found so far.
awaitable<bool> give_pieces(OneFile& one, DeltaFinder& finder) {
  for (;;) {
    const std::optional<DeltaPiece> piece = finder.next();
    if (!piece) co_return true;
    bool is_wanted = false;
    if (piece->is_copy) {
      is_wanted = co_await give_copy(one, piece->to, piece->from, piece->size);
    } else {
      Payload bytes = Payload::uninitialized(piece->bytes.size());
      std::copy(piece->bytes.begin(), piece->bytes.end(), bytes.writable().begin());
      is_wanted = co_await give_copies(one);
      if (is_wanted) is_wanted = co_await give_bytes(one, piece->to, std::move(bytes));
    }
    if (!is_wanted) co_return false;
  }
}

/// Sends what the Taker's basis lacks, and the digest of all of it; the circuit stays unfinished.
awaitable<Given> give_delta(OneFile& one) {
  constexpr std::size_t reading_bytes_max = 256 * 1024;
  OutgoingFile& file = one.file;
  DeltaFinder finder(one.wanted.sums, one.sending->options.in_place);
  while (const std::size_t wish = file.next_bytes_with_holes(reading_bytes_max)) {
    const std::span<std::byte> space = finder.space();
    const std::span<std::byte> into = space.first(std::min(space.size(), wish));
    const std::size_t count = file.read(into);
    if (count < into.size()) co_return Given::changed;
    one.digest->add(into);
    finder.filled(count);
    const bool is_wanted = co_await give_pieces(one, finder);
    if (!is_wanted) co_return Given::unwanted;
    one.count();
    co_await give_turn(one, count);
  }
  finder.end();
  bool is_wanted = co_await give_pieces(one, finder);
  if (is_wanted) is_wanted = co_await give_copies(one);
  if (!is_wanted) co_return Given::unwanted;
  co_return file.unchanged() ? Given::sent : Given::changed;
}

/// Sends what lies behind the beginning that the Taker has, and the digest of all of it.
awaitable<Given> give_rest(OneFile& one) {
  OutgoingFile& file = one.file;
  const std::uint64_t prefix = one.wanted.prefix_bytes;
  if (prefix > file.status().size) co_return Given::changed;
  bool is_wanted = co_await give_copy(one, 0, 0, prefix);
  if (is_wanted) is_wanted = co_await give_copies(one);
  if (!is_wanted) co_return Given::unwanted;
  while (const std::size_t wish = file.next_bytes_with_holes(one.sending->tuning.fragment_bytes)) {
    const std::uint64_t offset = file.offset();
    const std::size_t size = offset < prefix ? std::min<std::uint64_t>(wish, prefix - offset) : wish;
    Payload bytes = Payload::uninitialized(size);
    const std::size_t count = file.read(bytes.writable());
    if (count < size) co_return Given::changed;
    one.digest->add(bytes.bytes());
    if (offset >= prefix) is_wanted = co_await give_bytes(one, offset, std::move(bytes));
    if (!is_wanted) co_return Given::unwanted;
    one.count();
    co_await give_turn(one, count);
  }
  co_return file.unchanged() ? Given::sent : Given::changed;
}

/// A file that is written all the time, as a log is: when a second reading of what was sent finds the same, the file
/// was like this at the moment between the two.
awaitable<Given> give_as_it_was(SendingPointer sending, std::string path, std::uint64_t size, std::uint64_t seed,
                                Digest sent) {
  const std::shared_ptr<Directory> directory = sending->source.root->directory(parent_of(path));
  const FileDigest again = co_await digest_file(sending->budgets, directory, std::string(name_of(path)),
                                                sending->watch.progress, seed, size);
  co_return again.digest == sent ? Given::as_it_was : Given::changed;
}

awaitable<Given> give_pieces_of(OneFile& one, bool last_attempt) {
  if (last_attempt || one.wanted.has_basis()) one.digest.emplace(one.wanted.seed);
  Given given = Given::changed;
  if (one.wanted.sums) {
    given = co_await give_delta(one);
  } else if (one.wanted.prefix_bytes > 0) {
    given = co_await give_rest(one);
  } else {
    given = co_await give_data(one);
  }
  const std::uint64_t size = one.file.status().size;
  if (given == Given::unwanted || !one.digest || one.file.offset() < size) co_return given;
  const Digest sent = one.digest->take();
  if (given == Given::changed && last_attempt)
    given = co_await give_as_it_was(one.sending, one.path, size, one.wanted.seed, sent);
  if (given == Given::changed || !one.wanted.has_basis()) co_return given;
  Fragment last(op::whole_digest, Payload(sent.bytes()));
  const bool is_wanted = co_await give_fragment(one, std::move(last));
  co_return is_wanted ? given : Given::unwanted;
}

awaitable<Given> give_content(SendingPointer sending, Wanted wanted, std::string path, OutgoingFile& file,
                              bool last_attempt) {
  wire::FileHeader header;
  header.set_index(wanted.index);
  header.set_size(file.status().size);
  header.set_mtime_seconds(file.status().mtime.seconds);
  header.set_mtime_nanoseconds(file.status().mtime.nanoseconds);
  header.set_mode(sending->chmod.of(file.status().mode & 07777, false));
  header.set_has_basis(wanted.has_basis());
  header.set_sparse(wanted.has_basis() && file.status().allocated_bytes < file.status().size);
  Circuit circuit = sending->control.new_circuit(to_fragment(op::file, header));
  ++sending->circuits;

  OneFile one(sending, wanted, path, file, circuit);
  Given given = Given::changed;
  try {
    given = co_await give_pieces_of(one, last_attempt);
  } catch (const FileError&) {
    sending->watch.progress->bytes_done -= one.counted;
    if (taker_gave_up(circuit)) co_return Given::unwanted; // it is done with this file, and wants no word about it
    circuit.reset(End(error::circuit_reset, "the file cannot be read"));
    throw;
  }
  if (given == Given::sent || given == Given::as_it_was) {
    sending->watch.progress->bytes_done += file.status().size - one.counted;
    circuit.finish();
    co_return given;
  }
  sending->watch.progress->bytes_done -= one.counted;
  if (taker_gave_up(circuit)) co_return Given::unwanted;
  if (given == Given::changed) circuit.reset(End(error::circuit_reset, "the file changes"));
  co_return given;
}

} // namespace

Sending::Sending(Circuit& control_circuit, Source from, Options wishes, Watch watcher, Tuning limits,
                 std::shared_ptr<Budgets> shared)
    : control(control_circuit), source(std::move(from)), options(std::move(wishes)), watch(std::move(watcher)),
      tuning(limits), budgets(std::move(shared)), pace(options.rate_max) {
  for (const std::string& text : options.chmod) chmod.add(text, mask_of_process());
}

awaitable<Given> send_file(std::shared_ptr<Sending> sending, Wanted wanted, std::string path, bool last_attempt) {
  const std::shared_ptr<Directory> directory = sending->source.root->directory(parent_of(path));
  const std::string name(name_of(path));
  if (wanted.has_digest) {
    const FileDigest found =
        co_await digest_file(sending->budgets, directory, name, sending->watch.progress, wanted.seed);
    if (!found.unchanged) co_return Given::changed;
    if (found.digest == wanted.digest) co_return Given::same;
    if (wanted.compare_only) co_return Given::different;
  }
  BudgetShare turn(one_of(sending->budgets, &Budgets::files_read));
  co_await turn.wait_for_one();
  OutgoingFile file(directory, name);
  co_return co_await give_content(sending, std::move(wanted), path, file, last_attempt);
}

} // namespace trunkline::sync
