#include "tests/sim/planted.hpp"

#include "async/clock.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <utility>

namespace trunkline::sim {
namespace {

constexpr std::array<std::pair<Bug, std::string_view>, 8> names = {{
    {Bug::none, "none"},
    {Bug::drop, "drop"},
    {Bug::duplicate, "duplicate"},
    {Bug::swap, "swap"},
    {Bug::corrupt, "corrupt"},
    {Bug::delay, "delay"},
    {Bug::leak, "leak"},
    {Bug::hoard, "hoard"},
}};

using Pieces = std::span<const std::span<const std::byte>>;
using Bytes = std::vector<std::byte>;

Bytes flatten(Pieces pieces) {
  Bytes bytes;
  for (const auto piece : pieces) bytes.insert(bytes.end(), piece.begin(), piece.end());
  return bytes;
}

/// What all connections of a medium with a bug share.
struct Plant {
  Bug bug;
  std::function<std::uint64_t()> random;
  std::vector<std::shared_ptr<Transport>> leaked; // kept open for as long as there is the medium
};

/// What a connection with a bug and its pending operations share.
struct BuggyState {
  std::shared_ptr<Transport> transport;
  std::shared_ptr<Plant> plant;
  std::uint64_t writes = 0;
  Bytes held; // by swap, until the next write

  /// Lets the handshake pass, and then strikes now and then.
  bool strikes() { return ++writes > 3 && plant->random() % 40 == 0; }
};

awaitable<void> write_bytes(std::shared_ptr<BuggyState> state, Bytes bytes) {
  const std::span<const std::byte> piece(bytes);
  co_await state->transport->write(std::span(&piece, 1));
}

awaitable<void> write(std::shared_ptr<BuggyState> state, Pieces pieces) {
  Bytes held = std::exchange(state->held, {});
  const bool strikes = state->strikes();
  if (strikes && state->plant->bug == Bug::drop) co_return;
  if (strikes && state->plant->bug == Bug::swap && held.empty()) {
    state->held = flatten(pieces);
    co_return;
  }
  if (strikes && state->plant->bug == Bug::delay) co_await sleep_for(std::chrono::seconds(3));
  if (strikes && state->plant->bug == Bug::corrupt) {
    Bytes bytes = flatten(pieces);
    if (bytes.size() > 1000) bytes[bytes.size() / 2] ^= std::byte{1};
    co_await write_bytes(state, std::move(bytes));
    co_return;
  }
  co_await state->transport->write(pieces);
  if (strikes && state->plant->bug == Bug::duplicate) co_await state->transport->write(pieces);
  if (!held.empty()) co_await write_bytes(state, std::move(held));
}

class BuggyTransport final : public Transport {
 public:
  explicit BuggyTransport(std::shared_ptr<BuggyState> state) : state_(std::move(state)) {}
  ~BuggyTransport() override { end(); }

  awaitable<std::size_t> read_some(std::span<std::byte> into) override { return state_->transport->read_some(into); }
  awaitable<void> write(Pieces pieces) override { return sim::write(state_, pieces); }
  void close() noexcept override { end(); }
  std::string remote() const override { return state_->transport->remote(); }
  std::string remote_host() const override { return state_->transport->remote_host(); }

 private:
  void end() noexcept {
    Plant& plant = *state_->plant;
    if (plant.bug == Bug::leak && plant.random() % 2 == 0) {
      plant.leaked.assign(1, state_->transport);
      return;
    }
    state_->transport->close();
  }

  std::shared_ptr<BuggyState> state_;
};

std::unique_ptr<Transport> wrap(std::shared_ptr<Plant> plant, std::unique_ptr<Transport> transport) {
  auto state = std::make_shared<BuggyState>();
  state->transport = std::move(transport);
  state->plant = std::move(plant);
  return std::make_unique<BuggyTransport>(std::move(state));
}

awaitable<std::unique_ptr<Transport>> dial(std::shared_ptr<Plant> plant, std::shared_ptr<Medium> medium,
                                           std::string address) {
  auto transport = co_await medium->dial(std::move(address));
  co_return wrap(std::move(plant), std::move(transport));
}

awaitable<std::unique_ptr<Transport>> accept(std::shared_ptr<Plant> plant, std::shared_ptr<Listener> listener) {
  auto transport = co_await listener->accept();
  co_return wrap(std::move(plant), std::move(transport));
}

class BuggyListener final : public Listener {
 public:
  BuggyListener(std::shared_ptr<Plant> plant, std::unique_ptr<Listener> listener)
      : plant_(std::move(plant)), listener_(std::move(listener)) {}
  ~BuggyListener() override { close(); }

  awaitable<std::unique_ptr<Transport>> accept() override { return sim::accept(plant_, listener_); }
  void close() noexcept override { listener_->close(); }
  std::string address() const override { return listener_->address(); }

 private:
  std::shared_ptr<Plant> plant_;
  std::shared_ptr<Listener> listener_;
};

class BuggyMedium final : public Medium {
 public:
  BuggyMedium(Bug bug, std::shared_ptr<Medium> medium, std::function<std::uint64_t()> random)
      : plant_(std::make_shared<Plant>(Plant{bug, std::move(random), {}})), medium_(std::move(medium)) {}

  std::string_view scheme() const noexcept override { return medium_->scheme(); }
  std::string_view form() const noexcept override { return medium_->form(); }
  bool has_hosts() const noexcept override { return medium_->has_hosts(); }
  bool has_ports() const noexcept override { return medium_->has_ports(); }
  bool is_local() const noexcept override { return medium_->is_local(); }
  awaitable<std::unique_ptr<Transport>> dial(std::string address) override {
    return sim::dial(plant_, medium_, std::move(address));
  }
  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override {
    return std::make_unique<BuggyListener>(plant_, medium_->listen(executor, address));
  }

 private:
  std::shared_ptr<Plant> plant_;
  std::shared_ptr<Medium> medium_;
};

} // namespace

std::optional<Bug> parse_bug(std::string_view name) {
  for (const auto& [bug, known] : names)
    if (known == name) return bug;
  return std::nullopt;
}

std::vector<std::string> bug_names() {
  std::vector<std::string> all;
  for (const auto& [bug, name] : names) all.emplace_back(name);
  return all;
}

std::shared_ptr<Medium> plant(Bug bug, std::shared_ptr<Medium> medium, std::function<std::uint64_t()> random) {
  if (bug == Bug::none || bug == Bug::hoard) return medium;
  return std::make_shared<BuggyMedium>(bug, std::move(medium), std::move(random));
}

} // namespace trunkline::sim
