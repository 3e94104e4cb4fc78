#include "transport/sim/connection.hpp"

#include "fragment/deadline.hpp"
#include "transport/failure.hpp"

#include <boost/asio/error.hpp>
#include <boost/assert.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace trunkline::sim {

Connection::Connection(Fabric& fabric, std::uint64_t number, Host& dialler, Host& listener, std::string address)
    : fabric_(fabric), number_(number), hosts_{&dialler, &listener},
      links_{&fabric.link(dialler.name, listener.name), &fabric.link(listener.name, dialler.name)},
      address_(std::move(address)) {}

awaitable<std::size_t> Connection::read(std::shared_ptr<Connection> self, int end, std::span<std::byte> into) {
  BOOST_ASSERT_MSG(!into.empty(), "a read of no bytes could not tell its result from the end");
  Flow& flow = self->flows_[1 - end];
  for (;;) {
    if (self->states_[end] == State::closed || self->states_[end] == State::dead) self->throw_state(end, "read from");
    if (!flow.arrived.empty()) break;
    if (flow.end_arrived) co_return 0;
    if (self->states_[end] != State::open) self->throw_state(end, "read from");
    co_await flow.readable.wait();
  }
  const std::size_t bytes = self->take(flow, into);
  flow.writable.notify_all();
  co_return bytes;
}

std::size_t Connection::take(Flow& flow, std::span<std::byte> into) noexcept {
  const std::span<const std::byte> first = std::span(flow.arrived.front()).subspan(flow.arrived_offset);
  const std::size_t bytes = std::min(into.size(), first.size());
  std::memcpy(into.data(), first.data(), bytes);
  flow.held_bytes -= bytes;
  flow.read_bytes += bytes;
  flow.arrived_offset += bytes;
  if (bytes == first.size()) {
    flow.arrived.pop_front();
    flow.arrived_offset = 0;
  }
  return bytes;
}

awaitable<void> Connection::write(std::shared_ptr<Connection> self, int end,
                                  std::span<const std::span<const std::byte>> pieces) {
  Flow& flow = self->flows_[end];
  std::vector<std::byte> gathered;
  flow.read_before_write = flow.read_bytes;
  for (std::span<const std::byte> piece : pieces) {
    while (!piece.empty()) {
      if (self->states_[end] != State::open) self->throw_state(end, "write to");
      if (flow.finished) throw_aborted();
      const std::size_t limit = self->link_from(end).options.buffer_bytes_max;
      const std::size_t room = limit - std::min(limit, flow.held_bytes);
      const std::span<const std::byte> taken = piece.first(std::min(room, piece.size()));
      gathered.insert(gathered.end(), taken.begin(), taken.end());
      flow.held_bytes += taken.size();
      piece = piece.subspan(taken.size());
      if (piece.empty()) break;
      self->send(end, std::exchange(gathered, {}));
      // Until half of it is free: a writer that fills every hole at once would send ever smaller pieces.
      while (self->states_[end] == State::open && flow.held_bytes > limit / 2) co_await flow.writable.wait();
    }
  }
  if (self->states_[end] != State::open) self->throw_state(end, "write to");
  self->send(end, gathered);
}

/// Cuts the bytes into deliveries that arrive after those already sent.
void Connection::send(int end, std::span<const std::byte> bytes) {
  Flow& flow = flows_[end];
  Link& link = link_from(end);
  while (!bytes.empty()) {
    const std::size_t size = link.cut(bytes.size(), fabric_.random);
    TimePoint arrival = link.arrival(size, fabric_.schedule->now(), fabric_.random);
    if (!flow.in_flight.empty()) arrival = std::max(arrival, flow.in_flight.back().arrival);
    const auto part = bytes.first(size);
    flow.in_flight.push_back({Delivery::Kind::bytes, arrival, {part.begin(), part.end()}});
    bytes = bytes.subspan(size);
  }
  pump(end);
}

void Connection::send_mark(int end, Delivery::Kind kind) {
  Flow& flow = flows_[end];
  TimePoint arrival = after(fabric_.schedule->now(), link_from(end).draw_delay(fabric_.random));
  if (!flow.in_flight.empty()) arrival = std::max(arrival, flow.in_flight.back().arrival);
  flow.in_flight.push_back({kind, arrival, {}});
  pump(end);
}

/// Schedules the first delivery in flight, unless something holds it up; whatever removes the obstacle pumps again.
void Connection::pump(int end) {
  Flow& flow = flows_[end];
  if (flow.next || flow.lost || flow.in_flight.empty()) return;
  const Link& link = link_from(end);
  if (link.partitioned || hosts_[1 - end]->state == HostState::powered_off) return;
  const TimePoint when = std::max(flow.in_flight.front().arrival, link.stalled_until);
  flow.next = fabric_.schedule->at(when, [self = shared_from_this(), end] { self->deliver(end); });
}

/// One delivery per event: the reader gets a turn before the next.
void Connection::deliver(int end) {
  Flow& flow = flows_[end];
  const int to = 1 - end;
  flow.next = {};
  if (flow.lost || flow.in_flight.empty()) return;
  const bool held_up = !link_from(end).passes(fabric_.schedule->now()) || hosts_[to]->state == HostState::powered_off;
  if (held_up || flow.in_flight.front().arrival > fabric_.schedule->now()) return pump(end);

  const auto alive = shared_from_this();
  Delivery delivery = std::move(flow.in_flight.front());
  flow.in_flight.pop_front();
  fabric_.trace("deliver", 2 * number_ + static_cast<std::uint64_t>(to), delivery.bytes.size());
  fabric_.hash.mix(delivery.bytes);
  if (states_[to] == State::open) {
    deliver_to_open(flow, to, std::move(delivery));
  } else if (states_[to] != State::broken && delivery.kind == Delivery::Kind::bytes) {
    flow.held_bytes -= delivery.bytes.size();
    send_mark(to, Delivery::Kind::reset); // there is no reader: says so, as a system does
  } else if (states_[to] == State::dead && delivery.kind == Delivery::Kind::end) {
    send_mark(to, Delivery::Kind::reset);
  }
  pump(end);
}

void Connection::deliver_to_open(Flow& flow, int to, Delivery delivery) {
  switch (delivery.kind) {
    case Delivery::Kind::bytes: flow.arrived.push_back(std::move(delivery.bytes)); break;
    case Delivery::Kind::end: flow.end_arrived = true; break;
    case Delivery::Kind::reset: return set_state(to, State::broken);
  }
  flow.readable.notify_all();
}

void Connection::finish(int end) noexcept {
  if (states_[end] == State::open && !std::exchange(flows_[end].finished, true)) send_mark(end, Delivery::Kind::end);
}

void Connection::close(int end) noexcept {
  if (states_[end] == State::closed) return;
  const bool was_open = states_[end] == State::open;
  Flow& unread = flows_[1 - end];
  const bool left_unread = !unread.arrived.empty();
  const auto alive = shared_from_this();
  fabric_.trace("close", 2 * number_ + static_cast<std::uint64_t>(end), left_unread);
  if (was_open && left_unread) send_mark(end, Delivery::Kind::reset);
  else if (was_open && !flows_[end].finished) send_mark(end, Delivery::Kind::end);
  set_state(end, State::closed);
}

void Connection::reset() {
  const auto alive = shared_from_this();
  fabric_.trace("reset", number_, 0);
  for (const int end : {0, 1}) {
    flows_[end].in_flight.clear();
    if (states_[end] == State::open) set_state(end, State::broken);
  }
}

void Connection::crash(int end, Crash how) {
  if (states_[end] == State::closed) return;
  const auto alive = shared_from_this();
  if (how == Crash::reset && states_[end] == State::open) send_mark(end, Delivery::Kind::reset);
  set_state(end, State::dead);
}

/// Notifies last; forgets the connection when it cannot be observed any more.
void Connection::set_state(int end, State state) {
  states_[end] = state;
  if (state == State::closed || state == State::dead) {
    Flow& unread = flows_[1 - end];
    unread.arrived.clear();
    unread.arrived_offset = 0;
  }
  if (states_[0] != State::open && states_[1] != State::open) {
    for (Flow& flow : flows_) {
      fabric_.schedule->cancel(std::exchange(flow.next, {}));
      flow.in_flight.clear();
    }
    fabric_.forget(number_);
  }
  flows_[1 - end].readable.notify_all();
  flows_[end].writable.notify_all();
}

void Connection::retransmit(int end) {
  constexpr std::uint64_t timeout_max = 200'000'000; // nanoseconds until a sender notices that the way is free
  Flow& flow = flows_[end];
  if (flow.in_flight.empty() || flow.lost) return;
  const TimePoint there = after(fabric_.schedule->now(), link_from(end).draw_delay(fabric_.random));
  const TimePoint earliest = after(there, std::chrono::nanoseconds(fabric_.random.below(timeout_max)));
  for (Delivery& delivery : flow.in_flight) delivery.arrival = std::max(delivery.arrival, earliest);
  pump(end);
}

void Connection::throw_state(int end, const char* doing) const {
  const std::string context = std::string("cannot ") + doing + " " + remote(end);
  switch (states_[end]) {
    case State::broken: throw_transport_error(asio::error::connection_reset, context);
    case State::dead: throw_transport_error(asio::error::connection_aborted, context);
    case State::open:
    case State::closed: break;
  }
  throw_aborted();
}

std::string Connection::remote(int end) const {
  return end == 0 ? address_ : "sim://" + hosts_[0]->name + "#" + std::to_string(number_);
}

std::string Connection::describe() const {
  static constexpr const char* words[] = {"open", "closed", "broken", "dead"};
  std::string text = "connection " + std::to_string(number_);
  for (const int end : {0, 1}) {
    const Flow& sent = flows_[end];
    text += std::string(end == 0 ? ", " : "; ") + hosts_[end]->name + " " + words[static_cast<int>(states_[end])] +
            " with " + std::to_string(sent.held_bytes) + " bytes sent and not read" + (sent.lost ? ", lost" : "");
  }
  return text;
}

namespace {

class SimTransport final : public Transport {
 public:
  SimTransport(std::shared_ptr<Fabric> fabric, std::shared_ptr<Connection> connection, int end)
      : fabric_(std::move(fabric)), connection_(std::move(connection)), end_(end) {}
  ~SimTransport() override { close(); }

  awaitable<std::size_t> read_some(std::span<std::byte> into) override {
    return Connection::read(connection_, end_, into);
  }
  awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
    return Connection::write(connection_, end_, pieces);
  }
  std::uint64_t write_progress() const noexcept override { return connection_->write_progress(end_); }
  void finish() noexcept override { connection_->finish(end_); }
  void close() noexcept override { connection_->close(end_); }
  std::string remote() const override { return connection_->remote(end_); }
  std::string remote_host() const override { return connection_->host(1 - end_).name; }

 private:
  std::shared_ptr<Fabric> fabric_;
  std::shared_ptr<Connection> connection_;
  int end_;
};

} // namespace

std::unique_ptr<Transport> make_transport(std::shared_ptr<Fabric> fabric, std::shared_ptr<Connection> connection,
                                          int end) {
  return std::make_unique<SimTransport>(std::move(fabric), std::move(connection), end);
}

} // namespace trunkline::sim
