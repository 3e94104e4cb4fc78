#include "services/gossip/machine.hpp"

#include "services/gossip/machine_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace trunkline::gossip {

Machine::Machine(NodeId self, MachineOptions options)
    : self_(self), options_(std::move(options)), strategy_(Strategy::parse(options_.strategy)) {
  if (!options_.random) throw std::invalid_argument("gossip needs a source of random numbers");
  for (const auto& [name, value] :
       {std::pair("remembered_messages_max", options_.remembered_messages_max),
        std::pair("held_messages_max", options_.held_messages_max),
        std::pair("held_bytes_max", options_.held_bytes_max), std::pair("books_max", options_.books_max),
        std::pair("ack_tries", std::size_t{options_.ack_tries}), std::pair("tries", std::size_t{options_.tries})})
    if (value == 0) throw std::invalid_argument(fmt::format("{} must be at least 1", name));
  books_.push_front(Book::make(0, {}));
}

Machine::~Machine() = default;

Instant Machine::deadline() const noexcept { return due_.empty() ? Instant::max() : due_.begin()->first; }

// Books.

std::shared_ptr<const Book> Machine::find_book(const BookVersion& version) const {
  for (const auto& book : books_)
    if (book->version() == version) return book;
  return nullptr;
}

bool Machine::is_member(const NodeId& node) const {
  return std::any_of(books_.begin(), books_.end(), [&](const auto& book) { return book->find(node).has_value(); });
}

void Machine::set_book(std::shared_ptr<const Book> book, Instant now) {
  const std::shared_ptr<const Book> before = books_.front();
  if (book->version() == before->version()) return;
  if (before->size() == 0) books_.pop_front(); // the one it began with; nothing comes by it
  books_.push_front(std::move(book));
  if (books_.size() > options_.books_max) books_.pop_back();
  for (const auto& [key, rumor] : std::map(rumors_)) {
    if (strategy_->layers().cleans) {
      // Neighbours may be others now, and those that came may have missed it.
      if (!rumor->cleaning) continue;
      rumor->cleaned = 0;
      start_cleaning(*rumor, now);
    } else if (key.first == self_) {
      for (const NodeId& member : books_.front()->members())
        if (member != self_ && !before->find(member)) send_rumor(*rumor, member, Hop{}, 0);
    }
  }
}

// What is kept. Half of it is shared out equally, and is always there for its owner; the other half is for whoever
// comes, and when that is used up, whoever is furthest beyond its share gives way. So one that floods costs the others
// nothing.

std::size_t Machine::share_of(std::size_t limit) const {
  std::size_t members = 1;
  for (const auto& book : books_) members = std::max<std::size_t>(members, book->size());
  return std::max<std::size_t>(1, limit / 2 / members);
}

bool Machine::has_room(std::size_t theirs, std::size_t all, std::size_t more, std::size_t limit) const {
  if (all + more > limit) return false;
  return all + more <= limit / 2 || theirs + more <= share_of(limit);
}

bool Machine::make_room(const NodeId& origin, std::size_t bytes) {
  const Origin used = origins_.contains(origin) ? origins_.at(origin) : Origin();
  if (!has_room(used.remembered, remembered_.size(), 1, options_.remembered_messages_max)) return false;
  while (!has_room(used.held_messages, rumors_.size(), 1, options_.held_messages_max))
    if (!let_go_one_for(origin, &Origin::held_messages, used.held_messages + 1)) return false;
  while (!has_room(used.held_bytes, held_bytes_, bytes, options_.held_bytes_max))
    if (!let_go_one_for(origin, &Origin::held_bytes, used.held_bytes + bytes)) return false;
  return true;
}

/// The oldest message of whoever has most; false when that is not more than `origin` would have. It has been passed on
/// by then, or its originator has only itself to blame.
bool Machine::let_go_one_for(const NodeId& origin, std::size_t Origin::* figure, std::size_t would_have) {
  const auto most = std::max_element(origins_.begin(), origins_.end(), [figure](const auto& one, const auto& other) {
    return one.second.*figure < other.second.*figure;
  });
  if (most == origins_.end() || most->first == origin || most->second.*figure <= would_have) return false;
  std::shared_ptr<Rumor> oldest;
  for (auto held = rumors_.lower_bound({most->first, RandomId()});
       held != rumors_.end() && held->first.first == most->first; ++held)
    if (!oldest || held->second->hold_ticket < oldest->hold_ticket) oldest = held->second;
  let_go(oldest);
  return true;
}

std::shared_ptr<Machine::Rumor> Machine::keep(const Key& key, std::shared_ptr<const Book> book, Payload payload,
                                              Instant now) {
  const auto rumor = std::make_shared<Rumor>();
  rumor->key = key;
  if (book) rumor->here = book->find(self_);
  rumor->book = std::move(book);
  rumor->payload = std::move(payload);
  Origin& origin = origins_[key.first];
  ++origin.held_messages;
  ++origin.remembered;
  origin.held_bytes += rumor->payload.size();
  held_bytes_ += rumor->payload.size();
  rumors_.emplace(key, rumor);
  remembered_.insert(key);
  remembered_in_order_.emplace_back(now + options_.remember_for, key);
  promises_.erase(key);
  Timer hold;
  hold.kind = Timer::Kind::hold;
  hold.key = key;
  rumor->hold_ticket = start_timer(now + options_.hold_for, std::move(hold));
  return rumor;
}

void Machine::let_go(const std::shared_ptr<Rumor>& rumor) {
  Origin& origin = origins_[rumor->key.first];
  --origin.held_messages;
  origin.held_bytes -= rumor->payload.size();
  held_bytes_ -= rumor->payload.size();
  for (const auto& [to, ticket] : rumor->unacked) stop_timer(ticket);
  for (const Rumor::Side& side : rumor->sides) stop_timer(side.ticket);
  stop_timer(rumor->clean_ticket);
  stop_timer(rumor->hold_ticket);
  rumors_.erase(rumor->key);
}

void Machine::forget_old(Instant now) {
  while (!remembered_in_order_.empty() && remembered_in_order_.front().first <= now) {
    const Key key = remembered_in_order_.front().second;
    remembered_in_order_.pop_front();
    if (const auto held = rumors_.find(key); held != rumors_.end()) let_go(std::shared_ptr<Rumor>(held->second));
    remembered_.erase(key);
    const auto origin = origins_.find(key.first);
    if (--origin->second.remembered == 0) origins_.erase(origin);
  }
}

// Time.

std::uint64_t Machine::start_timer(Instant due, Timer timer) {
  const std::uint64_t ticket = ++ticket_last_;
  timer.due = due;
  timers_.emplace(ticket, std::move(timer));
  due_.emplace(due, ticket);
  return ticket;
}

void Machine::stop_timer(std::uint64_t ticket) {
  const auto found = timers_.find(ticket);
  if (found == timers_.end()) return;
  due_.erase({found->second.due, ticket});
  timers_.erase(found);
}

void Machine::tick(Instant now) {
  forget_old(now);
  while (!due_.empty() && due_.begin()->first <= now) {
    const std::uint64_t ticket = due_.begin()->second;
    const Timer timer = timers_.at(ticket);
    stop_timer(ticket);
    on_timer(timer, now);
  }
}

void Machine::on_timer(const Timer& timer, Instant now) {
  const auto found = rumors_.find(timer.key);
  if (found == rumors_.end()) return;
  const std::shared_ptr<Rumor> rumor = found->second;
  switch (timer.kind) {
    case Timer::Kind::ack: return on_no_ack(*rumor, timer, false, now);
    case Timer::Kind::clean: return start_cleaning(*rumor, now);
    case Timer::Kind::question:
      if (timer.tries < options_.tries) return ask(*rumor, timer.side, timer.tries, now);
      rumor->skipped = true;
      return ask_next(*rumor, timer.side, now);
    case Timer::Kind::given:
      if (timer.tries < options_.tries) return give(*rumor, timer.side, timer.tries, now);
      rumor->skipped = true;
      return ask_next(*rumor, timer.side, now);
    case Timer::Kind::hold: return let_go(rumor);
  }
}

void Machine::failed(std::uint64_t ticket, Instant now) {
  const auto entry = timers_.find(ticket);
  if (entry == timers_.end()) return; // answered, or tried again, meanwhile
  if (entry->second.kind != Timer::Kind::ack) {
    ++entry->second.tries; // it is tried again at its time, less often
    return;
  }
  const Timer timer = entry->second;
  const auto found = rumors_.find(timer.key);
  stop_timer(ticket);
  if (found == rumors_.end()) return;
  const std::shared_ptr<Rumor> rumor = found->second;
  on_no_ack(*rumor, timer, true, now);
}

// Words.

void Machine::say(const NodeId& to, Word::Kind kind, const Key& key, bool yes, std::uint64_t ticket) {
  Word word;
  word.kind = kind;
  word.yes = yes;
  word.book = books_.front()->version();
  word.origin = key.first;
  word.id = key.second;
  sends_.push_back({to, word.encode(), ticket});
}

void Machine::receive(const NodeId& from, std::span<const std::byte> bytes, Instant now) {
  forget_old(now);
  const std::optional<Word> word = Word::decode(bytes);
  if (!word || word->payload.size() > options_.payload_bytes_max) {
    ++counters_.refused_malformed;
    return;
  }
  if (from == self_ || !is_member(from) || !is_member(word->origin) || !books_.front()->find(self_)) {
    ++counters_.refused_stranger;
    return;
  }
  switch (word->kind) {
    case Word::Kind::rumor: return on_rumor(from, *word, now);
    case Word::Kind::ack: return on_ack(from, *word, now);
    case Word::Kind::question: return on_question(from, *word, now);
    case Word::Kind::answer: return on_answer(from, *word, now);
    case Word::Kind::later: return on_later(from, *word, now);
  }
}

void Machine::on_rumor(const NodeId& from, const Word& word, Instant now) {
  const Key key(word.origin, word.id);
  const std::shared_ptr<const Book> book = find_book(word.book);
  Hop hop;
  bool passes_on = false;
  if (word.level > 0 && !book) ++counters_.books_unknown;
  if (book && book->find(self_)) {
    hop = {*book->find(self_), word.level, word.span};
    if (!strategy_->is_possible(book->size(), hop)) {
      ++counters_.refused_level;
      return;
    }
    passes_on = word.level > 0;
  } else if (word.level > levels_of(book_members_max)) {
    ++counters_.refused_level;
    return;
  }

  std::shared_ptr<Rumor> rumor;
  if (remembered_.contains(key)) {
    ++counters_.duplicates;
    const auto held = rumors_.find(key);
    if (held != rumors_.end()) rumor = held->second;
    if (!rumor) passes_on = false; // it is too old here
  } else if (word.origin == self_) {
    ++counters_.refused_stranger; // nobody has told us anything of ours that we do not remember
    return;
  } else {
    if (options_.validate && !options_.validate(word.origin, word.payload)) {
      ++counters_.refused_malformed;
      return;
    }
    if (!make_room(word.origin, word.payload.size())) {
      ++counters_.refused_share;
      return;
    }
    Payload payload(word.payload);
    deliveries_.push_back({word.origin, word.id, payload.slice(0, payload.size())}); // shared when it is large
    rumor = keep(key, nullptr, std::move(payload), now);
    ++counters_.delivered;
  }

  if (passes_on) {
    // It has no book here until it comes through the tree; what a neighbour gives says nothing of it. By another book
    // than its first one it is not passed on, and whoever sent it so takes over.
    if (!rumor->book) {
      rumor->book = book;
      rumor->here = book->find(self_);
    }
    passes_on = rumor->book == book && serve(*rumor, hop, now);
  }
  if (word.yes) say(from, Word::Kind::ack, key, passes_on || word.level == 0);
  if (!rumor) return;
  neighbour_has_it(*rumor, from, now);
  if (!strategy_->layers().cleans || rumor->cleaning || rumor->clean_ticket != 0) return;
  if (word.level == 0 && !strategy_->layers().redundant) {
    start_cleaning(*rumor, now);
  } else {
    Timer clean;
    clean.kind = Timer::Kind::clean;
    clean.key = key;
    rumor->clean_ticket = start_timer(now + options_.clean_after, std::move(clean));
  }
}

RandomId Machine::broadcast(Payload payload, Instant now) {
  forget_old(now);
  const std::shared_ptr<const Book> book = books_.front();
  if (!book->find(self_))
    throw std::logic_error(fmt::format("member {} is not in book {} of {} members, and sends nothing by it",
                                       self_.to_string(), book->version().number, book->size()));
  if (payload.size() > options_.payload_bytes_max)
    throw std::length_error(
        fmt::format("message of {} bytes exceeds payload_bytes_max {}", payload.size(), options_.payload_bytes_max));
  if (!make_room(self_, payload.size()))
    throw std::length_error(
        fmt::format("member {} has as many messages under way as one member may have", self_.to_string()));
  const Key key(self_, RandomId::draw(options_.random));
  const std::shared_ptr<Rumor> rumor = keep(key, book, std::move(payload), now);
  ++counters_.broadcasts;
  serve(*rumor, strategy_->whole(book->size(), *rumor->here), now);
  if (strategy_->layers().redundant)
    for (std::uint32_t offset = 1; offset < book->size(); ++offset)
      send_rumor(*rumor, book->members()[(*rumor->here + offset) % book->size()], Hop{}, 0);
  if (strategy_->layers().cleans) {
    Timer clean;
    clean.kind = Timer::Kind::clean;
    clean.key = key;
    rumor->clean_ticket = start_timer(now + options_.clean_after, std::move(clean));
  }
  return key.second;
}

} // namespace trunkline::gossip
