// How the content of a listed file gets into the tree of a Taker: as a second name of a file that is there, from
// another file here that has the same content, or from the Giver, as far as it differs from what is here.
#pragma once

#include "async/signal.hpp"
#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "services/sync/basis.hpp"
#include "services/sync/budgets.hpp"
#include "services/sync/digest.hpp"
#include "services/sync/file_digest.hpp"
#include "services/sync/incoming_listing.hpp"
#include "services/sync/lookalikes.hpp"
#include "services/sync/options.hpp"
#include "services/sync/partials.hpp"
#include "services/sync/survey.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"
#include "services/sync/want_list.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace trunkline::sync {

/// The parts of a Taker that it works with; they outlive it.
struct FetchParts {
  Circuit& control;
  const Options& options;
  const Tuning tuning;
  const IncomingListing& listing;
  Survey& survey;
  Partials& partials;
  std::optional<Tree>& tree; // none: a dry run into nothing
  WantList& wants;
  TakerVoice& voice;
  std::shared_ptr<Budgets> budgets;
  std::uint64_t seed; // of digests: nobody else may know it before
};

class Fetch {
 public:
  explicit Fetch(FetchParts parts) : of_(std::move(parts)) {}
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;

  /// The content has to come; a dry run only counts it. `here` has the name; null: nothing has.
  void want(std::size_t index, const Entry* here);
  /// The digests decide whether it has to, once this side has made its own.
  void compare(std::size_t index, const Entry* here);
  /// Makes them, a large file or a handful of small ones at a time. Runs until it is cancelled, as often as there are
  /// lanes.
  awaitable<void> digest_what_is_compared();
  /// How many of these are under way at a time.
  std::size_t lanes_count() const noexcept { return of_.budgets->digest_threads ? digests_at_once : 1; }
  /// The Giver says that the digests differ, and a dry run wants no more.
  void differs(std::size_t index);
  /// A file that is the same in another tree of this side takes the place of one that would be sent, or that is the
  /// same already. `here` has its name; null: nothing has. False: there is no such file.
  bool link(const Entry& entry, const Entry* here, bool is_same);
  /// The content is there, for another sync has brought it since this one looked around; counted as done then.
  bool is_there(std::size_t index);

  /// True when the file is asked for by `ask_with_bases`, and nobody else needs to ask.
  bool asks(std::size_t index);
  /// Reads what is here of such files and asks for what differs. Runs until it is cancelled.
  awaitable<void> ask_with_bases();
  /// What the Giver was told to be here of a file; null: nothing.
  const Basis* basis(std::size_t index) const;
  /// A file with the content that is wanted was found here, under another name.
  bool is_moved(std::size_t index) const { return moved_.contains(index); }
  /// Copies that one. False: it is not what it was, and all of it has to come.
  awaitable<bool> copy_moved(std::size_t index);
  /// What has come of a file may be of use if this sync does not get it.
  void keep(const std::string& temporary_path) { of_.partials.adopt(*of_.tree, temporary_path); }
  /// The file is here or does not come: nothing of it is remembered.
  void forget(std::size_t index);

  /// A file that has come gets its name.
  void place(std::size_t index, IncomingFile& file, std::uint64_t size, std::uint32_t mode, FileTime mtime);

 private:
  struct Moved {
    std::string path;
    Digest digest;
  };
  /// What may be read of a file before it is asked for.
  struct Source {
    std::vector<std::string> paths; // of its basis
    bool looks_for_moved = false;   // it has none: something else here may have its content
  };

  void count_on(std::size_t index);
  std::optional<Source> source_of(const Entry& entry, const Entry* here);
  awaitable<std::string> find_moved(std::size_t index);
  awaitable<bool> ask(std::size_t index, Source source);
  awaitable<bool> ask_with_sums(std::size_t index, std::vector<std::string> paths);
  awaitable<bool> send_sums(Circuit& circuit, const Basis& basis);
  awaitable<std::optional<Digest>> digest_of(std::string path);

  /// A file here whose digest is to be made, for it may be the same there.
  struct Compared {
    std::size_t index = 0;
    std::optional<Source> source; // where the file turns out to be unreadable
  };

  std::deque<Compared> take_small_ones(SmallFilesDigesting& digesting);
  void digested(Compared compared, std::optional<Digest> ours);

  static constexpr std::size_t digests_at_once = 8; // where threads make them

  class SumsOfRun;

  FetchParts of_;
  std::deque<Compared> to_compare_;
  Signal to_compare_grown_;
  std::unordered_map<std::size_t, Source> sources_; // of files that are wanted and not asked for
  std::deque<std::size_t> to_ask_;
  Signal asked_;
  std::unordered_map<std::size_t, Basis> bases_; // of files that are asked for
  std::unordered_map<std::size_t, Moved> moved_;
  Lookalikes lookalikes_; // of what is here, once somebody asks
  bool has_lookalikes_ = false;
};

} // namespace trunkline::sync
