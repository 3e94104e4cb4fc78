#include "transport/tls.hpp"

#include "fragment/error.hpp"
#include "transport/address.hpp"
#include "transport/failure.hpp"
#include "transport/tcp.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>

#include <fmt/format.h>

#include <exception>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

namespace trunkline {
namespace {

constexpr std::string_view tls_scheme = "tls";

/// Makes the encrypted transport of a connection.
using Wrap = std::function<std::unique_ptr<Transport>(const Executor&, std::unique_ptr<Transport>, TlsSide)>;

using ShortageCallback = std::function<void(const Shortage&)>;

class TlsListener final : public Listener {
 public:
  TlsListener(Executor executor, std::unique_ptr<Listener> below, std::shared_ptr<const Identity> identity, Wrap wrap)
      : executor_(std::move(executor)), below_(std::move(below)), identity_(std::move(identity)), wrap_(std::move(wrap)) {}
  ~TlsListener() override { below_->close(); }

  awaitable<std::unique_ptr<Transport>> accept() override { return accept(executor_, below_, wrap_, on_shortage_); }
  void on_shortage(std::function<void(const Shortage&)> callback) override {
    *on_shortage_ = callback;
    below_->on_shortage(std::move(callback));
  }
  void close() noexcept override { below_->close(); }
  std::string address() const override {
    return identity_ ? below_->address() + "#" + identity_->id().to_string() : below_->address();
  }

 private:
  // The listener may be destroyed while this waits.
  static awaitable<std::unique_ptr<Transport>> accept(Executor executor, std::shared_ptr<Listener> below, Wrap wrap,
                                                      std::shared_ptr<ShortageCallback> on_shortage) {
    for (;;) {
      std::unique_ptr<Transport> transport = co_await below->accept();
      if (std::unique_ptr<Transport> wrapped = try_wrap(executor, std::move(transport), wrap, *on_shortage))
        co_return wrapped;
    }
  }

  /// Null when there is no memory for TLS: that costs this connection, and no other.
  static std::unique_ptr<Transport> try_wrap(const Executor& executor, std::unique_ptr<Transport> transport,
                                             const Wrap& wrap, const ShortageCallback& on_shortage) {
    try {
      return wrap(executor, std::move(transport), TlsSide());
    } catch (const std::exception&) {
      if (!on_shortage) return nullptr;
      Shortage shortage;
      shortage.reason = asio::error::no_memory;
      shortage.began = true;
      shortage.turned_one_away = true;
      shortage.turned_away = 1;
      on_shortage(shortage);
      Shortage over;
      over.turned_away = 1;
      on_shortage(over);
      return nullptr;
    }
  }

  Executor executor_;
  std::shared_ptr<Listener> below_;
  std::shared_ptr<ShortageCallback> on_shortage_ = std::make_shared<ShortageCallback>();
  std::shared_ptr<const Identity> identity_; // null: none
  Wrap wrap_;
};

awaitable<std::unique_ptr<Transport>> dial_tls(std::shared_ptr<Medium> below, std::string address, Wrap wrap) {
  TlsSide side;
  side.dialled = true;
  side.pin = pin_of(address);
  side.address = without_pin(address);
  std::unique_ptr<Transport> transport = co_await below->dial(side.address);
  const Executor executor = co_await asio::this_coro::executor;
  transport = wrap(executor, std::move(transport), std::move(side));
  co_await transport->handshake();
  co_return transport;
}

class TlsMedium final : public Medium {
 public:
  TlsMedium(std::shared_ptr<Identity> identity, std::shared_ptr<Medium> below)
      : identity_(std::move(identity)), below_(std::move(below)) {}

  std::string_view scheme() const noexcept override { return below_->scheme(); }
  std::string_view form() const noexcept override { return below_->form(); }
  bool has_hosts() const noexcept override { return below_->has_hosts(); }
  bool has_ports() const noexcept override { return below_->has_ports(); }
  bool is_local() const noexcept override { return below_->is_local(); }
  bool is_encrypted() const noexcept override { return true; }
  bool proves_identity() const noexcept override { return true; }

  awaitable<std::unique_ptr<Transport>> dial(std::string address) override {
    require_identity("cannot connect to " + address);
    return dial_tls(below_, std::move(address), wrap());
  }

  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override {
    require_identity("cannot listen on " + std::string(address));
    const std::optional<NodeId> pin = pin_of(address);
    if (pin && *pin != identity_->id())
      throw_transport_text(make_error_code(error::wrong_key),
                           fmt::format("cannot listen on {}: this node's key is {}", address, identity_->id().to_string()));
    std::unique_ptr<Listener> below = below_->listen(executor, without_pin(address));
    return std::make_unique<TlsListener>(executor, std::move(below), identity_, wrap());
  }

 private:
  void require_identity(const std::string& context) const {
    if (!identity_)
      throw_transport_text(make_error_code(error::not_secured),
                           context + ": this node has no key, NodeOptions::identity gives it one");
  }
  Wrap wrap() const {
    return [identity = identity_](const Executor& executor, std::unique_ptr<Transport> transport, TlsSide side) {
      return make_tls_transport(executor, std::move(transport), identity, std::move(side));
    };
  }

  std::shared_ptr<Identity> identity_; // null: none
  std::shared_ptr<Medium> below_;
};

class WebTlsMedium final : public Medium {
 public:
  WebTlsMedium(std::shared_ptr<Identity> identity, std::shared_ptr<const WebTls> web, std::shared_ptr<Medium> below)
      : identity_(std::move(identity)), web_(std::move(web)), below_(std::move(below)) {}

  std::string_view scheme() const noexcept override { return below_->scheme(); }
  std::string_view form() const noexcept override { return below_->form(); }
  bool has_hosts() const noexcept override { return below_->has_hosts(); }
  bool has_ports() const noexcept override { return below_->has_ports(); }
  bool is_local() const noexcept override { return below_->is_local(); }
  bool is_encrypted() const noexcept override { return true; }
  bool proves_identity() const noexcept override { return true; }

  awaitable<std::unique_ptr<Transport>> dial(std::string address) override {
    if (!identity_ && pin_of(address))
      throw_transport_text(make_error_code(error::not_secured),
                           fmt::format("cannot connect to {}: this node has no key to show there", address));
    const bool is_node = identity_ && (pin_of(address) || !identity_->trust().known().at(without_pin(address)).empty());
    if (!is_node && !web_) web_ = std::make_shared<WebTls>(); // not before: it reads all authorities of the system
    return dial_tls(below_, std::move(address), wrap(is_node ? nullptr : web_));
  }

  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override {
    const std::optional<NodeId> pin = pin_of(address);
    if (pin && (!identity_ || *pin != identity_->id()))
      throw_transport_text(make_error_code(error::wrong_key),
                           fmt::format("cannot listen on {}: this node's key is {}", address,
                                       identity_ ? identity_->id().to_string() : "none"));
    const bool is_for_web = web_ && web_->can_listen();
    if (!identity_ && !is_for_web)
      throw_transport_text(make_error_code(error::unusable_file),
                           fmt::format("cannot listen on {}: that needs a certificate for browsers, a key for nodes, or both",
                                       address));
    std::unique_ptr<Listener> below = below_->listen(executor, without_pin(address));
    return std::make_unique<TlsListener>(executor, std::move(below), identity_,
                                         wrap(is_for_web ? web_ : nullptr));
  }

 private:
  Wrap wrap(const std::shared_ptr<const WebTls>& web) const {
    return [identity = identity_, web](const Executor& executor, std::unique_ptr<Transport> transport, TlsSide side) {
      side.protocol = tls_web_socket_protocol;
      side.web_protocol = tls_http_protocol;
      return make_tls_transport(executor, std::move(transport), identity, web ? web->context() : nullptr,
                                std::move(side));
    };
  }

  std::shared_ptr<Identity> identity_; // null: none
  std::shared_ptr<const WebTls> web_;  // null: none yet
  std::shared_ptr<Medium> below_;
};

} // namespace

std::shared_ptr<Medium> make_tls_medium(std::shared_ptr<Identity> identity, std::shared_ptr<Medium> below) {
  if (!below) below = make_tcp_medium(TcpOptions(), nullptr, tls_scheme);
  return std::make_shared<TlsMedium>(std::move(identity), std::move(below));
}

std::shared_ptr<Medium> make_web_tls_medium(std::shared_ptr<Identity> identity, std::shared_ptr<const WebTls> web,
                                            std::shared_ptr<Medium> below) {
  return std::make_shared<WebTlsMedium>(std::move(identity), std::move(web), std::move(below));
}

} // namespace trunkline
