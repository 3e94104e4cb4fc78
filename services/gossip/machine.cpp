#include "services/gossip/machine.hpp"

#include "fragment/deadline.hpp"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <stdexcept>
#include <utility>

namespace trunkline::gossip {
namespace {

MachineOptions checked(MachineOptions options) {
  if (!options.random) throw std::invalid_argument("gossip needs a source of random numbers");
  for (const auto& [name, value] :
       {std::pair("remembered_messages_max", options.remembered_messages_max),
        std::pair("held_messages_max", options.held_messages_max), std::pair("held_bytes_max", options.held_bytes_max),
        std::pair("books_max", options.books_max), std::pair("ack_tries", std::size_t{options.ack_tries}),
        std::pair("tries", std::size_t{options.tries})})
    if (value == 0) throw std::invalid_argument(fmt::format("{} must be at least 1", name));
  return options;
}

} // namespace

Machine::Machine(NodeId self, MachineOptions options)
    : self_(self), options_(checked(std::move(options))), strategy_(Strategy::parse(options_.strategy)),
      books_(options_.books_max), store_(options_, books_, timers_), outgoing_(books_, counters_),
      spreading_(options_, *strategy_, timers_, outgoing_, counters_),
      cleaning_(self_, options_, books_, store_, timers_, outgoing_, counters_) {}

void Machine::set_book(std::shared_ptr<const Book> book, Instant now) {
  const std::shared_ptr<const Book> before = books_.current();
  if (book->version() == before->version()) return;
  books_.add(std::move(book));
  for (const auto& [key, rumor] : std::map(store_.held())) {
    if (strategy_->layers().cleans) {
      // The neighbours may be others now, and new members may have missed it.
      if (!rumor->cleaning) continue;
      rumor->cleaned = 0;
      cleaning_.start(*rumor, now);
    } else if (key.first == self_) {
      for (const NodeId& member : books_.current()->members())
        if (member != self_ && !before->find(member)) outgoing_.send_rumor(*rumor, member, Hop{}, 0);
    }
  }
}

void Machine::tick(Instant now) {
  store_.forget_old(now);
  while (const std::optional<Timer> timer = timers_.next_due(now)) on_timer(*timer, now);
}

void Machine::on_timer(const Timer& timer, Instant now) {
  const std::shared_ptr<Rumor> rumor = store_.find(timer.key);
  if (!rumor) return;
  switch (timer.kind) {
    case Timer::Kind::ack: return spreading_.on_no_ack(*rumor, timer, false, now);
    case Timer::Kind::clean: return cleaning_.start(*rumor, now);
    case Timer::Kind::question:
    case Timer::Kind::given: return cleaning_.on_no_answer(*rumor, timer, now);
    case Timer::Kind::hold: return store_.let_go(rumor);
  }
}

void Machine::failed(std::uint64_t ticket, Instant now) {
  Timer* const entry = timers_.find(ticket);
  if (!entry) return; // answered, or tried again, meanwhile
  if (entry->kind != Timer::Kind::ack) {
    ++entry->tries; // it is tried again at its time, less often
    return;
  }
  const Timer timer = *entry;
  timers_.stop(ticket);
  if (const std::shared_ptr<Rumor> rumor = store_.find(timer.key)) spreading_.on_no_ack(*rumor, timer, true, now);
}

void Machine::receive(const NodeId& from, std::span<const std::byte> bytes, Instant now) {
  store_.forget_old(now);
  const std::optional<Word> word = Word::decode(bytes);
  if (!word || word->payload.size() > options_.payload_bytes_max) {
    ++counters_.refused_malformed;
    return;
  }
  if (from == self_ || !books_.is_member(from) || !books_.is_member(word->origin) || !books_.current()->find(self_)) {
    ++counters_.refused_stranger;
    return;
  }
  const Key key(word->origin, word->id);
  switch (word->kind) {
    case Word::Kind::rumor: return on_rumor(from, *word, now);
    case Word::Kind::ack: return on_ack(from, *word, now);
    case Word::Kind::question: return cleaning_.on_question(from, key, now);
    case Word::Kind::answer: return cleaning_.on_answer(from, key, word->yes, now);
    case Word::Kind::later: return cleaning_.on_later(from, key, now);
  }
}

void Machine::on_rumor(const NodeId& from, const Word& word, Instant now) {
  const Key key(word.origin, word.id);
  const std::shared_ptr<const Book> book = books_.find(word.book);
  const std::optional<Position> here = book ? book->find(self_) : std::nullopt;
  if (word.level > 0 && !book) ++counters_.books_unknown;
  if (!is_possible(word, here ? book.get() : nullptr)) {
    ++counters_.refused_level;
    return;
  }
  bool passes_on = here && word.level > 0;

  std::shared_ptr<Rumor> rumor;
  if (store_.is_remembered(key)) {
    ++counters_.duplicates;
    rumor = store_.find(key);
    if (!rumor) passes_on = false; // it is too old here
  } else {
    rumor = deliver(word, now);
    if (!rumor) return;
  }

  if (passes_on) {
    // A message has no book here until it comes through the tree; the book that a neighbour names when it brings the
    // message says nothing of the tree. By another book than its first one it is not passed on; its sender takes over.
    if (!rumor->book) {
      rumor->book = book;
      rumor->here = here;
    }
    passes_on = rumor->book == book && spreading_.serve(*rumor, Hop{*here, word.level, word.span}, now);
  }
  if (word.yes) outgoing_.say(from, Word::Kind::ack, key, passes_on || word.level == 0);
  if (!rumor) return;
  cleaning_.neighbour_has_it(*rumor, from, now);
  if (!strategy_->layers().cleans || rumor->cleaning || rumor->clean_ticket != 0) return;
  if (word.level == 0 && !strategy_->layers().redundant) {
    cleaning_.start(*rumor, now);
  } else {
    cleaning_.schedule(*rumor, after(now, options_.clean_after));
  }
}

/// Whether such a level and span can come by this book; by null, by any book.
bool Machine::is_possible(const Word& word, const Book* book) const {
  if (!book) return word.level <= levels_of(book_members_max);
  return strategy_->is_possible(book->size(), Hop{*book->find(self_), word.level, word.span});
}

/// Delivers and keeps a new message; null when it is refused.
std::shared_ptr<Rumor> Machine::deliver(const Word& word, Instant now) {
  if (word.origin == self_) {
    ++counters_.refused_stranger; // a message of ours that we do not remember is a forgery
    return nullptr;
  }
  if (options_.validate && !options_.validate(word.origin, word.payload)) {
    ++counters_.refused_malformed;
    return nullptr;
  }
  if (!store_.make_room(word.origin, word.payload.size())) {
    ++counters_.refused_share;
    return nullptr;
  }
  const Key key(word.origin, word.id);
  Payload payload(word.payload);
  deliveries_.push_back({word.origin, word.id, payload.slice(0, payload.size())}); // shared when it is large
  std::shared_ptr<Rumor> rumor = store_.keep(key, nullptr, std::nullopt, std::move(payload), now);
  cleaning_.fulfil(key);
  ++counters_.delivered;
  return rumor;
}

void Machine::on_ack(const NodeId& from, const Word& word, Instant now) {
  const std::shared_ptr<Rumor> rumor = store_.find({word.origin, word.id});
  if (!rumor) return;
  spreading_.on_ack(*rumor, from, word.yes, now);
  cleaning_.neighbour_has_it(*rumor, from, now);
}

RandomId Machine::broadcast(Payload payload, Instant now) {
  store_.forget_old(now);
  const std::shared_ptr<const Book> book = books_.current();
  const std::optional<Position> here = book->find(self_);
  if (!here)
    throw std::logic_error(fmt::format("member {} is not in book {} of {} members, and sends nothing by it",
                                       self_.to_string(), book->version().number, book->size()));
  if (payload.size() > options_.payload_bytes_max)
    throw std::length_error(
        fmt::format("message of {} bytes exceeds payload_bytes_max {}", payload.size(), options_.payload_bytes_max));
  if (!store_.make_room(self_, payload.size()))
    throw std::length_error(
        fmt::format("member {} has as many messages in flight as one member may have", self_.to_string()));
  const Key key(self_, RandomId::draw(options_.random));
  const std::shared_ptr<Rumor> rumor = store_.keep(key, book, here, std::move(payload), now);
  cleaning_.fulfil(key);
  ++counters_.broadcasts;
  spreading_.serve(*rumor, strategy_->whole(book->size(), *here), now);
  if (strategy_->layers().redundant)
    for (std::uint32_t offset = 1; offset < book->size(); ++offset)
      outgoing_.send_rumor(*rumor, book->members()[(*here + offset) % book->size()], Hop{}, 0);
  if (strategy_->layers().cleans) cleaning_.schedule(*rumor, after(now, options_.clean_after));
  return key.second;
}

} // namespace trunkline::gossip
