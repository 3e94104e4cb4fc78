#include "peer/session.hpp"

#include "fragment/quote.hpp"

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace trunkline {
namespace {

using namespace asio::experimental::awaitable_operators;

// Of one write: bytes that were made ready are still in the processor's cache when they are written.
constexpr std::size_t write_bytes_max = 512 << 10;
constexpr std::size_t write_bytes_first = 64 << 10;
constexpr std::size_t write_bytes_min = 16 << 10;
constexpr std::uint64_t moves_at_least = 16 << 10; // within each write_deadline; a write that moves less is stuck
constexpr Duration quick_write = std::chrono::milliseconds(50);
constexpr Duration slow_write = std::chrono::seconds(1);
constexpr std::size_t read_bytes_min = 4 << 10;
constexpr std::size_t read_bytes_max = 128 << 10; // small fragments of one read still fit the processor's cache
constexpr int quiet_reads_max = 4;
constexpr Duration idle_after = std::chrono::seconds(5);

/// The buffer that the transport reads into: small for a quiet connection, large while reads fill it.
class ReadBuffer {
 public:
  std::span<std::byte> space() noexcept { return {bytes_.get(), size_}; }

  void adapt(std::size_t filled_count) {
    if (filled_count == size_ && size_ < read_bytes_max) return resize(std::min(size_ * 4, read_bytes_max));
    quiet_reads_ = filled_count <= size_ / 16 ? quiet_reads_ + 1 : 0;
    if (quiet_reads_ >= quiet_reads_max && size_ > read_bytes_min) resize(read_bytes_min);
  }

 private:
  void resize(std::size_t size) {
    bytes_ = std::make_unique_for_overwrite<std::byte[]>(size);
    size_ = size;
    quiet_reads_ = 0;
  }

  std::size_t size_ = read_bytes_min;
  std::unique_ptr<std::byte[]> bytes_ = std::make_unique_for_overwrite<std::byte[]>(read_bytes_min);
  int quiet_reads_ = 0;
};

} // namespace

Session::Session(std::shared_ptr<Trunk> trunk, std::unique_ptr<Transport> transport, Duration goodbye_deadline)
    : trunk_(std::move(trunk)), transport_(std::move(transport)), goodbye_deadline_(goodbye_deadline),
      alarm_(Clock::of(trunk_->executor()).make_alarm(trunk_->executor())), write_bytes_(write_bytes_first) {}

awaitable<void> Session::run() {
  co_await (pump_in() || pump_out() || watch_deadline());
  alarm_->cancel();

  const auto cancellation = co_await asio::this_coro::cancellation_state;
  const bool cancelled = cancellation.cancelled() != asio::cancellation_type::none;
  const Machine& machine = trunk_->machine();
  if (!cancelled && out_failed_ && !in_ended_ && !machine.over()) {
    // A far side that closed the connection under our write may have said why before: its words are still to be read.
    co_await (pump_in() || sleep_for(goodbye_deadline_));
  } else if (!cancelled && !in_ended_ && !out_failed_) {
    // We said goodbye. Closing now could destroy our last words on their way (unread input makes TCP reset), so we end
    // our direction and wait until the far side, which has then read them, ends its own.
    transport_->finish();
    co_await (discard_in() || sleep_for(goodbye_deadline_));
  }
  transport_->close();
  trunk_->disconnected(failure_ ? std::move(*failure_) : End(error::trunk_lost, "the session was cancelled"));
}

// Never waits for the writer: a far side that is just as busy writing would wait for us in turn.
awaitable<void> Session::pump_in() {
  try {
    // A coroutine that the first read wakes may cancel us: we must be cancellable by then.
    co_await asio::post(asio::use_awaitable);
    ReadBuffer buffer;
    for (;;) {
      const std::span<std::byte> direct = trunk_->read_space(); // where a large payload lies in the end
      const std::span<std::byte> space = direct.empty() ? buffer.space() : buffer.space().first(read_bytes_min);
      std::size_t count = 0;
      if (direct.empty()) {
        count = co_await transport_->read_some(space);
      } else {
        count = co_await transport_->read_scattered(direct, space);
      }
      if (count == 0) {
        failure_.emplace(); // in order; the dialect says what it means
        break;
      }
      const std::size_t direct_count = std::min(count, direct.size());
      Wakeups woken(trunk_->executor());
      if (direct.empty()) {
        trunk_->feed(space.first(count), {}, woken);
      } else {
        trunk_->feed(direct.first(direct_count), space.first(count - direct_count), woken);
      }
      woken.run();
      while (!trunk_->machine().wants_input() && !trunk_->machine().over()) co_await trunk_->input_wanted();
      if (trunk_->machine().over()) break;
      const bool more_waits = count == direct.size() + space.size();
      if (direct.empty()) buffer.adapt(count);
      // A read that need not wait would go on forever: the coroutines that were woken take their fragments first.
      if (more_waits) co_await asio::post(asio::use_awaitable);
    }
    in_ended_ = true;
  } catch (const std::exception& failure) {
    in_ended_ = fail(failure);
  }
}

awaitable<void> Session::pump_out() {
  try {
    std::vector<std::span<const std::byte>> pieces;
    const Machine& machine = trunk_->machine();
    while (!machine.over()) {
      if (!machine.has_output()) {
        if (trunk_->closed()) break; // our last words are written
        co_await trunk_->output_ready();
        continue;
      }
      writing_ = true;
      moved_ = 0;
      const TimePoint began_at = trunk_->now();
      trunk_->collect_output(output_, write_bytes_);
      output_.gather(pieces);
      co_await transport_->write(pieces);
      writing_ = false;
      written_at_ = trunk_->now();
      adapt_writes(output_.bytes, written_at_ - began_at);
      trunk_->written();
    }
  } catch (const std::exception& failure) {
    out_failed_ = fail(failure);
  }
}

/// On a slow link writes are small, so that no fragment waits long behind one.
void Session::adapt_writes(std::size_t bytes, Duration took) {
  const std::size_t before = write_bytes_;
  const bool full = bytes >= write_bytes_; // a smaller write is quick on any link
  if (full && took < quick_write) write_bytes_ = std::min(2 * write_bytes_, write_bytes_max);
  if (took > slow_write) write_bytes_ = std::max(write_bytes_ / 4, write_bytes_min);
  if (write_bytes_ != before) trunk_->set_write_bytes(write_bytes_);
}

awaitable<void> Session::watch_deadline() {
  try {
    while (!trunk_->machine().over()) {
      arm();
      co_await trunk_->deadline_changed();
    }
  } catch (const std::exception& failure) {
    fail(failure);
  }
}

awaitable<void> Session::discard_in() {
  try {
    std::vector<std::byte> bytes(read_bytes_min);
    std::size_t count = 1;
    while (count != 0) count = co_await transport_->read_some(bytes);
  } catch (const std::exception&) {
    // The connection is gone, as it should be.
  }
}

// A deadline that moves away costs nothing: the alarm rings early, finds nothing due and is set again.
void Session::arm() {
  const TimePoint due = trunk_->machine().deadline();
  if (due >= armed_for_) return;
  armed_for_ = due;
  alarm_->set(due, [this] { on_alarm(); });
}

void Session::on_alarm() {
  armed_for_ = TimePoint::max();
  if (const std::uint64_t moved = writing_ ? transport_->write_progress() : 0; moved >= moved_ + moves_at_least) {
    moved_ = moved;
    trunk_->write_progressed();
  }
  trunk_->tick();
  if (!writing_ && trunk_->now() - written_at_ > idle_after) output_ = Output(); // an idle connection holds no buffers
  if (trunk_->machine().over()) return transport_->close(); // wakes both pumps
  arm();
}

// One pump's end cancels the others, and a closed transport aborts its operations: neither is a failure.
bool Session::fail(const std::exception& failure) {
  const auto* thrown = dynamic_cast<const boost::system::system_error*>(&failure);
  if (thrown && thrown->code() == asio::error::operation_aborted) return false;
  const bool explains = thrown && explains_no_connection(thrown->code());
  if (!failure_) failure_.emplace(explains ? thrown->code() : make_error_code(error::trunk_lost), text_of(failure));
  return true;
}

} // namespace trunkline
