#include "transport/connect_race.hpp"

#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "fragment/deadline.hpp"
#include "transport/socket.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <utility>

namespace trunkline {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

/// A connection to a local port without a listener can meet itself, when the port that the system picks for it
/// is the same.
bool connected_to_itself(const tcp::socket& socket) {
  error_code local_failure;
  error_code remote_failure;
  const auto local = socket.local_endpoint(local_failure);
  const auto remote = socket.remote_endpoint(remote_failure);
  return !local_failure && !remote_failure && local == remote;
}

/// The first one's family, the other one, and so on, each in the order given.
std::vector<asio::ip::address> taking_turns(const std::vector<asio::ip::address>& addresses) {
  std::vector<asio::ip::address> firsts;
  std::vector<asio::ip::address> others;
  for (const asio::ip::address& address : addresses)
    (address.is_v6() == addresses.front().is_v6() ? firsts : others).push_back(address);
  std::vector<asio::ip::address> turns;
  for (std::size_t i = 0; i < std::max(firsts.size(), others.size()); ++i) {
    if (i < firsts.size()) turns.push_back(firsts[i]);
    if (i < others.size()) turns.push_back(others[i]);
  }
  return turns;
}

} // namespace

ConnectRace::ConnectRace(const std::vector<asio::ip::address>& addresses, std::uint16_t port, const TcpOptions& options)
    : options_(options.sockets), next_address_delay_(in_nanoseconds(options.next_address_delay)) {
  for (const asio::ip::address& address : taking_turns(addresses)) {
    Attempt attempt;
    attempt.endpoint = tcp::endpoint(address, port);
    attempts_.push_back(attempt);
  }
}

awaitable<std::optional<tcp::socket>> ConnectRace::run(std::shared_ptr<ConnectRace> self) {
  const Executor executor = co_await asio::this_coro::executor;
  Clock& clock = Clock::of(executor);
  Tasks attempts(executor); // those that lose are cancelled when this returns
  const auto alarm = clock.make_alarm(executor);
  std::size_t next = 0;
  while (!self->winner_ && (self->connecting_ > 0 || next < self->attempts_.size())) {
    if (next < self->attempts_.size() && (self->next_is_due_ || self->connecting_ == 0)) {
      self->next_is_due_ = false;
      self->attempts_[next].state = Attempt::State::connecting;
      ++self->connecting_;
      attempts.spawn(attempt(self, next++));
      alarm->set(after(clock.now(), self->next_address_delay_), [race = self.get()] {
        race->next_is_due_ = true;
        race->changed_.notify_all();
      });
    } else {
      co_await self->changed_.wait();
    }
  }
  co_return std::exchange(self->winner_, std::nullopt);
}

awaitable<void> ConnectRace::attempt(std::shared_ptr<ConnectRace> self, std::size_t index) {
  const Executor executor = co_await asio::this_coro::executor;
  const tcp::endpoint endpoint = self->attempts_[index].endpoint;
  tcp::socket socket(executor);
  error_code failure = open_socket(socket, endpoint.protocol());
  if (!failure) {
    set_options(socket.native_handle(), self->options_, true);
    const auto [connected] = co_await socket.async_connect(endpoint, asio::as_tuple(asio::use_awaitable));
    failure = connected;
    if (!failure && connected_to_itself(socket)) failure = asio::error::connection_refused;
  }
  self->finish(index, failure, std::move(socket));
}

void ConnectRace::finish(std::size_t index, const error_code& failure, tcp::socket socket) {
  --connecting_;
  if (!failure && !winner_) {
    winner_.emplace(std::move(socket));
    winner_at_ = attempts_[index].endpoint;
  } else if (failure != asio::error::operation_aborted) {
    attempts_[index].state = Attempt::State::failed;
    attempts_[index].failure = failure_ = failure;
    next_is_due_ = true; // no need to wait for it any longer
  }
  changed_.notify_all();
}

std::string ConnectRace::tried(bool alone) const {
  constexpr std::size_t named_max = 8;
  std::string text;
  std::size_t count = 0;
  for (const Attempt& attempt : attempts_) {
    if (attempt.state == Attempt::State::waiting || ++count > named_max) continue;
    if (!text.empty()) text += "; ";
    if (!alone) text += attempt.endpoint.address().to_string() + ": ";
    text += attempt.state == Attempt::State::failed ? attempt.failure.message() : "no answer";
  }
  if (count > named_max) text += "; and " + std::to_string(count - named_max) + " more";
  return text;
}

} // namespace trunkline
