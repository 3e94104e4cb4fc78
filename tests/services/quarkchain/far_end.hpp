// The far side of one connection, played by a test in frames.
#pragma once

#include "async/within.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "tests/services/quarkchain/protocol/wire.hpp"
#include "transport/transport.hpp"

#include <boost/system/system_error.hpp>

#include <chrono>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::quarkchain::test {

class FarEnd {
 public:
  FarEnd(std::unique_ptr<Transport> transport, Framing framing) : transport_(std::move(transport)), framing_(framing) {}

  static awaitable<void> writes(FarEnd* self, std::string bytes) {
    const std::string kept = std::move(bytes);
    const auto span = as_bytes(kept);
    co_await self->transport_->write(std::span(&span, 1));
  }
  static awaitable<void> says(FarEnd* self, Frame frame) {
    co_await writes(self, quarkchain::test::encode(self->framing_, frame));
  }
  /// A message on the control circuit.
  template <class Message> awaitable<void> says(std::uint8_t op, std::uint64_t rpc_id, const Message& message) {
    return says(this, frame_of(op, rpc_id, message));
  }
  template <class Message> static Frame frame_of(std::uint8_t op, std::uint64_t rpc_id, const Message& message) {
    Frame frame;
    frame.op = op;
    frame.rpc_id = rpc_id;
    frame.payload = quarkchain::encoded(message).text();
    return frame;
  }

  /// The next frame that is like this one in opcode, id and route; others wait for their turn.
  static awaitable<Frame> hears(FarEnd* self, Frame like) {
    for (;;) {
      for (auto heard = self->heard_.begin(); heard != self->heard_.end(); ++heard)
        if (heard->op == like.op && heard->branch == like.branch && heard->cluster_peer_id == like.cluster_peer_id &&
            heard->rpc_id == like.rpc_id) {
          Frame frame = std::move(*heard);
          self->heard_.erase(heard);
          co_return frame;
        }
      const bool more = co_await reads(self);
      if (!more) throw std::runtime_error("the far side has closed the connection, and did not say " + to_string(like));
    }
  }
  /// The next frame whatever it is.
  static awaitable<Frame> hears_any(FarEnd* self) {
    while (self->heard_.empty()) {
      const bool more = co_await reads(self);
      if (!more) throw std::runtime_error("the far side has closed the connection");
    }
    Frame frame = std::move(self->heard_.front());
    self->heard_.pop_front();
    co_return frame;
  }
  template <class Message>
  static awaitable<Message> hears_message(FarEnd* self, std::uint8_t op, std::uint64_t rpc_id) {
    Frame like;
    like.op = op;
    like.rpc_id = rpc_id;
    const Frame frame = co_await hears(self, like);
    co_return decoded<Message>(as_bytes(frame.payload));
  }
  /// Reads until the far side has closed, and returns what it said until then.
  static awaitable<std::string> closed(FarEnd* self) {
    for (;;) {
      bool more = false;
      try {
        more = co_await reads(self);
      } catch (const boost::system::system_error& failure) {
        if (failure.code() == error::timed_out) throw;
      }
      if (!more) break;
    }
    co_return self->rest();
  }
  std::string rest() const { return to_string(std::vector<Frame>(heard_.begin(), heard_.end())); }
  Transport& transport() { return *transport_; }
  void close() { transport_->close(); }

 private:
  static awaitable<bool> reads(FarEnd* self) {
    std::vector<std::byte> buffer(65536);
    const std::size_t read = co_await within(std::chrono::minutes(1), self->transport_->read_some(buffer));
    self->bytes_.append(reinterpret_cast<const char*>(buffer.data()), read);
    for (Frame& frame : quarkchain::test::decode(self->framing_, self->bytes_))
      self->heard_.push_back(std::move(frame));
    co_return read > 0;
  }

  std::unique_ptr<Transport> transport_;
  Framing framing_;
  std::string bytes_;
  std::deque<Frame> heard_;
};

} // namespace trunkline::quarkchain::test
