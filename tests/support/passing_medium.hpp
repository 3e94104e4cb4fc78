// A medium that passes everything on to another one, for tests that change one thing about it.
#pragma once

#include "transport/medium.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline::test {

class PassingTransport : public Transport {
 public:
  explicit PassingTransport(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}

  awaitable<std::size_t> read_some(std::span<std::byte> into) override { return transport_->read_some(into); }
  awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
    return transport_->write(pieces);
  }
  std::uint64_t write_progress() const noexcept override { return transport_->write_progress(); }
  void finish() noexcept override { transport_->finish(); }
  void close() noexcept override { transport_->close(); }
  std::string remote() const override { return transport_->remote(); }
  std::string remote_host() const override { return transport_->remote_host(); }

 protected:
  std::unique_ptr<Transport> transport_;
};

/// Makes a `Wrapped(transport, state)` of every connection, dialled or accepted.
template <class Wrapped, class State> class PassingMedium : public Medium {
 public:
  PassingMedium(std::shared_ptr<Medium> medium, std::shared_ptr<State> state)
      : medium_(std::move(medium)), state_(std::move(state)) {}

  std::string_view scheme() const noexcept override { return medium_->scheme(); }
  std::string_view form() const noexcept override { return medium_->form(); }
  bool has_hosts() const noexcept override { return medium_->has_hosts(); }
  bool has_ports() const noexcept override { return medium_->has_ports(); }
  bool is_local() const noexcept override { return medium_->is_local(); }
  awaitable<std::unique_ptr<Transport>> dial(std::string address) override {
    std::unique_ptr<Transport> transport = co_await medium_->dial(std::move(address));
    co_return std::make_unique<Wrapped>(std::move(transport), state_);
  }
  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override {
    return std::make_unique<PassingListener>(medium_->listen(executor, address), state_);
  }

 protected:
  std::shared_ptr<Medium> medium_;
  std::shared_ptr<State> state_;

 private:
  class PassingListener final : public Listener {
   public:
    PassingListener(std::unique_ptr<Listener> listener, std::shared_ptr<State> state)
        : listener_(std::move(listener)), state_(std::move(state)) {}
    awaitable<std::unique_ptr<Transport>> accept() override {
      std::unique_ptr<Transport> transport = co_await listener_->accept();
      co_return std::make_unique<Wrapped>(std::move(transport), state_);
    }
    void close() noexcept override { listener_->close(); }
    std::string address() const override { return listener_->address(); }

   private:
    std::unique_ptr<Listener> listener_;
    std::shared_ptr<State> state_;
  };
};

/// Passes so many bytes of what is written, of all who share it, and ends the connection then.
struct Cut {
  std::size_t bytes;
  std::size_t passed = 0;
};
class CuttingTransport final : public PassingTransport {
 public:
  CuttingTransport(std::unique_ptr<Transport> transport, std::shared_ptr<Cut> cut)
      : PassingTransport(std::move(transport)), cut_(std::move(cut)) {}
  awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
    return write(cut_, *transport_, pieces);
  }

 private:
  static awaitable<void> write(std::shared_ptr<Cut> cut, Transport& transport,
                               std::span<const std::span<const std::byte>> pieces) {
    for (std::span<const std::byte> piece : pieces) {
      piece = piece.first(std::min(piece.size(), cut->bytes - cut->passed));
      cut->passed += piece.size();
      if (!piece.empty()) co_await transport.write(std::span(&piece, 1));
      if (cut->passed == cut->bytes) transport.close();
    }
  }
  std::shared_ptr<Cut> cut_;
};

} // namespace trunkline::test
