#include "services/sync/arrival.hpp"

#include "async/task_group.hpp"
#include "async/within.hpp"
#include "services/sync/attempt.hpp"
#include "services/sync/basis.hpp"
#include "services/sync/compression.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/path.hpp"
#include "services/sync/piece_check.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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
  // What is written in place may have size and time of the whole file by now, and be what an earlier reading made of it.
  const bool in_place = options_.in_place || options_.append;
  if (!in_place && wants_.is_there(index)) { // since it was asked for
    circuit.close();
    wants_.resolve(index);
    co_return;
  }
  BudgetShare turn(one_of(budgets_, &Budgets::files_written));
  co_await turn.wait_for_one();

  auto outcome = Outcome::taken_back;
  std::string trouble;
  try {
    outcome = co_await take_content(circuit, index, header);
  } catch (const FileError& failure) {
    throw_if_hopeless(failure);
    trouble = failure.what();
  }
  if (!trouble.empty()) {
    circuit.close(End(error::circuit_closed, trouble)); // what still comes of it is dropped
    voice_.note(Note::Kind::error, listing_.entry(index).path, std::move(trouble));
    fetch_.forget(index);
    wants_.resolve(index);
    co_return;
  }
  circuit.close();
  if (outcome == Outcome::taken_back) {
    if (!left_.empty()) fetch_.keep(left_);
    co_return wants_.again(index);
  }
  fetch_.forget(index);
  if (outcome == Outcome::wrong) co_return wants_.ask_again(index);
  ++voice_.progress().files_done;
  Note note;
  note.kind = Note::Kind::sent;
  note.path = listing_.entry(index).path;
  note.bytes = header.size();
  note.changes = listing_.changes(index);
  voice_.note(std::move(note));
  wants_.resolve(index);
}

/// A file while it comes.
struct Arrival::Content {
  Content(std::string its_path, PieceCheck checked) : path(std::move(its_path)), check(checked) {}

  const std::string path;
  std::unique_ptr<IncomingFile> file;
  PieceCheck check;
  bool in_place = false;
  bool sparse = false; // zeros need not be written
  std::optional<BasisReader> basis;
  std::optional<Digester> digester; // with a basis
  std::optional<Digest> digest;     // as the Giver says it
  std::uint64_t matched = 0;

  void write(std::uint64_t to, std::span<const std::byte> bytes) {
    if (digester) digester->add(bytes);
    if (sparse) {
      file->write_data(to, bytes);
    } else {
      file->write(to, bytes);
    }
  }
};

awaitable<Arrival::Outcome> Arrival::take_content(Circuit& circuit, std::size_t index, wire::FileHeader header) {
  const FileTime mtime = mtime_of(header);
  const Basis* const basis = header.has_basis() ? fetch_.basis(index) : nullptr;
  if (header.has_basis() && !basis) throw_protocol("a file with a basis that nobody has named");
  const bool in_place = options_.in_place || options_.append;
  Content content(listing_.entry(index).path, PieceCheck(header.size(), basis ? basis->bytes() : 0, in_place));
  content.in_place = in_place;
  content.file = tree_->receive_file(content.path, in_place ? Writing::in_place : Writing::aside);
  if (basis) {
    content.sparse = header.sparse() && !in_place;
    content.digester.emplace(basis->seed());
    try {
      content.basis.emplace(tree_->root(), *basis);
    } catch (const FileError&) {
      co_return Outcome::wrong; // it is gone, or something else has its name
    }
  } else if (in_place) {
    content.file->empty(); // what no fragment covers is a hole
  }
  Progress& progress = voice_.progress();
  const auto take_back = [&] { progress.bytes_done -= std::min(progress.bytes_done, content.check.end()); };
  try {
    const bool is_right = co_await take_pieces(circuit, content);
    if (!is_right) {
      take_back();
      co_return Outcome::wrong;
    }
    fetch_.place(index, *content.file, header.size(), header.mode(), mtime);
  } catch (const boost::system::system_error& ended) {
    take_back();
    // The far side is gone, or this one goes, or the next reading of the file has most of this one.
    if (!options_.whole_file) left_ = content.file->leave(tuning_.partial_bytes_min);
    if (is_taken_back(ended.code())) co_return Outcome::taken_back;
    throw;
  } catch (...) {
    take_back();
    throw;
  }
  progress.bytes_done += header.size() - content.check.end();
  voice_.report().bytes_matched += content.matched;
  co_return Outcome::whole;
}

/// False: what comes out is not what the Giver has.
awaitable<bool> Arrival::take_pieces(Circuit& circuit, Content& content) {
  std::size_t since_yield = 0;
  for (;;) {
    const std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) break;
    ++voice_.progress().heard;
    if (content.digest) throw_protocol("file \"" + printable(content.path) + "\" goes on behind its digest");
    const auto to = static_cast<std::uint64_t>(fragment->part);
    switch (fragment->op) {
      case op::data: take_data(content, to, fragment->payload.bytes()); break;
      case op::packed_data: {
        const std::optional<Payload> bytes = decompress(fragment->payload.bytes(), packed_data_bytes_max);
        if (!bytes) throw_protocol("data of \"" + printable(content.path) + "\" that cannot be unpacked");
        take_data(content, to, bytes->bytes());
        since_yield += bytes->size();
        break;
      }
      case op::copies: {
        const bool is_good = co_await take_copies(content, read_message<wire::Copies>(*fragment));
        if (!is_good) co_return false;
        break;
      }
      case op::whole_digest: {
        const std::span<const std::byte> bytes = fragment->payload.bytes();
        content.digest.emplace();
        if (!content.digester ||
            !Digest::from_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, *content.digest))
          throw_protocol("a digest of " + std::to_string(bytes.size()) + " bytes");
        break;
      }
      default: throw_protocol("a file's circuit does not say " + std::to_string(fragment->op));
    }
    since_yield += fragment->payload.size();
    if (since_yield < bytes_between_yields) continue;
    since_yield = 0;
    co_await let_others_run();
  }
  if (!content.digester) co_return true;
  if (!content.digest || content.check.end() != content.check.file_bytes())
    throw_protocol("file \"" + printable(content.path) + "\" ends before it is whole");
  co_return *content.digest == content.digester->take();
}

void Arrival::take_data(Content& content, std::uint64_t to, std::span<const std::byte> bytes) {
  const std::uint64_t end = content.check.end();
  std::string wrong = content.check.wrong_with_data(to, bytes.size());
  if (wrong.empty() && content.digester && to != end) wrong = "has a gap in front of " + std::to_string(to);
  if (!wrong.empty()) throw_protocol("file \"" + printable(content.path) + "\" " + wrong);
  content.write(to, bytes);
  voice_.progress().bytes_done += content.check.end() - end;
}

/// False: the basis is not what it was.
awaitable<bool> Arrival::take_copies(Content& content, wire::Copies copies) {
  constexpr std::size_t piece_bytes = 256 * 1024;
  std::vector<std::byte> buffer;
  for (const wire::Copies::Copy& copy : copies.copies()) {
    std::uint64_t to = content.check.end();
    std::string wrong = content.check.wrong_with_copy(copy.to(), copy.from(), copy.size());
    if (wrong.empty() && (!content.basis || copy.to() != to))
      wrong = "has a gap in front of " + std::to_string(copy.to());
    if (!wrong.empty()) throw_protocol("file \"" + printable(content.path) + "\" " + wrong);
    const bool stays = content.in_place && copy.from() == copy.to();
    for (std::uint64_t left = copy.size(); left > 0;) {
      const std::size_t size = std::min<std::uint64_t>(left, piece_bytes);
      if (buffer.size() < size) buffer.resize(size);
      const std::span<std::byte> bytes = std::span(buffer).first(size);
      if (!content.basis->read(copy.from() + copy.size() - left, bytes)) co_return false;
      if (stays) {
        content.digester->add(bytes);
      } else {
        content.write(to, bytes);
      }
      to += size;
      left -= size;
      voice_.progress().bytes_done += size;
      ++voice_.progress().worked;
      co_await let_others_run();
    }
    content.matched += copy.size();
  }
  co_return true;
}

} // namespace trunkline::sync
