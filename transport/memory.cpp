#include "transport/memory.hpp"

#include "async/signal.hpp"
#include "transport/address.hpp"
#include "transport/failure.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/assert.hpp>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <utility>
#include <vector>

namespace trunkline {
namespace {

/// One direction of a connection: a ring of bytes, filled by one end and emptied by the other.
/// 0 <= stored_ <= ring_.size(), which is 0 until the first byte comes.
class Pipe {
 public:
  explicit Pipe(std::size_t capacity) : capacity_(capacity) {}

  bool empty() const noexcept { return stored_ == 0; }

  std::size_t push(std::span<const std::byte> bytes) {
    ring_.resize(capacity_);
    const std::size_t taken = std::min(bytes.size(), capacity_ - stored_);
    const std::size_t end = (begin_ + stored_) % capacity_;
    const std::size_t before_wrap = std::min(taken, capacity_ - end);
    std::memcpy(ring_.data() + end, bytes.data(), before_wrap);
    std::memcpy(ring_.data(), bytes.data() + before_wrap, taken - before_wrap);
    stored_ += taken;
    return taken;
  }

  std::size_t pop(std::span<std::byte> into) noexcept {
    const std::size_t given = std::min(into.size(), stored_);
    const std::size_t before_wrap = std::min(given, capacity_ - begin_);
    std::memcpy(into.data(), ring_.data() + begin_, before_wrap);
    std::memcpy(into.data() + before_wrap, ring_.data(), given - before_wrap);
    begin_ = (begin_ + given) % capacity_;
    stored_ -= given;
    return given;
  }

  Signal changed; // something was pushed or popped, or an end closed

 private:
  std::size_t capacity_;
  std::vector<std::byte> ring_;
  std::size_t begin_ = 0;
  std::size_t stored_ = 0;
};

/// Both directions; a coroutine that waits on an end keeps it alive, so either end may be destroyed at any time.
struct Connection {
  explicit Connection(std::size_t buffer_bytes, std::string name)
      : pipes{Pipe(buffer_bytes), Pipe(buffer_bytes)}, address(std::move(name)) {}

  Pipe pipes[2];                  // pipes[i] is filled by end i
  bool finished[2] = {false, false}; // by its own side: nothing more is written
  bool closed[2] = {false, false};   // by its own side
  std::uint64_t taken[2] = {0, 0};   // of its write in progress, by the pipe
  std::string address;
};

awaitable<std::size_t> read(std::shared_ptr<Connection> connection, int end, std::span<std::byte> into) {
  BOOST_ASSERT_MSG(!into.empty(), "a read of no bytes could not tell its result from the end");
  Pipe& pipe = connection->pipes[1 - end];
  while (!connection->closed[end] && pipe.empty() && !connection->closed[1 - end] && !connection->finished[1 - end]) {
    co_await pipe.changed.wait();
    co_await throw_if_cancelled();
  }
  if (connection->closed[end]) throw_aborted();
  if (pipe.empty()) co_return 0;
  const std::size_t bytes = pipe.pop(into);
  pipe.changed.notify_all();
  co_return bytes;
}

awaitable<void> write(std::shared_ptr<Connection> connection, int end,
                      std::span<const std::span<const std::byte>> pieces) {
  Pipe& pipe = connection->pipes[end];
  connection->taken[end] = 0;
  for (std::span<const std::byte> piece : pieces) {
    while (!piece.empty()) {
      if (connection->closed[end] || connection->finished[end]) throw_aborted();
      if (connection->closed[1 - end])
        throw_transport_error(asio::error::broken_pipe, "cannot write to " + connection->address);
      const std::size_t taken = pipe.push(piece);
      piece = piece.subspan(taken);
      connection->taken[end] += taken;
      if (taken > 0) pipe.changed.notify_all();
      else co_await pipe.changed.wait();
    }
  }
}

class MemoryTransport final : public Transport {
 public:
  MemoryTransport(std::shared_ptr<Connection> connection, int end) : connection_(std::move(connection)), end_(end) {}
  ~MemoryTransport() override { close(); }

  awaitable<std::size_t> read_some(std::span<std::byte> into) override { return read(connection_, end_, into); }
  awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
    return trunkline::write(connection_, end_, pieces);
  }
  std::uint64_t write_progress() const noexcept override { return connection_->taken[end_]; }
  void finish() noexcept override {
    if (!std::exchange(connection_->finished[end_], true)) connection_->pipes[end_].changed.notify_all();
  }
  void close() noexcept override {
    if (std::exchange(connection_->closed[end_], true)) return;
    for (Pipe& pipe : connection_->pipes) pipe.changed.notify_all();
  }
  std::string remote() const override { return connection_->address; }
  std::string remote_host() const override { return {}; }

 private:
  std::shared_ptr<Connection> connection_;
  int end_;
};

/// The state of one listener, shared with its pending accepts and known to the names while it is open.
struct Queue {
  Executor executor;
  std::deque<std::unique_ptr<Transport>> waiting; // dialled, not yet accepted
  Signal changed;                                 // something was dialled or accepted, or the listener closed
  bool closed = false;
};

constexpr std::size_t waiting_max = 128; // then dialling waits

awaitable<std::unique_ptr<Transport>> accept(std::shared_ptr<Queue> queue) {
  while (!queue->closed && queue->waiting.empty()) co_await queue->changed.wait();
  if (queue->closed) throw_aborted();
  std::unique_ptr<Transport> transport = std::move(queue->waiting.front());
  queue->waiting.pop_front();
  queue->changed.notify_all();
  co_return transport;
}

constexpr std::string_view prefix = "mem://";
constexpr std::string_view form_of_address = "mem://name";

} // namespace

struct MemoryMedium::Names {
  std::size_t buffer_bytes_max;
  std::map<std::string, std::shared_ptr<Queue>, std::less<>> listening;

  static awaitable<std::unique_ptr<Transport>> dial(std::shared_ptr<Names> names, std::string address);
};

awaitable<std::unique_ptr<Transport>> MemoryMedium::Names::dial(std::shared_ptr<Names> names, std::string address) {
  const Executor executor = co_await asio::this_coro::executor;
  const std::string name(parse_after(address, prefix, form_of_address));
  const auto found = names->listening.find(name);
  const std::shared_ptr<Queue> queue = found == names->listening.end() ? nullptr : found->second;
  while (queue && !queue->closed && queue->waiting.size() >= waiting_max) co_await queue->changed.wait();
  if (!queue || queue->closed) throw_transport_error(asio::error::connection_refused, "cannot connect to " + address);
  BOOST_ASSERT_MSG(queue->executor == executor, "both ends of a memory connection live on one executor");

  const auto connection = std::make_shared<Connection>(names->buffer_bytes_max, address);
  queue->waiting.push_back(std::make_unique<MemoryTransport>(connection, 1));
  queue->changed.notify_all();
  co_return std::make_unique<MemoryTransport>(connection, 0);
}

namespace {

class MemoryListener final : public Listener {
 public:
  MemoryListener(std::string address, std::shared_ptr<Queue> queue, std::function<void()> forget)
      : address_(std::move(address)), queue_(std::move(queue)), forget_(std::move(forget)) {}
  ~MemoryListener() override { close(); }

  awaitable<std::unique_ptr<Transport>> accept() override { return trunkline::accept(queue_); }
  void close() noexcept override {
    if (std::exchange(queue_->closed, true)) return;
    forget_();
    const auto unaccepted = std::exchange(queue_->waiting, {});
    queue_->changed.notify_all();
  }
  std::string address() const override { return address_; }

 private:
  std::string address_;
  std::shared_ptr<Queue> queue_;
  std::function<void()> forget_;
};

} // namespace

MemoryMedium::MemoryMedium(std::size_t buffer_bytes_max) : names_(std::make_shared<Names>()) {
  BOOST_ASSERT_MSG(buffer_bytes_max > 0, "a pipe that holds no byte moves none");
  names_->buffer_bytes_max = buffer_bytes_max;
}

MemoryMedium::~MemoryMedium() = default;

std::string MemoryMedium::address_of(std::string_view name) { return std::string(prefix).append(name); }

std::string_view MemoryMedium::scheme() const noexcept { return scheme_of(prefix); }

std::string_view MemoryMedium::form() const noexcept { return form_of_address; }

awaitable<std::unique_ptr<Transport>> MemoryMedium::dial(std::string address) {
  return Names::dial(names_, std::move(address));
}

std::unique_ptr<Listener> MemoryMedium::listen(const Executor& executor, std::string_view address) {
  const std::string name(parse_after(address, prefix, form_of_address));
  auto queue = std::make_shared<Queue>();
  queue->executor = executor;
  if (!names_->listening.emplace(name, queue).second)
    throw_transport_error(asio::error::address_in_use, "cannot listen on " + std::string(address));
  auto forget = [names = names_, name] { names->listening.erase(name); };
  return std::make_unique<MemoryListener>(std::string(address), std::move(queue), std::move(forget));
}

} // namespace trunkline
