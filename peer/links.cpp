#include "peer/links.hpp"

#include "async/clock.hpp"
#include "async/within.hpp"
#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"
#include "peer/session.hpp"
#include "peer/url.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace trunkline {
namespace {

using namespace asio::experimental::awaitable_operators;

/// The outcome of an attempt to connect: a transport, or why there is none.
struct Attempt {
  std::unique_ptr<Transport> transport;
  std::string failure;
};

awaitable<Attempt> attempt(std::shared_ptr<Medium> medium, std::string address) {
  Attempt outcome;
  try {
    outcome.transport = co_await medium->dial(std::move(address));
  } catch (const std::exception& failure) {
    outcome.failure = text_of(failure);
  }
  co_return outcome;
}

} // namespace

// One link.

Link::Link(std::string dialled_address) : dialled_address_(std::move(dialled_address)), remote_(dialled_address_) {}

Link::Link(std::string remote, std::string remote_host)
    : remote_(std::move(remote)), remote_host_(std::move(remote_host)) {}

void Link::set_remote(std::string remote, std::string remote_host) {
  remote_ = std::move(remote);
  remote_host_ = std::move(remote_host);
}

void Link::set_over(End reason) {
  phase_ = Phase::over;
  end_ = std::move(reason);
}

// Listening.

Links::Links(Executor executor, LinksOptions options, Owner& owner)
    : executor_(std::move(executor)), options_(std::move(options)), owner_(owner),
      turned_away_lines_(options_.log_lines_max), over_lines_(options_.log_lines_max), tasks_(executor_) {}

std::string Links::listen(std::string_view address, std::function<void(std::unique_ptr<Transport>)> accepted) {
  std::shared_ptr<Listener> listener = medium_for(options_.media, address)->listen(executor_, address);
  std::string real_address = listener->address();
  listeners_.push_back(listener);
  addresses_.push_back(real_address);
  tasks_.spawn(accept_all(self(), std::move(listener), std::move(accepted)));
  log(LogLevel::info, "listening on " + real_address);
  return real_address;
}

awaitable<void> Links::accept_all(std::shared_ptr<Links> self, std::shared_ptr<Listener> listener,
                                  std::function<void(std::unique_ptr<Transport>)> accepted) {
  try {
    for (;;) {
      std::unique_ptr<Transport> transport = co_await listener->accept();
      const std::string limit = self->owner_.limit_reached(*transport);
      if (limit.empty()) {
        ++self->counters_.accepted;
        accepted(std::move(transport));
      } else {
        ++self->counters_.turned_away;
        self->log(self->turned_away_lines_, LogLevel::warning,
                  fmt::format("connection from {} turned away: {} reached", transport->remote(), limit));
      }
    }
  } catch (const std::exception& failure) {
    const bool closed = std::ranges::find(self->listeners_, listener) == self->listeners_.end();
    if (!closed)
      self->log(LogLevel::error, fmt::format("no longer listening on {}: {}", listener->address(), failure.what()));
  }
}

void Links::close_listeners() {
  addresses_.clear();
  for (const auto& listener : std::exchange(listeners_, {})) listener->close();
}

// Connecting.

void Links::make_trunk(const std::shared_ptr<Link>& link, std::unique_ptr<Machine> machine) const {
  link->trunk_ = std::make_shared<Trunk>(executor_, std::move(machine), link);
}

void Links::dial(std::shared_ptr<Link> link) {
  ++count_;
  tasks_.spawn(run_dialled(self(), std::move(link)));
}

awaitable<std::unique_ptr<Transport>> Links::connect(std::shared_ptr<Link> link) {
  return connect(self(), std::move(link));
}

awaitable<void> Links::abandoned(std::shared_ptr<Link> link) {
  while (!link->abandoned_) co_await link->abandon_.wait();
}

awaitable<std::unique_ptr<Transport>> Links::connect(std::shared_ptr<Links> self, std::shared_ptr<Link> link) {
  const std::shared_ptr<Medium> medium = medium_for(self->options_.media, link->dialled_address());
  ++self->counters_.dials;
  const auto deadline = self->options_.connect_deadline;
  auto outcome =
      co_await (attempt(medium, link->dialled_address()) || (sleep_for(in_nanoseconds(deadline)) || abandoned(link)));
  co_await throw_if_cancelled();
  if (outcome.index() != 0)
    throw_error(error::connect_failed, fmt::format("no answer from {} within connect_deadline {} ms",
                                                   link->dialled_address(), deadline.count()));
  Attempt& made = std::get<0>(outcome);
  if (!made.transport) throw_error(error::connect_failed, made.failure);
  co_return std::move(made.transport);
}

awaitable<void> Links::run_dialled(std::shared_ptr<Links> self, std::shared_ptr<Link> link) {
  std::unique_ptr<Transport> transport;
  std::string failure;
  try {
    self->owner_.check_dial(*link);
    transport = co_await connect(self, link);
  } catch (const boost::system::system_error& thrown) {
    failure = text_of(thrown);
  }
  if (transport && link->phase_ == Link::Phase::connecting) {
    set_connected(*link, *transport);
    co_await run_connected(self, link, std::move(transport));
    co_return;
  }
  link->trunk_->disconnected(End(error::connect_failed, failure));
  self->forget(link);
}

void Links::abandon(const std::shared_ptr<Link>& link, End reason) const {
  link->trunk_->with([&](Machine& machine) { machine.close(reason); }); // names the reason to the circuits
  link->trunk_->disconnected(std::move(reason));
  link->abandoned_ = true;
  link->abandon_.notify_all();
}

// Running.

void Links::run(std::shared_ptr<Link> link, std::unique_ptr<Transport> transport) {
  ++count_;
  set_connected(*link, *transport);
  tasks_.spawn(run_connected(self(), std::move(link), std::move(transport)));
}

void Links::set_connected(Link& link, const Transport& transport) {
  link.phase_ = Link::Phase::handshaking;
  link.remote_host_ = transport.remote_host();
}

awaitable<void> Links::run_connected(std::shared_ptr<Links> self, std::shared_ptr<Link> link,
                                     std::unique_ptr<Transport> transport) {
  Session session(link->trunk_, std::move(transport), in_nanoseconds(self->options_.goodbye_deadline));
  co_await session.run();
  self->forget(link);
}

bool Links::log_over(const Link& link, bool limited) {
  const End& end = link.end_;
  const bool in_order = end.clean() || end.code == error::node_closed || end.code == error::draining;
  const LogLevel level = in_order ? LogLevel::info : LogLevel::warning;
  std::string line = fmt::format("{} with {} is over: {}", link.kind(), link.remote_, end.to_string());
  if (limited) log(over_lines_, level, std::move(line));
  else log(level, line);
  return in_order;
}

void Links::forget(const std::shared_ptr<Link>& link) {
  --count_;
  owner_.on_gone(link);
  one_gone_.notify_all();
}

awaitable<void> Links::gone(std::shared_ptr<Links> self) {
  while (self->count_ > 0) co_await self->one_gone_.wait();
}

awaitable<void> Links::gone() { return gone(self()); }

// Log lines.

void Links::log(LogLevel level, std::string_view text) const {
  if (options_.log) options_.log(level, escape(text, 4096));
}

void Links::log(LogRate& rate, LogLevel level, std::string text) const {
  if (const auto line = rate.pass(std::move(text), Clock::of(executor_).now())) log(level, *line);
}

} // namespace trunkline
