#include "services/gossip/gossip.hpp"

#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <random>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace trunkline::gossip {
namespace {

MachineOptions complete(MachineOptions options) {
  if (!options.random) {
    const auto device = std::make_shared<std::random_device>();
    options.random = [device] { return std::uint64_t{(*device)()} << 32 | (*device)(); };
  }
  return options;
}

LogSink sink_of(const std::function<void(const std::string&)>& log) {
  if (!log) return {};
  return [log](LogLevel, std::string_view text) { log(std::string(text)); };
}

} // namespace

class Gossip::Ticket {
 public:
  Ticket(std::shared_ptr<Gossip> of, const Machine::Send& word)
      : gossip_(std::move(of)), to_(word.to), bytes_(word.bytes.size()) {
    count(true);
  }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;
  ~Ticket() {
    count(false);
    if (gossip_->outstanding_of_[to_].count == 0) gossip_->outstanding_of_.erase(to_);
  }

 private:
  void count(bool one_more) {
    for (Outstanding* const figures : {&gossip_->outstanding_, &gossip_->outstanding_of_[to_]}) {
      figures->count += one_more ? 1 : -1;
      figures->bytes += one_more ? bytes_ : -bytes_;
    }
  }

  std::shared_ptr<Gossip> gossip_; // also when the send is destroyed without having run
  NodeId to_;
  std::size_t bytes_;
};

Gossip::Gossip(std::shared_ptr<Network> network, GossipOptions options)
    : Component(network->executor(), "gossip on " + options.channel), network_(std::move(network)),
      options_(std::move(options)), clock_(Clock::of(executor())),
      machine_(network_->local_id(), complete(options_.machine)), lines_(sink_of(options_.log)), tasks_(executor()) {}

void Gossip::set_book(std::shared_ptr<const Book> book) {
  machine_.set_book(std::move(book), clock_.now());
  flush();
}

RandomId Gossip::broadcast(Payload payload) {
  if (!is_ready() || !conduit_) throw std::logic_error(name() + " is not ready");
  const RandomId id = machine_.broadcast(std::move(payload), clock_.now());
  flush();
  return id;
}

awaitable<void> Gossip::run(std::shared_ptr<Scope> scope) {
  conduit_ = network_->register_processor(
      options_.channel, [self = std::weak_ptr<Component>(weak_from_this())](NodeId from, Message message) {
        return on_word(self, from, std::move(message));
      });
  alarm_ = Clock::of(executor()).make_alarm(executor());
  tasks_.spawn(deliver_all());
  set_ready();
  flush();
  co_await scope->cancelled();
  conduit_.close();
  alarm_.reset();
  deliveries_.clear();
  deliveries_bytes_ = 0;
  deliveries_changed_.notify_all(); // receivers that wait for room
  tasks_.cancel();
  co_await tasks_.join();
}

/// Waits while too many deliveries are queued: the channel's credit then holds the sender back.
awaitable<void> Gossip::on_word(std::weak_ptr<Component> weak, NodeId from, Message message) {
  const auto self = std::static_pointer_cast<Gossip>(weak.lock());
  if (!self) co_return;
  while (self->deliveries_.size() >= self->options_.deliveries_max ||
         self->deliveries_bytes_ >= self->options_.deliveries_bytes_max)
    co_await self->deliveries_changed_.wait();
  if (!self->conduit_) co_return;
  self->machine_.receive(from, message.payload.bytes(), self->clock_.now());
  self->flush();
}

bool Gossip::may_send(const Machine::Send& word) const {
  const std::size_t bytes = outstanding_.bytes + word.bytes.size();
  if (outstanding_.count >= options_.sends_outstanding_max || bytes > options_.sends_bytes_max) return false;
  if (outstanding_.count < options_.sends_outstanding_max / 2 && bytes <= options_.sends_bytes_max / 2) return true;
  const auto theirs = outstanding_of_.find(word.to);
  if (theirs == outstanding_of_.end()) return true;
  const std::size_t members = std::max<std::size_t>(1, machine_.book()->size());
  return theirs->second.count < options_.sends_outstanding_max / 2 / members &&
         theirs->second.bytes + word.bytes.size() <= options_.sends_bytes_max / 2 / members;
}

awaitable<void> Gossip::send(Machine::Send word, [[maybe_unused]] std::unique_ptr<Ticket> ticket) {
  Message message{Payload(std::move(word.bytes))};
  const SendResult sent = co_await conduit_.send(word.to, std::move(message), in_nanoseconds(options_.send_deadline));
  if (sent || word.ticket == 0) co_return;
  machine_.failed(word.ticket, clock_.now());
  flush();
}

/// Handles the machine's outputs. A send that fails at once may cause further ones.
void Gossip::flush() {
  if (!conduit_) return;
  for (std::vector<Machine::Send> sends = machine_.take_sends(); !sends.empty(); sends = machine_.take_sends()) {
    for (Machine::Send& word : sends) {
      if (may_send(word)) {
        auto ticket = std::make_unique<Ticket>(std::static_pointer_cast<Gossip>(shared_from_this()), word);
        tasks_.spawn(send(std::move(word), std::move(ticket)));
      } else {
        machine_.failed(word.ticket, clock_.now());
      }
    }
  }
  for (Machine::Delivery& delivery : machine_.take_deliveries()) {
    deliveries_bytes_ += delivery.payload.size();
    deliveries_.push_back(std::move(delivery));
  }
  if (!deliveries_.empty()) deliveries_changed_.notify_all();

  const Instant due = machine_.deadline();
  if (due >= armed_for_ || !alarm_) return; // the deadline moved away: the alarm rings once in vain and is set again
  armed_for_ = due;
  alarm_->set(due, [this] {
    armed_for_ = Instant::max();
    machine_.tick(clock_.now());
    flush();
  });
}

awaitable<void> Gossip::deliver_all() {
  for (;;) {
    while (deliveries_.empty()) co_await deliveries_changed_.wait();
    Machine::Delivery delivery = std::move(deliveries_.front());
    deliveries_.pop_front();
    deliveries_bytes_ -= delivery.payload.size();
    deliveries_changed_.notify_all(); // there is room
    if (!options_.on_message) continue;
    std::exception_ptr failure;
    try {
      co_await options_.on_message(delivery.origin, std::move(delivery.payload));
      continue;
    } catch (...) {
      failure = std::current_exception();
    }
    co_await throw_if_cancelled();
    lines_.write("on_message", LogLevel::error,
                 fmt::format("{}: a message from {}: {}", name(), delivery.origin.to_string(), what_of(failure)),
                 clock_.now());
  }
}

} // namespace trunkline::gossip
