#include "transport/sim/medium.hpp"

#include "async/clock.hpp"
#include "fragment/deadline.hpp"
#include "fragment/error.hpp"
#include "transport/address.hpp"
#include "transport/failure.hpp"
#include "transport/sim/accept_queue.hpp"
#include "transport/sim/connection.hpp"

#include <boost/asio/error.hpp>
#include <boost/assert.hpp>

#include <algorithm>
#include <utility>

namespace trunkline::sim {

awaitable<std::unique_ptr<Transport>> AcceptQueue::accept(std::shared_ptr<AcceptQueue> self) {
  while (self->state_ == State::open && self->waiting_.empty()) co_await self->changed_.wait();
  if (self->state_ == State::dead)
    throw_transport_error(asio::error::network_down, "cannot accept on " + self->address_);
  if (self->state_ == State::closed) throw_aborted();
  std::unique_ptr<Transport> accepted = std::move(self->waiting_.front());
  self->waiting_.pop_front();
  co_return accepted;
}

void AcceptQueue::push(std::unique_ptr<Transport> accepted) {
  waiting_.push_back(std::move(accepted));
  changed_.notify_one();
}

void AcceptQueue::end(State state) noexcept {
  if (state_ == State::closed) return;
  state_ = state;
  const auto unaccepted = std::exchange(waiting_, {});
  changed_.notify_all();
}

namespace {

constexpr std::string_view prefix = "sim://";
constexpr std::string_view form_of_address = "sim://host";
constexpr Duration pause_max = std::chrono::minutes(2); // between two tries, as of a system

std::string host_name_of(std::string_view address) {
  const std::string_view name = parse_after(address, prefix, form_of_address);
  return std::string(name.substr(0, name.find(':')));
}

AcceptQueue* find_queue(Host& host, const std::string& address) {
  const auto found = host.listening.find(address);
  return found == host.listening.end() ? nullptr : found->second.get();
}

/// One try: there, in, and back. Null without an answer; the caller then tries again, as a system does.
awaitable<std::unique_ptr<Transport>> knock(std::shared_ptr<Fabric> fabric, Host& from, Host& to, std::string address,
                                            std::string context, TimePoint give_up) {
  co_await sleep_for(fabric->link(from.name, to.name).draw_delay(fabric->random));
  if (!fabric->passes(from.name, to.name)) co_return nullptr;
  AcceptQueue* const queue = find_queue(to, address);
  const bool taken = queue && queue->takes_more();
  std::unique_ptr<Transport> dialled;
  if (taken) {
    const auto connection = fabric->connect(from, to, address);
    dialled = make_transport(fabric, connection, 0);
    queue->push(make_transport(fabric, connection, 1));
  }
  Duration pause = fabric->link(to.name, from.name).draw_delay(fabric->random);
  co_await sleep_for(pause);
  while (!fabric->passes(to.name, from.name)) { // the answer is repeated until it arrives
    if (fabric->schedule->now() >= give_up) throw_transport_error(asio::error::timed_out, context);
    pause = std::clamp<Duration>(2 * pause, std::chrono::milliseconds(100), pause_max);
    co_await sleep_for(pause);
  }
  if (!taken) throw_transport_error(asio::error::connection_refused, context);
  co_return dialled;
}

awaitable<std::unique_ptr<Transport>> dial_sim(std::shared_ptr<Fabric> fabric, Host& from, std::string address) {
  const std::string context = "cannot connect to " + address;
  const std::string name = host_name_of(address);
  Host* const to = fabric->find_host(name);
  if (from.state != HostState::up) throw_transport_error(asio::error::network_down, context);
  if (!to) throw_transport_error(asio::error::host_not_found, context);

  const TimePoint give_up = after(fabric->schedule->now(), fabric->connect_timeout);
  Duration pause = std::chrono::seconds(1);
  while (fabric->schedule->now() < give_up) {
    std::unique_ptr<Transport> dialled = co_await knock(fabric, from, *to, address, context, give_up);
    if (dialled) co_return dialled;
    if (from.state != HostState::up) throw_transport_error(asio::error::network_down, context);
    co_await sleep_for(std::min(pause, give_up - fabric->schedule->now()));
    pause = std::min(2 * pause, pause_max);
  }
  throw_transport_error(asio::error::timed_out, context);
}

class SimListener final : public Listener {
 public:
  SimListener(std::shared_ptr<Fabric> fabric, Host& host, std::shared_ptr<AcceptQueue> queue)
      : fabric_(std::move(fabric)), host_(host), queue_(std::move(queue)) {}
  ~SimListener() override { close(); }

  awaitable<std::unique_ptr<Transport>> accept() override { return AcceptQueue::accept(queue_); }
  void close() noexcept override {
    if (find_queue(host_, queue_->address()) == queue_.get()) host_.listening.erase(queue_->address());
    queue_->close();
  }
  std::string address() const override { return queue_->address(); }

 private:
  std::shared_ptr<Fabric> fabric_;
  Host& host_;
  std::shared_ptr<AcceptQueue> queue_;
};

class SimMedium final : public Medium {
 public:
  SimMedium(std::shared_ptr<Fabric> fabric, const std::string& host)
      : fabric_(std::move(fabric)), host_(fabric_->host(host)) {}

  std::string_view scheme() const noexcept override { return scheme_of(prefix); }
  std::string_view form() const noexcept override { return form_of_address; }
  bool has_hosts() const noexcept override { return true; }
  bool has_ports() const noexcept override { return false; }
  bool is_local() const noexcept override { return true; }

  awaitable<std::unique_ptr<Transport>> dial(std::string address) override {
    return dial_sim(fabric_, host_, std::move(address));
  }

  std::unique_ptr<Listener> listen(const Executor&, std::string_view where) override {
    const std::string address(where);
    const std::string context = "cannot listen on " + address;
    if (host_name_of(address) != host_.name) throw_transport_error(asio::error::host_not_found, context);
    if (host_.state != HostState::up) throw_transport_error(asio::error::network_down, context);
    auto queue = std::make_shared<AcceptQueue>(address);
    if (!host_.listening.emplace(address, queue).second) throw_transport_error(asio::error::address_in_use, context);
    return std::make_unique<SimListener>(fabric_, host_, std::move(queue));
  }

 private:
  std::shared_ptr<Fabric> fabric_;
  Host& host_;
};

} // namespace

std::shared_ptr<Medium> make_medium(std::shared_ptr<Fabric> fabric, const std::string& host) {
  return std::make_shared<SimMedium>(std::move(fabric), host);
}

} // namespace trunkline::sim
