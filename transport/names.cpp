#include "transport/names.hpp"

#include "async/clock.hpp"
#include "async/signal.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/address_v6.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace trunkline {
namespace {

using boost::system::error_code;

error_code error_of(int code) noexcept {
  switch (code) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY: return asio::error::host_not_found;
    case EAI_AGAIN: return asio::error::host_not_found_try_again;
    case EAI_MEMORY: return asio::error::no_memory;
    case EAI_SYSTEM: return error_code(errno, boost::system::system_category());
    default: return asio::error::no_recovery;
  }
}

asio::ip::address address_of(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    return asio::ip::address_v4(ntohl(v4.sin_addr.s_addr));
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, &address, sizeof v6);
  asio::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), v6.sin6_addr.s6_addr, bytes.size());
  return asio::ip::address_v6(bytes, v6.sin6_scope_id);
}

/// A thread inherits the mask of the one that starts it: signals are for the program's own threads.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

} // namespace

Names::Answer Names::ask_system(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_protocol = IPPROTO_TCP;
  addrinfo* found = nullptr;
  Answer answer;
  if (const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); code != 0) {
    answer.failure = error_of(code);
    return answer;
  }
  for (const addrinfo* entry = found; entry; entry = entry->ai_next)
    if (entry->ai_family == AF_INET || entry->ai_family == AF_INET6)
      answer.addresses.push_back(address_of(*entry->ai_addr));
  ::freeaddrinfo(found);
  if (answer.addresses.empty()) answer.failure = asio::error::host_not_found;
  return answer;
}

/// What those who ask share with the threads that look up. A thread holds it for as long as it runs.
/// running <= lookups_max; a lookup is in `queue` exactly while it waits for a thread.
struct Names::State : std::enable_shared_from_this<State> {
  struct Lookup {
    std::string host;
    std::vector<Asker*> askers; // coroutines
    std::size_t blocked = 0;    // callers of look_up_blocking
    bool queued = false;
    std::shared_ptr<const Answer> answer; // once it is there
  };

  State(Ask with, std::size_t max) : ask(std::move(with)), lookups_max(std::max<std::size_t>(max, 1)) {}

  // Each with the mutex held.
  std::shared_ptr<Lookup> join(const std::string& host);
  void leave(const std::shared_ptr<Lookup>& lookup);
  void answer(Lookup& lookup, Answer with);
  void run(std::shared_ptr<Lookup> lookup);

  static void ask_all(const std::shared_ptr<State>& self, std::shared_ptr<Lookup> lookup);

  const Ask ask;
  const std::size_t lookups_max;
  std::mutex mutex; // lint-allow: threads of the resolver hand their answers over here
  std::condition_variable answered;
  std::map<std::string, std::shared_ptr<Lookup>> lookups; // without an answer yet
  std::deque<std::shared_ptr<Lookup>> queue;
  std::size_t running = 0;
};

/// A coroutine that waits for an answer. The thread knows it until it leaves; it leaves before its context is gone,
/// because its frame is destroyed by then.
class Names::Asker {
 public:
  Asker(std::shared_ptr<State> state, const std::string& host, Executor executor)
      : state_(std::move(state)), executor_(std::move(executor)), heard_(std::make_shared<Heard>()) {
    const std::lock_guard lock(state_->mutex);
    lookup_ = state_->join(host);
    if (lookup_->answer) post(lookup_->answer); // no thread could be started
    else lookup_->askers.push_back(this);
  }
  ~Asker() {
    const std::lock_guard lock(state_->mutex);
    std::erase(lookup_->askers, this);
    state_->leave(lookup_);
  }
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  /// From any thread.
  void post(std::shared_ptr<const Answer> answer) {
    asio::post(executor_, [heard = heard_, answer = std::move(answer)] {
      heard->answer = answer;
      heard->changed.notify_all();
    });
  }
  bool was_queued() {
    const std::lock_guard lock(state_->mutex);
    return lookup_->queued;
  }
  void give_up() { // on its executor
    heard_->given_up = true;
    heard_->changed.notify_all();
  }
  bool waits() const noexcept { return !heard_->answer && !heard_->given_up; }
  awaitable<void> changed() { return heard_->changed.wait(); }
  const Answer* answer() const noexcept { return heard_->answer.get(); }

 private:
  /// Of the coroutine's executor alone.
  struct Heard {
    std::shared_ptr<const Answer> answer;
    bool given_up = false;
    Signal changed;
  };

  std::shared_ptr<State> state_;
  Executor executor_;
  std::shared_ptr<Heard> heard_;
  std::shared_ptr<State::Lookup> lookup_;
};

std::shared_ptr<Names::State::Lookup> Names::State::join(const std::string& host) {
  if (const auto found = lookups.find(host); found != lookups.end()) return found->second;
  auto lookup = std::make_shared<Lookup>();
  lookup->host = host;
  lookups.emplace(host, lookup);
  if (running < lookups_max) {
    run(lookup);
  } else {
    lookup->queued = true;
    queue.push_back(lookup);
  }
  return lookup;
}

/// A name that nobody waits for any more is not asked for; one that is being asked for cannot be called off.
void Names::State::leave(const std::shared_ptr<Lookup>& lookup) {
  if (!lookup->queued || !lookup->askers.empty() || lookup->blocked > 0) return;
  std::erase(queue, lookup);
  lookups.erase(lookup->host);
}

void Names::State::answer(Lookup& lookup, Answer with) {
  lookup.answer = std::make_shared<const Answer>(std::move(with));
  lookups.erase(lookup.host);
  for (Asker* const asker : std::exchange(lookup.askers, {})) asker->post(lookup.answer);
  answered.notify_all();
}

void Names::State::run(std::shared_ptr<Lookup> lookup) {
  try {
    const SignalsBlocked blocked;
    std::thread(ask_all, shared_from_this(), lookup).detach(); // nothing can end it before the system answers
    ++running;
  } catch (const std::exception&) { // no thread, or no memory for one
    Answer failed;
    failed.failure = error_code(EAGAIN, boost::system::system_category());
    answer(*lookup, std::move(failed));
  }
}

/// The life of a thread: this lookup, then those that have waited for a thread.
void Names::State::ask_all(const std::shared_ptr<State>& self, std::shared_ptr<Lookup> lookup) {
  while (lookup) {
    Answer answer;
    try {
      answer = self->ask(lookup->host);
      if (!answer.failure && answer.addresses.empty()) answer.failure = asio::error::host_not_found;
    } catch (...) {
      answer.failure = asio::error::no_recovery;
    }
    const std::lock_guard lock(self->mutex);
    self->answer(*lookup, std::move(answer));
    lookup.reset();
    if (self->queue.empty()) {
      --self->running;
    } else {
      lookup = std::move(self->queue.front());
      self->queue.pop_front();
      lookup->queued = false;
    }
  }
}

Names::Names(Ask ask, std::size_t lookups_max) : state_(std::make_shared<State>(std::move(ask), lookups_max)) {}

std::shared_ptr<Names> Names::system() {
  struct OfProcess {
    pid_t process;
    std::shared_ptr<Names> names;
  };
  // Never freed: a thread may still hang in the resolver when the process exits. A forked child has none of the threads
  // that its parent's lookups wait for.
  static std::atomic<const OfProcess*> current = nullptr;
  const OfProcess* seen = current.load();
  if (seen && seen->process == ::getpid()) return seen->names;
  const auto* const made = new OfProcess{::getpid(), std::make_shared<Names>(ask_system)};
  if (current.compare_exchange_strong(seen, made)) return made->names;
  delete made;
  return seen->names;
}

awaitable<Names::Answer> Names::look_up(std::string host, Duration deadline) const {
  return look_up(state_, std::move(host), deadline);
}

awaitable<Names::Answer> Names::look_up(std::shared_ptr<State> state, std::string host, Duration deadline) {
  const Executor executor = co_await asio::this_coro::executor;
  Asker asker(std::move(state), host, executor);
  Clock& clock = Clock::of(executor);
  const auto alarm = clock.make_alarm(executor); // also the work that keeps run() waiting for the answer
  const TimePoint now = clock.now();
  alarm->set(deadline < TimePoint::max() - now ? now + deadline : TimePoint::max(), [&asker] { asker.give_up(); });
  while (asker.waits()) co_await asker.changed();
  Answer answer;
  if (asker.answer()) {
    answer = *asker.answer();
  } else {
    answer.failure = asio::error::timed_out;
    answer.queued = asker.was_queued();
  }
  co_return answer;
}

Names::Answer Names::look_up_blocking(const std::string& host, Duration deadline) const {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  const std::shared_ptr<State::Lookup> lookup = state.join(host);
  ++lookup->blocked;
  const auto there = [&] { return lookup->answer != nullptr; };
  const TimePoint now = std::chrono::steady_clock::now();
  if (deadline < TimePoint::max() - now) {
    state.answered.wait_until(lock, now + deadline, there);
  } else {
    state.answered.wait(lock, there);
  }
  --lookup->blocked;
  if (lookup->answer) return *lookup->answer;
  Answer late;
  late.failure = asio::error::timed_out;
  late.queued = lookup->queued;
  state.leave(lookup);
  return late;
}

std::size_t Names::lookups_running() const {
  const std::lock_guard lock(state_->mutex);
  return state_->running;
}

} // namespace trunkline
