// What a Taker has heard of the Giver's listing, and what it does about each entry beyond the plan.
#pragma once

#include "services/sync/budgets.hpp"
#include "services/sync/entry.hpp"
#include "services/sync/report.hpp"
#include "services/sync/taker_voice.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

namespace trunkline::sync {

/// What is remembered of a Giver's listing: the entries of which something is still to be done, by their place in it.
/// The parts of a Taker share one listing, which outlives them.
class IncomingListing {
 public:
  explicit IncomingListing(ListingShare& share) : share_(share) {}
  IncomingListing(const IncomingListing&) = delete;
  IncomingListing& operator=(const IncomingListing&) = delete;

  /// How many entries have come, whatever became of them.
  std::size_t size() const noexcept { return size_; }
  /// The next one; what it takes is charged already.
  void add(Entry entry) { entries_.try_emplace(size_++).first->second.entry = std::move(entry); }
  /// The next one is a place in the list and no more.
  void add_nothing() { ++size_; }
  /// It is needed until the end.
  void stay(std::size_t index) { entries_.at(index).stays = true; }
  /// Nothing more is to be done about it. It is forgotten, unless it stays; idempotent.
  void forget(std::size_t index);

  const Entry& entry(std::size_t index) const { return entries_.at(index).entry; }
  bool knows(std::size_t index) const { return entries_.contains(index); }
  /// Of a symlink that is made: nobody needs it any more.
  std::string take_target(std::size_t index);

  /// What is to change of an entry, see Changes.
  std::uint8_t changes(std::size_t index) const { return entries_.at(index).changes; }
  void set_changes(std::size_t index, std::uint8_t changes) { entries_.at(index).changes = changes; }
  /// An empty directory has its name.
  bool replaces_directory(std::size_t index) const { return entries_.at(index).replaces_directory; }
  void set_replaces_directory(std::size_t index) { entries_.at(index).replaces_directory = true; }
  /// Beside the content, of a file that is compared.
  bool attributes_differ(std::size_t index) const { return entries_.at(index).attributes_differ; }
  void set_attributes_differ(std::size_t index) { entries_.at(index).attributes_differ = true; }

  /// Notes what was done about an entry.
  void say(TakerVoice& voice, Note::Kind kind, std::size_t index, std::uint8_t changed, std::string text = {},
           std::uint64_t bytes = 0) const;

 private:
  struct Incoming {
    Entry entry;
    std::uint8_t changes = 0;
    bool stays = false;
    bool replaces_directory = false;
    bool attributes_differ = false;
  };

  ListingShare& share_;
  std::size_t size_ = 0;
  std::unordered_map<std::size_t, Incoming> entries_;
};

} // namespace trunkline::sync
