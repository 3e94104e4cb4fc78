#include "services/web/files.hpp"

#include "async/clock.hpp"
#include "async/first_of.hpp"
#include "circuit/trunk.hpp"
#include "fragment/error.hpp"
#include "services/sync/incoming_file.hpp"
#include "services/sync/path.hpp"
#include "services/sync/walk.hpp"

#include <boost/system/system_error.hpp>

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <map>
#include <optional>
#include <random>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::web {
namespace {

using sync::Directory;
using sync::FileError;
using sync::Status;

enum Op : std::int32_t {
  op_list = 1,
  op_get = 2,
  op_put = 3,
  op_entry = 16,
  op_listed = 17,
  op_gone = 18,
  op_header = 19,
  op_data = 20,
  op_stored = 21,
};
enum PageOp : std::int32_t { op_question = 1, op_answer = 2 };
constexpr std::string_view page_service = "page";

/// A request that cannot be answered, with the kind that docs/browser.md lists.
class Failure : public std::runtime_error {
 public:
  Failure(std::string_view kind, const std::string& text) : runtime_error(text), kind_(kind) {}
  const std::string& kind() const noexcept { return kind_; }

 private:
  std::string kind_;
};

std::string_view kind_of(const FileError& failure) noexcept {
  switch (failure.error_number()) {
    case ENOENT:
    case ENOTDIR: return "missing";
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP: // a symlink
    case EXDEV: return "denied";
    case EISDIR:
    case sync::not_a_file: return "type";
    case ENOSPC:
    case EDQUOT: return "full";
    case EMFILE:
    case ENFILE: return "busy";
    default: return "failed";
  }
}

std::int64_t milliseconds_of(sync::FileTime time) noexcept {
  return time.seconds * 1000 + static_cast<std::int64_t>(time.nanoseconds / 1'000'000);
}

sync::FileTime time_of(std::int64_t milliseconds) noexcept {
  std::int64_t seconds = milliseconds / 1000;
  std::int64_t rest = milliseconds % 1000;
  if (rest < 0) {
    rest += 1000;
    --seconds;
  }
  return sync::FileTime{seconds, static_cast<std::uint32_t>(rest * 1'000'000)};
}

std::optional<std::int64_t> number_of(std::optional<std::string_view> text) {
  if (!text) return std::nullopt;
  std::int64_t number = 0;
  const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (code != std::errc() || end != text->data() + text->size())
    throw Failure("invalid", "an arg is no number: " + sync::printable(*text));
  return number;
}

std::string_view type_of(const Status& status) noexcept {
  if (status.is_file()) return "file";
  if (status.is_directory()) return "directory";
  return status.is_symlink() ? "symlink" : "special";
}

void check_path(std::string_view path, bool may_be_root) {
  const std::string wrong = sync::wrong_with_path(path);
  if (!wrong.empty()) throw Failure("invalid", "the path " + wrong);
  if (path.empty() && !may_be_root) throw Failure("invalid", "the path is empty, expected that of a file");
}

/// What a page was told of a name.
struct Seen {
  Status status;
  std::string target;

  bool same(const Seen& other) const noexcept {
    return status.mode == other.status.mode && status.same_content(other.status) && target == other.target;
  }
};
using Listing = std::map<std::string, Seen, std::less<>>;

Listing read_directory(const Directory& directory) {
  Listing listing;
  for (std::string& name : directory.names()) {
    if (sync::is_temporary_name(name)) continue;
    try {
      std::optional<Status> status = directory.status(name);
      if (!status) continue;
      Seen seen{*status, {}};
      if (status->is_symlink()) seen.target = directory.read_link(name);
      listing.emplace(std::move(name), std::move(seen));
    } catch (const FileError& failure) {
      if (!failure.is_gone()) throw;
    }
  }
  return listing;
}

Fragment entry_of(const std::string& name, const Seen& seen) {
  Fragment entry(op_entry);
  entry.subject = name;
  entry.part = static_cast<std::int64_t>(seen.status.size);
  entry.args.set("type", type_of(seen.status));
  entry.args.set("modified", std::to_string(milliseconds_of(seen.status.mtime)));
  if (seen.status.is_symlink()) entry.args.set("target", seen.target);
  return entry;
}

/// What makes one listing of another.
std::vector<Fragment> changes(const Listing& before, const Listing& now) {
  std::vector<Fragment> all;
  for (const auto& [name, seen] : before) {
    if (now.contains(name)) continue;
    Fragment gone(op_gone);
    gone.subject = name;
    all.push_back(std::move(gone));
  }
  for (const auto& [name, seen] : now) {
    const auto had = before.find(name);
    if (had == before.end() || !had->second.same(seen)) all.push_back(entry_of(name, seen));
  }
  return all;
}

/// What the circuits of one node share.
struct Shared {
  FilesOptions options;
  std::size_t running = 0; // <= options.requests_max

  void log(const Circuit& circuit, std::string_view did, std::string_view path, std::string_view rest) const {
    if (!options.log) return;
    options.log(std::string(did) + " " + sync::printable(path) + std::string(rest) + ", for " +
                sync::printable(circuit.remote_url()));
  }
};
using SharedPtr = std::shared_ptr<Shared>;

/// Counts a request while it runs.
class Running {
 public:
  explicit Running(SharedPtr shared) : shared_(std::move(shared)) { ++shared_->running; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() { --shared_->running; }

 private:
  SharedPtr shared_;
};

/// Waited for together with the next look, so that the page's end is noticed while nothing changes.
awaitable<void> note_finish(Circuit& circuit, bool& finished) {
  for (;;) {
    const std::optional<Fragment> word = co_await circuit.receive();
    if (!word) break;
  }
  finished = true;
}

awaitable<void> list(SharedPtr shared, Circuit& circuit, std::string path) {
  const FilesOptions& options = shared->options;
  Clock& clock = Clock::of(circuit.trunk()->executor());
  Listing said;
  bool is_first = true;
  bool finished = false;
  for (;;) {
    const TimePoint began = clock.now();
    shared->options.root->forget(); // a directory that was replaced is another one
    Listing now = read_directory(*shared->options.root->directory(path));
    const Duration took = clock.now() - began;
    std::vector<Fragment> news = changes(said, now);
    said = std::move(now);
    for (Fragment& fragment : news) co_await circuit.send(std::move(fragment));
    if (std::exchange(is_first, false)) {
      Fragment listed(op_listed);
      co_await circuit.send(std::move(listed));
      if (said.size() > options.entries_watched_max) co_return;
    }
    co_await first_of(note_finish(circuit, finished), sleep_for(std::max(options.watch_interval, 20 * took)));
    if (finished) co_return;
  }
}

awaitable<void> get(SharedPtr shared, Circuit& circuit, std::string path, std::int64_t offset) {
  const auto directory = shared->options.root->directory(sync::parent_of(path));
  Status status;
  const sync::Fd file = directory->open_file(std::string(sync::name_of(path)), status);
  const auto size = static_cast<std::int64_t>(status.size);
  if (offset < 0 || offset > size) {
    throw Failure("invalid", "the offset " + std::to_string(offset) + " is not within the " + std::to_string(size) +
                                 " bytes of the file");
  }
  Fragment header(op_header);
  header.part = size;
  header.args.set("modified", std::to_string(milliseconds_of(status.mtime)));
  co_await circuit.send(std::move(header));
  for (std::int64_t at = offset; at < size;) {
    const auto count = std::min<std::int64_t>(size - at, static_cast<std::int64_t>(shared->options.data_bytes_max));
    Payload bytes = Payload::uninitialized(static_cast<std::size_t>(count));
    const ssize_t read = directory->disk().read(file.number(), bytes.writable(), static_cast<std::uint64_t>(at));
    if (read < 0) throw FileError("read", path, static_cast<int>(-read));
    if (read < count) throw Failure("changed", "the file became shorter while it was read");
    Fragment data(op_data, std::move(bytes));
    data.part = at;
    co_await circuit.send(std::move(data));
    at += count;
  }
  shared->log(circuit, "sent", path, ", " + std::to_string(size - offset) + " bytes");
  circuit.finish();
}

/// Asks the page whether a file may be replaced; silence is no.
awaitable<bool> may_replace(const FilesOptions& options, Circuit& circuit, const std::string& path) {
  CircuitOptions limits;
  limits.deadline = options.question_deadline;
  limits.inherit(circuit);
  Fragment question(op_question);
  question.subject = "Replace " + sync::printable(path) + "?";
  try {
    Circuit asked = circuit.new_circuit(std::move(question), limits);
    for (;;) {
      const std::optional<Fragment> word = co_await asked.receive();
      if (!word) co_return false;
      if (word->op != op_answer) continue;
      const bool may = word->part == 1;
      asked.close();
      co_return may;
    }
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == asio::error::operation_aborted) throw; // our own end
    co_return false;
  }
}

void check_kept(const std::string& path, int returned) {
  if (returned < 0) throw FileError("write", path, -returned);
}

awaitable<void> put(SharedPtr shared, Circuit& circuit, const Fragment& request) {
  const FilesOptions& options = shared->options;
  const std::string path = request.subject;
  const std::int64_t size = request.part;
  const std::optional<std::int64_t> modified = number_of(request.args.find("modified"));
  const bool replace = request.args.find("replace") == "1";
  if (size < 0) throw Failure("invalid", "a file of " + std::to_string(size) + " bytes");
  if (options.read_only) throw Failure("denied", "nothing may be written here");

  const auto directory = options.root->directory(sync::parent_of(path));
  const std::string name(sync::name_of(path));
  if (sync::is_temporary_name(name)) throw Failure("denied", "this name is one of temporary files");
  const std::optional<Status> there = directory->status(name);
  if (there && !there->is_file()) throw Failure("type", "there is something else than a file");
  if (there && !replace) {
    bool may = circuit.remote_peer().service == page_service;
    if (may) may = co_await may_replace(options, circuit, path);
    if (!may) throw Failure("exists", "there is a file of this name");
  }

  sync::IncomingFile file(directory, name, options.random);
  std::int64_t at = 0;
  for (;;) {
    const std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) break;
    if (fragment->op != op_data) continue;
    const auto bytes = static_cast<std::int64_t>(fragment->payload.size());
    if (fragment->part != at || bytes > size - at) {
      throw Failure("invalid", std::to_string(bytes) + " bytes at " + std::to_string(fragment->part) + ", expected " +
                                   std::to_string(size - at) + " more at " + std::to_string(at));
    }
    file.write(static_cast<std::uint64_t>(at), fragment->payload.bytes());
    at += bytes;
  }
  if (at != size)
    throw Failure("invalid", std::to_string(at) + " bytes, expected " + std::to_string(size));
  if (!replace && !there && directory->status(name)) throw Failure("exists", "a file of this name has come meanwhile");
  const mode_t mode = there ? there->mode & 0777 : 0644;
  sync::FileTime time = modified ? time_of(*modified) : sync::FileTime{};
  if (!modified) {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    time = time_of(std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
  }
  // A name whose content a power cut took would be a file that nobody has put there.
  file.on_commit([&options, &path](sync::Directory& in, const std::string& temporary) {
    Status status;
    check_kept(path, options.keep(in.open_file(temporary, status).number()));
  });
  file.commit(static_cast<std::uint64_t>(size), mode, time);
  check_kept(path, options.keep(directory->fd_number())); // its name
  shared->log(circuit, "stored", path, ", " + std::to_string(size) + " bytes");
  Fragment stored(op_stored);
  stored.part = size;
  co_await circuit.send(std::move(stored));
}

awaitable<void> answer_request(SharedPtr shared, Circuit& circuit, const Fragment& request) {
  switch (request.op) {
    case op_list:
      check_path(request.subject, true);
      co_await list(shared, circuit, request.subject);
      co_return;
    case op_get:
      check_path(request.subject, false);
      co_await get(shared, circuit, request.subject, request.part);
      co_return;
    case op_put:
      check_path(request.subject, false);
      co_await put(shared, circuit, request);
      co_return;
    default: throw Failure("invalid", "op " + std::to_string(request.op) + " is no request");
  }
}

awaitable<void> answer(SharedPtr shared, Circuit circuit) {
  const std::optional<Fragment> request = co_await circuit.receive();
  if (!request) co_return;
  std::string kind;
  std::string text;
  try {
    if (shared->running >= shared->options.requests_max) {
      throw Failure("busy", std::to_string(shared->running) + " requests are answered now, no more than requests_max");
    }
    const Running running(shared);
    co_await answer_request(shared, circuit, *request);
    co_return;
  } catch (const Failure& failure) {
    kind = failure.kind();
    text = failure.what();
  } catch (const FileError& failure) {
    kind = kind_of(failure);
    text = failure.what();
  }
  shared->log(circuit, "refused", request->subject, ": " + sync::printable_sentence(text));
  Fragment failed = Fragment::error(sync::printable_sentence(text));
  failed.args.set("kind", kind);
  co_await circuit.send(std::move(failed));
}

std::function<std::uint64_t()> system_random() {
  auto device = std::make_shared<std::random_device>();
  return [device] { return std::uint64_t{(*device)()} << 32 | (*device)(); };
}

/// Some file systems have nothing to keep of a directory, and say that it is no file for this.
int keep_on_disk(int descriptor) {
  if (::fsync(descriptor) == 0 || errno == EINVAL || errno == EROFS) return 0;
  return -errno;
}

} // namespace

void serve_files(Node& node, FilesOptions options) {
  auto shared = std::make_shared<Shared>();
  shared->options = std::move(options);
  if (!shared->options.random) shared->options.random = system_random();
  if (!shared->options.keep) shared->options.keep = keep_on_disk;
  node.serve("files", [shared](Circuit circuit) { return answer(shared, std::move(circuit)); });
}

} // namespace trunkline::web
