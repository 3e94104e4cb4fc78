#include "services/sync/arrival.hpp"

#include "async/task_group.hpp"
#include "async/within.hpp"
#include "services/sync/attempt.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/path.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::sync {
namespace {

constexpr std::size_t bytes_between_yields = 1 << 20;

/// The Giver gives a file up that it cannot read to the end, and will come again, or say why not; or it gives up
/// everything, and says why on the control circuit, which may not be read so far yet.
bool is_taken_back(const boost::system::error_code& code) {
  return code == error::circuit_reset || code == error::circuit_abandoned;
}

} // namespace

awaitable<void> Arrival::take(Circuit circuit) {
  const result<std::optional<Fragment>> first = co_await as_result(circuit.receive());
  if (!first && is_taken_back(first.error())) co_return;
  if (!first) throw boost::system::system_error(first.error());
  if (!*first || (*first)->op != op::file) throw_protocol("a circuit that does not begin with a file");
  const auto header = read_message<wire::FileHeader>(**first);
  const std::size_t index = header.index();
  co_await wants_.last_arrival(index);
  wants_.arriving(index);
  if (header.size() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    throw_protocol("a file of " + std::to_string(header.size()) + " bytes");
  ++voice_.report().circuits;
  if (wants_.is_there(index)) { // since it was asked for
    circuit.close();
    wants_.resolve(index);
    co_return;
  }
  BudgetShare turn(one_of(budgets_, &Budgets::files_written));
  co_await turn.wait_for_one();

  bool whole = false;
  std::string trouble;
  try {
    whole = co_await take_content(circuit, index, header);
  } catch (const FileError& failure) {
    throw_if_hopeless(failure);
    trouble = failure.what();
  }
  if (!trouble.empty()) {
    circuit.close(End(error::circuit_closed, trouble)); // what still comes of it is dropped
    voice_.note(Note::Kind::error, listing_.entries[index].path, std::move(trouble));
    wants_.resolve(index);
    co_return;
  }
  circuit.close();
  if (!whole) {
    wants_.again(index);
    co_return;
  }
  ++voice_.progress().files_done;
  Note note;
  note.kind = Note::Kind::sent;
  note.path = listing_.entries[index].path;
  note.bytes = header.size();
  note.changes = listing_.changes[index];
  voice_.note(std::move(note));
  wants_.resolve(index);
}

/// False: the Giver takes it back.
awaitable<bool> Arrival::take_content(Circuit& circuit, std::size_t index, wire::FileHeader header) {
  const std::string& path = listing_.entries[index].path;
  const FileTime mtime = mtime_of(header);
  std::unique_ptr<IncomingFile> file = tree_->receive_file(path);
  std::uint64_t end = 0;
  std::size_t since_yield = 0;
  Progress& progress = voice_.progress();
  const auto take_back = [&] { progress.bytes_done -= std::min(progress.bytes_done, end); };
  try {
    for (;;) {
      std::optional<Fragment> fragment = co_await circuit.receive();
      if (!fragment) break;
      ++progress.heard;
      const auto offset = static_cast<std::uint64_t>(fragment->part);
      const std::uint64_t size = fragment->payload.size();
      if (fragment->op != op::data || offset < end || offset > header.size() || size > header.size() - offset)
        throw_protocol("file \"" + printable(path) + "\" of " + std::to_string(header.size()) + " bytes gets " +
                       std::to_string(size) + " bytes at " + std::to_string(offset) + " after " + std::to_string(end));
      file->write(offset, fragment->payload.bytes());
      progress.bytes_done += offset + size - end;
      end = offset + size;
      since_yield += fragment->payload.size();
      if (since_yield < bytes_between_yields) continue;
      since_yield = 0;
      co_await let_others_run();
    }
    if (listing_.replaces_directory.contains(index)) tree_->remove(path, EntryType::directory);
    tree_->make_room(path);
    file->commit(header.size(), header.mode() & mode_bits, mtime);
  } catch (const boost::system::system_error& ended) {
    take_back();
    if (!is_taken_back(ended.code())) throw;
    co_return false;
  } catch (...) {
    take_back();
    throw;
  }
  progress.bytes_done += header.size() - end;
  co_return true;
}

} // namespace trunkline::sync
