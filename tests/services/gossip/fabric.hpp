// Many gossip machines and the words under way between them, in virtual time: words may be delayed, lost or refused,
// and members may be dead or hostile. A hundred broadcasts take no time, and one seed gives one run.
#pragma once

#include "services/gossip/machine.hpp"
#include "transport/sim/random.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace trunkline::test {

using namespace std::chrono_literals;

class Fabric {
 public:
  struct Options {
    std::string strategy{gossip::Strategy::default_names};
    std::uint32_t loss_per_million = 0;
    bool refuses = true; // the dead: a send to them fails soon; otherwise nothing is heard of it
    std::function<void(gossip::MachineOptions&)> tweak;
  };

  Fabric(std::uint32_t size, std::uint64_t seed) : Fabric(size, seed, Options()) {}
  Fabric(std::uint32_t size, std::uint64_t seed, Options options) : random(seed), options_(std::move(options)) {
    for (std::uint32_t i = 0; i < size; ++i) ids.push_back(draw_id());
    std::sort(ids.begin(), ids.end());
    book = gossip::Book::make(1, ids);
    dead.resize(size);
    for (std::uint32_t i = 0; i < size; ++i) {
      numbers[ids[i]] = i;
      machines.push_back(make_machine(ids[i]));
      machines.back()->set_book(book, now);
    }
    delivered.resize(size);
  }

  NodeId draw_id() {
    return NodeId::draw([this] { return random(); });
  }
  /// A member that is in no book yet; returns its number.
  std::uint32_t add(NodeId id) {
    ids.push_back(id);
    numbers[id] = static_cast<std::uint32_t>(ids.size() - 1);
    machines.push_back(make_machine(id));
    delivered.emplace_back();
    dead.push_back(false);
    return numbers[id];
  }
  RandomId broadcast(std::uint32_t from, const std::string& text = "hello") {
    const RandomId id = machines[from]->broadcast(Payload(text), now);
    collect(from);
    return id;
  }
  /// A word from anybody to a member, past all rules.
  void inject(const NodeId& from, std::uint32_t to, const gossip::Word& word) {
    arrive(now + 1ms, from, to, word.encode());
  }
  void set_book(std::uint32_t member, const std::shared_ptr<const gossip::Book>& next) {
    machines[member]->set_book(next, now);
    collect(member);
  }
  /// Until nothing is under way and no machine waits for anything before then.
  void run_for(std::chrono::steady_clock::duration time) { run_until(now + time); }
  void run_until(gossip::Instant end) {
    for (;;) {
      gossip::Instant next = events_.empty() ? gossip::Instant::max() : std::get<0>(events_.begin()->first);
      std::uint32_t ticking = 0;
      bool tick = false;
      for (std::uint32_t i = 0; i < machines.size(); ++i) {
        if (dead[i] || machines[i]->deadline() >= next) continue;
        next = machines[i]->deadline();
        ticking = i;
        tick = true;
      }
      if (next > end) break;
      now = std::max(now, next);
      if (tick) {
        machines[ticking]->tick(now);
        collect(ticking);
      } else {
        const auto event = events_.extract(events_.begin());
        event.mapped()();
      }
    }
    now = end;
  }
  std::uint64_t count(std::uint64_t gossip::MachineCounters::* counter) const {
    std::uint64_t sum = 0;
    for (const auto& machine : machines) sum += machine->counters().*counter;
    return sum;
  }
  /// Members, the dead and the originator aside, that have not got the text exactly once.
  std::vector<std::uint32_t> wrong(const std::string& text, std::uint32_t origin) const {
    std::vector<std::uint32_t> members;
    for (std::uint32_t i = 0; i < machines.size(); ++i) {
      const auto times = static_cast<std::size_t>(std::count(delivered[i].begin(), delivered[i].end(), text));
      if (!dead[i] && times != (i == origin ? 0u : 1u)) members.push_back(i);
    }
    return members;
  }

  sim::Random random;
  gossip::Instant now{1h};
  std::vector<NodeId> ids;
  std::map<NodeId, std::uint32_t> numbers;
  std::shared_ptr<const gossip::Book> book;
  std::vector<std::unique_ptr<gossip::Machine>> machines;
  std::vector<std::vector<std::string>> delivered;
  std::vector<bool> dead;
  std::uint64_t lost = 0;
  /// Hears every word that is sent: from, to, word.
  std::function<void(std::uint32_t, std::uint32_t, const gossip::Word&)> on_word;

 private:
  std::unique_ptr<gossip::Machine> make_machine(const NodeId& id) {
    gossip::MachineOptions options;
    options.strategy = options_.strategy;
    options.random = [this] { return random(); };
    if (options_.tweak) options_.tweak(options);
    return std::make_unique<gossip::Machine>(id, std::move(options));
  }
  std::chrono::milliseconds delay() { return std::chrono::milliseconds(random.between(1, 20)); }
  void at(gossip::Instant when, std::function<void()> event) {
    events_.emplace(std::pair(when, ++sequence_), std::move(event));
  }
  void arrive(gossip::Instant when, NodeId from, std::uint32_t to, std::vector<std::byte> bytes) {
    at(when, [this, from, to, bytes = std::move(bytes)] {
      if (dead[to]) return;
      machines[to]->receive(from, bytes, now);
      collect(to);
    });
  }
  void collect(std::uint32_t from) {
    for (const auto& delivery : machines[from]->take_deliveries())
      delivered[from].emplace_back(delivery.payload.text());
    for (auto& send : machines[from]->take_sends()) {
      const std::uint32_t to = numbers.at(send.to);
      if (on_word) on_word(from, to, *gossip::Word::decode(send.bytes));
      if (dead[to]) {
        if (!options_.refuses) continue;
        at(now + delay(), [this, from, ticket = send.ticket] {
          machines[from]->failed(ticket, now);
          collect(from);
        });
      } else if (random.chance(options_.loss_per_million)) {
        ++lost;
      } else {
        arrive(now + delay(), ids[from], to, std::move(send.bytes));
      }
    }
  }

  Options options_;
  std::map<std::pair<gossip::Instant, std::uint64_t>, std::function<void()>> events_;
  std::uint64_t sequence_ = 0;
};

} // namespace trunkline::test
