// One member of a broadcast among members of whom the input chooses what they say, when, and by which book. It delivers
// each message at most once and none of its own, says nothing to itself or to strangers, sends no more than its page
// promises, and stays within its limits.

#include "services/gossip/machine.hpp"
#include "tests/circuit/native/choices.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace trunkline;
using namespace trunkline::gossip;
using namespace std::chrono_literals;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

NodeId id_of(std::uint32_t number) { return *NodeId::from_bytes("member " + std::to_string(100'000'000 + number)); }

constexpr std::uint32_t members_all = 20; // from 12 on in the second book only, and one that is in none
constexpr std::uint32_t self = 3;

class Play {
 public:
  Play(test::Choices& choices, MachineOptions options)
      : choices_(choices), options_(options), machine_(id_of(self), std::move(options)) {
    std::vector<NodeId> ids;
    for (std::uint32_t i = 0; i < members_all - 1; ++i) {
      ids.push_back(id_of(i));
      if (i == 11) books_.push_back(Book::make(1, ids));
    }
    books_.push_back(Book::make(2, ids));
    books_.push_back(Book::make(3, std::vector<NodeId>(ids.begin() + 4, ids.end()))); // without us
    machine_.set_book(books_[choices_.below(2)], now_);
    check();
  }

  void run() {
    while (choices_.more()) {
      step();
      check();
    }
    now_ += 1h;
    machine_.tick(now_);
    check();
    expect(machine_.held_messages() == 0 && machine_.held_bytes() == 0, "something is held for ever");
  }

 private:
  void step() {
    switch (choices_.below(10)) {
      case 0: {
        std::vector<std::byte> bytes(choices_.below(100));
        for (std::byte& byte : bytes) byte = static_cast<std::byte>(choices_.below(256));
        return machine_.receive(any_member(), bytes, now_);
      }
      case 1: now_ += std::chrono::milliseconds(choices_.below(2500)); return machine_.tick(now_);
      case 2:
        if (!tickets_.empty()) machine_.failed(choices_.any_of(tickets_), now_);
        return;
      case 3: return machine_.set_book(choices_.any_of(books_), now_);
      case 4:
        try {
          const std::string text(choices_.below(2000), 'o');
          machine_.broadcast(Payload(text), now_);
        } catch (const std::logic_error&) {} // not in the book, or too much
        return;
      default: return word();
    }
  }

  void word() {
    Word word;
    word.kind = static_cast<Word::Kind>(1 + choices_.below(5));
    word.yes = choices_.one_in(2);
    word.book = choices_.any_of(books_)->version();
    if (choices_.one_in(8)) word.book.number = 77;
    word.origin = any_member();
    word.id = *RandomId::from_bytes("a message " + std::to_string(100'000 + choices_.below(6)));
    const std::string text(word.kind == Word::Kind::rumor ? choices_.below(300) : 0, 'p');
    if (word.kind == Word::Kind::rumor) {
      word.level = static_cast<std::uint8_t>(choices_.below(6));
      word.span = choices_.one_in(2) ? choices_.below(24) : 0;
      word.payload = std::as_bytes(std::span(text));
    }
    machine_.receive(any_member(), word.encode(), now_);
  }

  NodeId any_member() { return id_of(choices_.below(members_all)); }

  void check() {
    for (const Machine::Delivery& delivery : machine_.take_deliveries()) {
      expect(delivery.origin != id_of(self), "its own message was delivered to it");
      expect(delivered_.emplace(delivery.origin, delivery.id).second, "a message was delivered twice");
    }
    for (const Machine::Send& send : machine_.take_sends()) {
      expect(send.to != id_of(self), "a word to itself");
      expect(send.to != id_of(members_all - 1), "a word to a stranger");
      expect(Word::decode(send.bytes).has_value(), "a word that is none");
      if (send.ticket == 0) continue;
      tickets_.push_back(send.ticket);
      if (tickets_.size() > 64) tickets_.erase(tickets_.begin());
    }
    expect(machine_.held_messages() <= options_.held_messages_max, "held_messages_max");
    expect(machine_.held_bytes() <= options_.held_bytes_max, "held_bytes_max");
    expect(machine_.remembered_messages() <= options_.remembered_messages_max, "remembered_messages_max");
    expect(machine_.promises() <= options_.promises_max, "promises_max");
    const MachineCounters& counters = machine_.counters();
    const std::uint64_t levels = levels_of(members_all);
    const std::uint64_t messages = counters.delivered + counters.broadcasts;
    expect(counters.sends <= 2 * levels * (messages + counters.adoptions) + counters.resends + counters.given,
           "more sends than are promised");
  }

  test::Choices& choices_;
  MachineOptions options_;
  Machine machine_;
  Instant now_{1h};
  std::vector<std::shared_ptr<const Book>> books_;
  std::vector<std::uint64_t> tickets_;
  std::set<std::pair<NodeId, RandomId>> delivered_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::ByteChoices choices(std::span<const std::uint8_t>(data, size));
  std::uint64_t drawn = 0;
  MachineOptions options;
  options.strategy = choices.one_in(2) ? "exact+adopt+cleanup" : "adopt+cleanup";
  options.random = [&drawn] { return ++drawn; };
  options.held_messages_max = 40;
  options.held_bytes_max = 20'000;
  options.remembered_messages_max = 100;
  options.remember_for = 24h;
  options.promises_max = 10;
  Play(choices, std::move(options)).run();
  return 0;
}
