#include "services/sync/fetch.hpp"

#include "async/task_group.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/path.hpp"
#include "services/sync/plan.hpp"

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <deque>
#include <limits>
#include <span>
#include <utility>

namespace trunkline::sync {
namespace {

constexpr std::size_t bytes_between_yields = 256 * 1024;
constexpr std::uint64_t run_bytes = 4 << 20; // of a basis: a whole number of blocks
constexpr std::size_t runs_at_once = 8;

std::uint64_t add(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t sum = a + b;
  return sum < a ? std::numeric_limits<std::uint64_t>::max() : sum;
}

Fragment fragment_of(const BlockSums& sums) {
  Fragment fragment(op::sums, Payload::uninitialized(sums.sums.size() * sums.sum_bytes()));
  sums.encode(0, sums.sums.size(), fragment.payload.writable());
  return fragment;
}

std::optional<Status> status_of(Root& root, const std::string& path) {
  return root.directory(parent_of(path))->status(std::string(name_of(path)));
}

} // namespace

void Fetch::want(std::size_t index, const Entry* here) {
  count_on(index);
  if (of_.options.dry_run) return differs(index);
  if (std::optional<Source> source = source_of(of_.listing.entry(index), here))
    sources_.emplace(index, std::move(*source));
  of_.wants.want(index, std::nullopt);
}

void Fetch::compare(std::size_t index, const Entry* here) {
  count_on(index);
  of_.wants.expect(index);
  Compared compared;
  compared.index = index;
  compared.source = source_of(of_.listing.entry(index), here);
  to_compare_.push_back(std::move(compared));
  to_compare_grown_.notify_one();
}

awaitable<void> Fetch::digest_what_is_compared() {
  for (;;) {
    while (to_compare_.empty()) co_await to_compare_grown_.wait();
    const auto small = std::make_shared<SmallFilesDigesting>(of_.seed);
    std::deque<Compared> taken = take_small_ones(*small);
    if (!taken.empty()) {
      co_await make_digests(of_.budgets, small, of_.voice.shared_progress());
      for (const DigestedFile& file : small->files()) {
        digested(std::move(taken.front()), file.made.unchanged ? std::optional(file.made.digest) : std::nullopt);
        taken.pop_front();
      }
      continue;
    }
    Compared compared = std::move(to_compare_.front());
    to_compare_.pop_front();
    std::optional<Digest> ours = co_await digest_of(of_.listing.entry(compared.index).path);
    digested(std::move(compared), std::move(ours));
  }
}

/// None when the next one is large, or cannot be reached.
std::deque<Fetch::Compared> Fetch::take_small_ones(SmallFilesDigesting& digesting) {
  std::deque<Compared> taken;
  while (!to_compare_.empty()) {
    const Entry& entry = of_.listing.entry(to_compare_.front().index);
    if (entry.size > SmallFilesDigesting::file_bytes_max) break;
    try {
      std::shared_ptr<Directory> directory = of_.tree->root().directory(parent_of(entry.path));
      if (!digesting.has_room_for(*directory, entry.size)) break;
      digesting.add(std::move(directory), std::string(name_of(entry.path)), entry.size);
    } catch (const FileError&) {
      break;
    }
    taken.push_back(std::move(to_compare_.front()));
    to_compare_.pop_front();
  }
  return taken;
}

/// A file of ours that cannot be read is simply wanted.
void Fetch::digested(Compared compared, std::optional<Digest> ours) {
  const std::size_t index = compared.index;
  if (!ours && of_.options.dry_run) {
    differs(index);
    return of_.wants.settle_expected(index);
  }
  if (!ours && compared.source) sources_.emplace(index, std::move(*compared.source));
  of_.wants.want_expected(index, std::move(ours));
}

void Fetch::differs(std::size_t index) {
  ++of_.voice.progress().files_done;
  of_.listing.say(of_.voice, Note::Kind::sent, index, of_.listing.changes(index), {}, of_.listing.entry(index).size);
}

void Fetch::count_on(std::size_t index) {
  Progress& progress = of_.voice.progress();
  ++progress.files_total;
  progress.bytes_total = add(progress.bytes_total, of_.listing.entry(index).size);
}

bool Fetch::link(const Entry& entry, const Entry* here, bool is_same) {
  const Options& options = of_.options;
  if (!options.link_root || options.checksum) return false;
  try {
    const std::shared_ptr<Directory> at = options.link_root->directory(parent_of(entry.path));
    const std::optional<Status> there = at->status(std::string(name_of(entry.path)));
    if (!there || !is_same_file(entry, *there)) return false;
    if (here && here->type == EntryType::file && of_.tree) {
      const std::optional<Status> ours = status_of(of_.tree->root(), entry.path);
      if (ours && ours->device == there->device && ours->inode == there->inode) return false;
    }
    if (!options.dry_run) of_.tree->link_file(entry.path, *at, std::string(name_of(entry.path)), false);
  } catch (const FileError&) {
    return false; // it is sent, then, and says what is wrong with this side if it meets it
  }
  ++of_.voice.report().linked;
  if (!is_same && options.backup && here && here->type == EntryType::file)
    of_.voice.note(Note::Kind::warning, entry.path,
                   '"' + printable(entry.path) + "\" becomes a link, and no backup of what was there is kept");
  return true;
}

bool Fetch::is_there(std::size_t index) {
  if (of_.options.checksum) return false; // size and time prove nothing then
  const Entry& entry = of_.listing.entry(index);
  try {
    const std::optional<Status> found = status_of(of_.tree->root(), entry.path);
    if (!found || !is_same_file(entry, *found)) return false;
  } catch (const FileError&) {
    return false;
  }
  forget(index);
  ++of_.voice.report().unchanged;
  ++of_.voice.progress().files_done;
  of_.voice.progress().bytes_done = add(of_.voice.progress().bytes_done, entry.size);
  return true;
}

// What is here of a file.

std::optional<Fetch::Source> Fetch::source_of(const Entry& entry, const Entry* here) {
  if (of_.options.whole_file || !of_.tree || entry.size < of_.tuning.basis_bytes_min) return std::nullopt;
  Source source;
  const bool has_old = here && here->type == EntryType::file && here->size > 0;
  if (of_.options.append) {
    if (!has_old || here->size >= entry.size) return std::nullopt;
    source.paths.push_back(entry.path);
    return source;
  }
  if (has_old && here->size >= of_.tuning.basis_bytes_min) source.paths.push_back(entry.path);
  if (!of_.options.in_place)
    if (const std::string* partial = of_.partials.find(entry.path)) source.paths.push_back(*partial);
  if (!source.paths.empty()) return source;
  source.looks_for_moved = true;
  return source;
}

/// Files that have size and time of the new one, and then its content, have been moved, as a log is that makes room.
awaitable<std::string> Fetch::find_moved(std::size_t index) {
  if (!std::exchange(has_lookalikes_, true))
    co_await of_.survey.each_file([this](const Entry& entry) {
      if (entry.size >= of_.tuning.basis_bytes_min) lookalikes_.add(entry);
    });
  if (!of_.listing.knows(index)) co_return std::string();
  const Entry& entry = of_.listing.entry(index);
  const std::string* const found = lookalikes_.find(entry);
  co_return found && *found != entry.path ? *found : std::string();
}

bool Fetch::asks(std::size_t index) {
  if (!sources_.contains(index)) return false;
  to_ask_.push_back(index);
  asked_.notify_all();
  return true;
}

awaitable<void> Fetch::ask_with_bases() {
  for (;;) {
    while (to_ask_.empty()) co_await asked_.wait();
    const std::size_t index = to_ask_.front();
    to_ask_.pop_front();
    auto source = sources_.extract(index);
    if (!of_.listing.knows(index)) continue; // the Giver has withheld it unasked
    bool is_asked = false;
    try {
      if (source) is_asked = co_await ask(index, std::move(source.mapped()));
    } catch (const FileError&) {} // what cannot be read is no help, and nobody asked for it
    if (!is_asked) of_.voice.want(index);
  }
}

awaitable<bool> Fetch::ask(std::size_t index, Source source) {
  if (!source.looks_for_moved) co_return co_await ask_with_sums(index, std::move(source.paths));
  std::string path = co_await find_moved(index);
  if (path.empty()) co_return false;
  const std::optional<Digest> digest = co_await digest_of(path);
  if (!digest) co_return false;
  Moved moved;
  moved.path = std::move(path);
  moved.digest = *digest;
  moved_.insert_or_assign(index, std::move(moved));
  of_.voice.compare(index, *digest, false, of_.seed);
  co_return true;
}

awaitable<bool> Fetch::ask_with_sums(std::size_t index, std::vector<std::string> paths) {
  const auto [basis, added] = bases_.emplace(
      index, Basis(of_.tree->root(), paths, of_.listing.entry(index).size, of_.seed, of_.options.append));
  if (!added) co_return false;
  wire::Basis header;
  header.set_index(index);
  header.set_seed(of_.seed);
  header.set_block_bytes(static_cast<std::uint32_t>(basis->second.sizes().block_bytes));
  header.set_strong_bytes(static_cast<std::uint32_t>(basis->second.sizes().strong_bytes));
  header.set_prefix_bytes(basis->second.prefix_bytes());
  Circuit circuit = of_.control.new_circuit(to_fragment(op::basis, header));
  ++of_.voice.report().circuits;
  bool is_good = basis->second.bytes() > 0;
  try {
    if (is_good && !of_.options.append) is_good = co_await send_sums(circuit, basis->second);
  } catch (const FileError&) {
    is_good = false;
  }
  if (is_good) {
    circuit.finish();
  } else {
    bases_.erase(index);
    circuit.reset(End(error::circuit_reset, "the basis changes"));
  }
  co_return is_good;
}

/// The sums of a run of a basis, in whole blocks. Several readings of one basis go on side by side.
class Fetch::SumsOfRun final : public DigestWork {
 public:
  SumsOfRun(std::shared_ptr<BasisReader> reader, const Basis& basis, std::uint64_t from)
      : reader_(std::move(reader)), from_(from), end_(std::min(basis.bytes(), from + run_bytes)),
        summer_(basis.sizes(), basis.seed()), buffer_(std::max(bytes_between_yields, basis.sizes().block_bytes)) {}

  bool step(std::size_t bytes_max) override {
    for (std::uint64_t left = bytes_max; left > 0 && from_ < end_ && is_good_;) {
      const std::span<std::byte> bytes =
          std::span(buffer_).first(std::min<std::uint64_t>(buffer_.size(), end_ - from_));
      is_good_ = reader_->read(from_, bytes);
      if (is_good_) summer_.add(bytes);
      from_ += bytes.size();
      left -= std::min<std::uint64_t>(left, bytes.size());
    }
    return from_ < end_ && is_good_;
  }

  /// After the last step; nothing: the basis is not what it was.
  std::optional<BlockSums> take() { return is_good_ ? std::optional(summer_.take()) : std::nullopt; }

 private:
  std::shared_ptr<BasisReader> reader_;
  std::uint64_t from_;
  const std::uint64_t end_;
  BlockSummer summer_;
  std::vector<std::byte> buffer_;
  bool is_good_ = true;
};

awaitable<bool> Fetch::send_sums(Circuit& circuit, const Basis& basis) {
  const auto reader = std::make_shared<BasisReader>(of_.tree->root(), basis);
  if (!of_.budgets->digest_threads) {
    BudgetShare turn(one_of(of_.budgets, &Budgets::digests));
    co_await turn.wait_for_one();
    for (std::uint64_t from = 0; from < basis.bytes(); from += run_bytes) {
      SumsOfRun run(reader, basis, from);
      while (run.step(bytes_between_yields)) {
        ++of_.voice.progress().worked;
        co_await let_others_run();
      }
      const std::optional<BlockSums> sums = run.take();
      if (!sums) co_return false;
      co_await circuit.send(fragment_of(*sums));
    }
    co_return reader->unchanged();
  }
  struct Under {
    std::shared_ptr<SumsOfRun> run;
    DigestThreads::Pending pending;
  };
  std::deque<Under> under_way; // in the order in which they are sent
  DigestThreads& threads = *of_.budgets->digest_threads;
  const Executor executor = co_await asio::this_coro::executor;
  for (std::uint64_t from = 0; from < basis.bytes() || !under_way.empty();) {
    while (from < basis.bytes() && under_way.size() < runs_at_once) {
      auto run = std::make_shared<SumsOfRun>(reader, basis, from);
      auto pending = threads.begin(run, of_.voice.shared_progress(), executor);
      under_way.push_back({std::move(run), std::move(pending)});
      from += run_bytes;
    }
    Under first = std::move(under_way.front());
    under_way.pop_front();
    co_await threads.end(std::move(first.pending));
    const std::optional<BlockSums> sums = first.run->take();
    if (!sums) co_return false;
    co_await circuit.send(fragment_of(*sums));
  }
  co_return reader->unchanged();
}

const Basis* Fetch::basis(std::size_t index) const {
  const auto found = bases_.find(index);
  return found == bases_.end() ? nullptr : &found->second;
}

void Fetch::forget(std::size_t index) {
  sources_.erase(index);
  bases_.erase(index);
  moved_.erase(index);
}

awaitable<bool> Fetch::copy_moved(std::size_t index) {
  const Entry& entry = of_.listing.entry(index);
  const Moved moved = moved_.extract(index).mapped();
  Root& root = of_.tree->root();
  OutgoingFile from(root.directory(parent_of(moved.path)), std::string(name_of(moved.path)));
  if (from.status().size != entry.size) co_return false;
  const bool sparse = from.status().allocated_bytes < from.status().size;
  const std::unique_ptr<IncomingFile> into = of_.tree->receive_file(entry.path);
  Digester digester(of_.seed);
  std::vector<std::byte> buffer(bytes_between_yields);
  while (const std::size_t size = from.next_bytes_with_holes(buffer.size())) {
    const std::uint64_t offset = from.offset();
    const std::size_t count = from.read(std::span(buffer).first(size));
    if (count == 0) co_return false;
    const std::span<const std::byte> bytes = std::span(buffer).first(count);
    digester.add(bytes);
    if (sparse) {
      into->write_data(offset, bytes);
    } else {
      into->write(offset, bytes);
    }
    ++of_.voice.progress().worked;
    co_await let_others_run();
  }
  if (digester.take() != moved.digest) co_return false;
  place(index, *into, entry.size, entry.mode, entry.mtime);
  Progress& progress = of_.voice.progress();
  ++progress.files_done;
  progress.bytes_done = add(progress.bytes_done, entry.size);
  of_.voice.report().bytes_matched = add(of_.voice.report().bytes_matched, entry.size);
  of_.listing.say(of_.voice, Note::Kind::sent, index, of_.listing.changes(index), {}, entry.size);
  co_return true;
}

void Fetch::place(std::size_t index, IncomingFile& file, std::uint64_t size, std::uint32_t mode, FileTime mtime) {
  const std::string& path = of_.listing.entry(index).path;
  if (of_.listing.replaces_directory(index)) of_.tree->remove(path, EntryType::directory);
  of_.tree->make_room(path, EntryType::file);
  of_.tree->dress(of_.listing.entry(index), file);
  file.commit(size, mode & of_.options.mode_mask(), mtime);
  of_.partials.drop(*of_.tree, path);
}

/// Nothing when it cannot be read.
awaitable<std::optional<Digest>> Fetch::digest_of(std::string path) {
  try {
    const FileDigest found = co_await digest_file(of_.budgets, of_.tree->root().directory(parent_of(path)),
                                                  std::string(name_of(path)), of_.voice.shared_progress(), of_.seed);
    if (found.unchanged) co_return found.digest;
  } catch (const FileError&) {}
  co_return std::nullopt;
}

} // namespace trunkline::sync
