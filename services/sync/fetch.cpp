#include "services/sync/fetch.hpp"

#include "services/sync/file_digest.hpp"
#include "services/sync/path.hpp"
#include "services/sync/plan.hpp"

#include <cstdint>
#include <limits>

namespace trunkline::sync {
namespace {

std::uint64_t add(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t sum = a + b;
  return sum < a ? std::numeric_limits<std::uint64_t>::max() : sum;
}

std::optional<Status> status_of(Root& root, const std::string& path) {
  return root.directory(parent_of(path))->status(std::string(name_of(path)));
}

} // namespace

void Fetch::want(std::size_t index) {
  count_on(index);
  if (options_.dry_run) return differs(index);
  wants_.want(index, std::nullopt);
}

awaitable<void> Fetch::compare(std::size_t index) {
  std::optional<Digest> ours = co_await digest_of_ours(listing_.entries[index].path);
  if (!ours) {
    want(index);
  } else {
    count_on(index);
    wants_.want(index, std::move(ours));
  }
}

void Fetch::differs(std::size_t index) {
  ++voice_.progress().files_done;
  listing_.say(voice_, Note::Kind::sent, index, listing_.changes[index], {}, listing_.entries[index].size);
}

void Fetch::count_on(std::size_t index) {
  Progress& progress = voice_.progress();
  ++progress.files_total;
  progress.bytes_total = add(progress.bytes_total, listing_.entries[index].size);
}

bool Fetch::link(const Entry& entry, const Entry* here, bool is_same) {
  if (!options_.link_root || options_.checksum) return false;
  try {
    const std::shared_ptr<Directory> at = options_.link_root->directory(parent_of(entry.path));
    const std::optional<Status> there = at->status(std::string(name_of(entry.path)));
    if (!there || !is_same_file(entry, *there)) return false;
    if (here && here->type == EntryType::file && tree_) {
      const std::optional<Status> ours = status_of(tree_->root(), entry.path);
      if (ours && ours->device == there->device && ours->inode == there->inode) return false;
    }
    if (!options_.dry_run) tree_->link_file(entry.path, *at, is_same);
  } catch (const FileError&) {
    return false; // it is sent, then, and says what is wrong with this side if it meets it
  }
  ++voice_.report().linked;
  return true;
}

bool Fetch::is_there(std::size_t index) {
  if (options_.checksum) return false; // size and time prove nothing then
  const Entry& entry = listing_.entries[index];
  try {
    const std::optional<Status> found = status_of(tree_->root(), entry.path);
    if (!found || !is_same_file(entry, *found)) return false;
  } catch (const FileError&) {
    return false;
  }
  ++voice_.report().unchanged;
  ++voice_.progress().files_done;
  voice_.progress().bytes_done = add(voice_.progress().bytes_done, entry.size);
  return true;
}

/// A file of ours that cannot be read is simply wanted.
awaitable<std::optional<Digest>> Fetch::digest_of_ours(std::string path) {
  try {
    const FileDigest found = co_await digest_file(budgets_, tree_->root().directory(parent_of(path)),
                                                  std::string(name_of(path)), voice_.shared_progress());
    if (found.unchanged) co_return found.digest;
  } catch (const FileError&) {}
  co_return std::nullopt;
}

} // namespace trunkline::sync
