#include "peer/links.hpp"

#include "async/clock.hpp"
#include "async/within.hpp"
#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"
#include "peer/session.hpp"
#include "peer/url.hpp"
#include "transport/address.hpp"

#include <boost/asio/error.hpp>
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
  boost::system::error_code code = make_error_code(error::connect_failed); // of the failure
  std::string so_far; // how far it had come when it was cancelled, where the medium says so
};

/// Into the frame of the caller, who also wants to know what it came to when something else ended first.
awaitable<void> attempt(std::shared_ptr<Medium> medium, std::string address, Attempt& outcome) {
  try {
    outcome.transport = co_await medium->dial(std::move(address));
  } catch (const boost::system::system_error& failure) {
    outcome.failure = text_of(failure);
    if (explains_no_connection(failure.code())) outcome.code = failure.code();
    if (failure.code() == asio::error::operation_aborted && outcome.failure != failure.code().message())
      outcome.so_far = outcome.failure;
  } catch (const std::exception& failure) {
    outcome.failure = text_of(failure);
  }
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
      newcomers_(options_.newcomers_max, options_.newcomers_per_host_max), lines_(options_.log), tasks_(executor_) {}

std::string Links::listen(std::string_view address, std::function<void(std::unique_ptr<Transport>)> accepted) {
  std::shared_ptr<Listener> listener = medium_for(options_.media, address)->listen(executor_, address);
  std::string real_address = listener->address();
  listeners_.push_back(listener);
  addresses_.push_back(real_address);
  // It is called inside of accept, which keeps this.
  listener->on_shortage([this, at = listener.get()](const Shortage& shortage) { note_shortage(*at, shortage); });
  tasks_.spawn(accept_all(self(), std::move(listener), std::move(accepted)));
  log(LogLevel::info, "listening on " + real_address);
  return real_address;
}

awaitable<void> Links::accept_all(std::shared_ptr<Links> self, std::shared_ptr<Listener> listener,
                                  std::function<void(std::unique_ptr<Transport>)> accepted) {
  try {
    for (;;) {
      std::unique_ptr<Transport> transport = co_await listener->accept();
      self->take(std::move(transport), accepted);
    }
  } catch (const std::exception& failure) {
    const bool closed = std::ranges::find(self->listeners_, listener) == self->listeners_.end();
    if (!closed)
      self->log(LogLevel::error, fmt::format("no longer listening on {}: {}", listener->address(), failure.what()));
  }
}

/// What the program throws (its dialect, its limit), or no memory for it, costs this connection and no other.
void Links::take(std::unique_ptr<Transport> transport,
                 const std::function<void(std::unique_ptr<Transport>)>& accepted) {
  std::string reason;
  const std::string from = transport->remote();
  try {
    const std::string limit = make_room(*transport);
    if (limit.empty()) {
      accepted(std::move(transport));
      ++counters_.accepted;
      return;
    }
    reason = limit + " reached";
  } catch (...) {
    reason = words_of(std::current_exception());
  }
  ++counters_.turned_away;
  log("turned away", LogLevel::warning, fmt::format("connection from {} turned away: {}", from, reason));
}

/// Makes room for a connection at the cost of one that is over and only waits for its far side to close, or says
/// nothing. Returns the limit that stands against it all the same; then nobody has paid for it.
std::string Links::make_room(const Transport& transport) {
  if (Newcomers::Who who = newcomers_.who_goes(transport.remote_host(), Clock::of(executor_).now()))
    close_newcomer(*static_cast<Link*>(const_cast<void*>(who)));
  std::string limit = owner_.limit_reached(transport);
  if (limit.empty() || cut_one_that_is_over()) return {};
  const Newcomers::Who who = newcomers_.who_gives_way(transport.remote_host(), Clock::of(executor_).now());
  if (!who) return limit;
  Link& link = *static_cast<Link*>(const_cast<void*>(who));
  if (!link.session_ && !link.securing_) return limit; // it has only just come
  const bool was_securing = link.securing_ != nullptr;
  close_newcomer(link);
  if (was_securing) return {};
  return cut_one_that_is_over() ? std::string() : limit;
}

bool Links::cut_one_that_is_over() {
  for (const auto& [number, link] : running_)
    if (link->phase_ == Link::Phase::over && !std::exchange(link->cut_, true)) {
      link->session_->cut();
      return true;
    }
  return false;
}

void Links::close_newcomer(Link& link) {
  ++counters_.turned_away;
  const auto silent_for =
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::of(executor_).now() - link.began_at_);
  std::string text = fmt::format("it has not said who it is for {} ms, and there are {} like it", silent_for.count(),
                                 newcomers_.size());
  log("silent", LogLevel::warning, fmt::format("connection from {} turned away: {}", link.remote_, text));
  newcomers_.erase(&link);
  link.trunk_->with([&](Machine& machine) { machine.close(End(error::handshake_timeout, std::move(text))); });
}

void Links::note_shortage(const Listener& listener, const Shortage& shortage) {
  if (shortage.began)
    log("shortage", LogLevel::warning,
        fmt::format("no descriptor, or no memory, for connections to {}: {}; they are closed until there is",
                    listener.address(), shortage.reason.message()));
  if (!shortage.reason)
    log("shortage over", LogLevel::info,
        fmt::format("connections to {} are accepted again; {} were closed meanwhile", listener.address(),
                    shortage.turned_away));
  counters_.turned_away += shortage.turned_one_away;
}

void Links::refresh_addresses() {
  for (std::size_t at = 0; at < listeners_.size(); ++at) addresses_[at] = listeners_[at]->address();
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
  Attempt made;
  const auto first =
      co_await (attempt(medium, link->dialled_address(), made) || (sleep_for(in_nanoseconds(deadline)) || abandoned(link)));
  co_await throw_if_cancelled();
  if (first.index() != 0) {
    std::string text =
        fmt::format("no answer from {} within connect_deadline {} ms", link->dialled_address(), deadline.count());
    if (!made.so_far.empty()) text += ": " + made.so_far;
    throw_error(error::connect_failed, text);
  }
  if (!made.transport) throw_error(static_cast<error>(made.code.value()), made.failure);
  co_return std::move(made.transport);
}

awaitable<void> Links::run_dialled(std::shared_ptr<Links> self, std::shared_ptr<Link> link) {
  std::unique_ptr<Transport> transport;
  End failure(error::connect_failed);
  try {
    self->owner_.check_dial(*link);
    const TimePoint at = self->owner_.dial_at(*link);
    if (at > Clock::of(self->executor_).now()) co_await (sleep_until(at) || abandoned(link));
    transport = co_await connect(self, link);
  } catch (const boost::system::system_error& thrown) {
    failure.text = text_of(thrown);
    if (explains_no_connection(thrown.code())) failure.code = thrown.code();
  } catch (...) { // its circuits still have to hear that there is no connection
    failure.text = words_of(std::current_exception());
  }
  if (transport && link->phase_ == Link::Phase::connecting) {
    self->set_connected(*link, *transport);
    co_await run_connected(self, link, std::move(transport));
    co_return;
  }
  link->trunk_->disconnected(std::move(failure));
  self->forget(link);
}

void Links::abandon(const std::shared_ptr<Link>& link, End reason) const {
  link->trunk_->with([&](Machine& machine) { machine.close(reason); }); // names the reason to the circuits
  link->trunk_->disconnected(std::move(reason));
  link->abandoned_ = true;
  link->abandon_.notify_all();
}

// Running.

void Links::run(std::shared_ptr<Link> link, std::unique_ptr<Transport> transport, bool is_known) {
  ++count_;
  set_connected(*link, *transport);
  if (!link->dialled() && !is_known) newcomers_.add(link.get(), link->remote_host_, link->began_at_);
  tasks_.spawn(run_connected(self(), std::move(link), std::move(transport)));
}

void Links::set_connected(Link& link, const Transport& transport) const {
  link.phase_ = Link::Phase::handshaking;
  link.began_at_ = Clock::of(executor_).now();
  link.remote_host_ = transport.remote_host();
}

/// The handshake of an accepted transport. Returns what went wrong.
awaitable<End> Links::secure(std::shared_ptr<Links> self, std::shared_ptr<Link> link, Transport* transport) {
  End failure;
  link->securing_ = transport;
  try {
    co_await within(in_nanoseconds(self->options_.handshake_deadline), transport->handshake());
  } catch (const boost::system::system_error& thrown) {
    failure = End(thrown.code(), text_of(thrown));
    if (failure.code == error::timed_out)
      failure = End(error::handshake_timeout, fmt::format("no TLS handshake within handshake_deadline {} ms",
                                                          self->options_.handshake_deadline.count()));
  } catch (const std::exception& thrown) {
    failure = End(error::not_secured, text_of(thrown));
  }
  link->securing_ = nullptr;
  co_return failure;
}

awaitable<void> Links::run_connected(std::shared_ptr<Links> self, std::shared_ptr<Link> link,
                                     std::unique_ptr<Transport> transport) {
  if (transport->needs_handshake()) {
    End failure = co_await secure(self, link, transport.get());
    if (!failure.clean()) {
      transport->close();
      self->newcomers_.erase(link.get());
      link->trunk_->disconnected(std::move(failure));
      self->forget(link);
      co_return;
    }
  }
  if (const ChannelProof* const proof = transport->proof()) {
    link->remote_ = link->dialled() ? std::string(without_pin(link->dialled_address_)) + "#" + proof->far->id.to_string()
                                    : transport->remote();
    link->trunk_->prove(*proof);
  } else {
    link->trunk_->prove(ChannelProof()); // the machine may wait for one
  }
  Session session(link->trunk_, std::move(transport), in_nanoseconds(self->options_.goodbye_deadline));
  link->session_ = &session;
  link->number_ = ++self->number_last_;
  self->running_.emplace(link->number_, link.get());
  co_await session.run();
  self->running_.erase(link->number_);
  self->newcomers_.erase(link.get());
  link->session_ = nullptr;
  self->forget(link);
}

bool Links::note_over(const Link& link) {
  newcomers_.erase(&link);
  if (link.securing_) link.securing_->close(); // there is no session yet that would
  const End& end = link.end_;
  const bool in_order = end.clean() || end.code == error::node_closed || end.code == error::draining;
  log("over", in_order ? LogLevel::info : LogLevel::warning,
      fmt::format("{} with {} is over: {}", link.kind(), link.remote_, end.to_string()));
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

void Links::log(const char* kind, LogLevel level, std::string_view text) noexcept {
  lines_.write(kind, level, text, Clock::of(executor_).now());
}

} // namespace trunkline
