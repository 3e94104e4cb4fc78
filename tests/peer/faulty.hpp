// A medium whose connections a test can break, or whose n-th operation fails.
#pragma once

#include "tests/support/breakpoints.hpp"
#include "transport/medium.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::test {

/// Passes everything on to another medium until a FailPoint strikes or the test breaks the connections.
class FaultyMedium final : public Medium {
 public:
  explicit FaultyMedium(std::shared_ptr<Medium> medium, FailPoint* point = nullptr)
      : state_(std::make_shared<State>()) {
    state_->medium = std::move(medium);
    state_->point = point;
  }

  /// Every connection fails now, without a word to either end.
  void break_all() {
    for (Transport* transport : std::vector(state_->open)) transport->close();
  }

  std::string_view scheme() const noexcept override { return state_->medium->scheme(); }
  std::string_view form() const noexcept override { return state_->medium->form(); }
  bool has_hosts() const noexcept override { return state_->medium->has_hosts(); }
  bool has_ports() const noexcept override { return state_->medium->has_ports(); }
  bool is_local() const noexcept override { return state_->medium->is_local(); }
  awaitable<std::unique_ptr<Transport>> dial(std::string address) override { return dial(state_, std::move(address)); }
  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override {
    return std::make_unique<FaultyListener>(state_, state_->medium->listen(executor, address));
  }

 private:
  struct State {
    std::shared_ptr<Medium> medium;
    FailPoint* point = nullptr;
    std::vector<Transport*> open;

    void step() const {
      if (!point) return;
      if (const auto code = point->step()) throw boost::system::system_error(code, "planted failure");
    }
  };

  class FaultyTransport final : public Transport {
   public:
    FaultyTransport(std::shared_ptr<State> state, std::unique_ptr<Transport> transport)
        : state_(std::move(state)), transport_(std::move(transport)) {
      state_->open.push_back(transport_.get());
    }
    ~FaultyTransport() override { std::erase(state_->open, transport_.get()); }

    awaitable<std::size_t> read_some(std::span<std::byte> into) override {
      state_->step();
      return transport_->read_some(into);
    }
    awaitable<void> write(std::span<const std::span<const std::byte>> pieces) override {
      state_->step();
      return transport_->write(pieces);
    }
    void finish() noexcept override { transport_->finish(); }
    void close() noexcept override { transport_->close(); }
    std::string remote() const override { return transport_->remote(); }
    std::string remote_host() const override { return transport_->remote_host(); }

   private:
    std::shared_ptr<State> state_;
    std::unique_ptr<Transport> transport_;
  };

  class FaultyListener final : public Listener {
   public:
    FaultyListener(std::shared_ptr<State> state, std::unique_ptr<Listener> listener)
        : state_(std::move(state)), listener_(std::move(listener)) {}

    awaitable<std::unique_ptr<Transport>> accept() override { return accept(state_, *listener_); }
    void close() noexcept override { listener_->close(); }
    std::string address() const override { return listener_->address(); }

   private:
    static awaitable<std::unique_ptr<Transport>> accept(std::shared_ptr<State> state, Listener& listener) {
      std::unique_ptr<Transport> transport = co_await listener.accept();
      co_return std::make_unique<FaultyTransport>(std::move(state), std::move(transport));
    }

    std::shared_ptr<State> state_;
    std::unique_ptr<Listener> listener_;
  };

  static awaitable<std::unique_ptr<Transport>> dial(std::shared_ptr<State> state, std::string address) {
    state->step();
    std::unique_ptr<Transport> transport = co_await state->medium->dial(std::move(address));
    co_return std::make_unique<FaultyTransport>(std::move(state), std::move(transport));
  }

  std::shared_ptr<State> state_;
};

} // namespace trunkline::test
