#include "transport/web_socket.hpp"

#include "fragment/error.hpp"
#include "transport/address.hpp"
#include "transport/failure.hpp"
#include "transport/tcp.hpp"
#include "transport/tls.hpp"
#include "transport/web_listener.hpp"
#include "transport/web_socket_transport.hpp"

#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace trunkline {
namespace {

constexpr std::string_view web_socket_scheme = "ws";
constexpr std::string_view web_socket_tls_scheme = "wss";

/// One address as two media write it.
class Schemes {
 public:
  Schemes(std::string_view above, const Medium& below, std::string_view below_form)
      : above_(above), below_(below.scheme()), form_(above_ + std::string(below_form.substr(below_.size()))) {}

  const std::string& above() const noexcept { return above_; }
  const std::string& form() const noexcept { return form_; }

  std::string below_of(std::string_view address) const {
    if (!address.starts_with(above_ + ":")) {
      throw_transport_text(make_error_code(error::bad_url),
                           "address \"" + std::string(address) + "\" is not " + form_);
    }
    return below_ + std::string(address.substr(above_.size()));
  }
  std::string above_of(std::string_view address) const { return above_ + std::string(address.substr(below_.size())); }

  /// The error of the medium below in the words of this one.
  [[noreturn]] void throw_as_above(const boost::system::system_error& failure) const {
    std::string text = failure.what();
    const std::string theirs = below_ + ":";
    for (std::size_t at = 0; (at = text.find(theirs, at)) != std::string::npos; at += above_.size())
      text.replace(at, below_.size(), above_);
    throw_transport_text(failure.code(), std::move(text));
  }

 private:
  std::string above_;
  std::string below_;
  std::string form_;
};

/// In the frame of a dial, because the medium may go while it runs.
struct Dial {
  std::string address;
  std::shared_ptr<const Schemes> schemes;
  std::shared_ptr<Medium> below;
  std::size_t message_bytes_max;
};

awaitable<std::unique_ptr<Transport>> connect_below(Dial& dial) {
  const std::string address = dial.schemes->below_of(dial.address);
  try {
    co_return co_await dial.below->dial(address);
  } catch (const boost::system::system_error& failure) {
    dial.schemes->throw_as_above(failure);
  }
}

awaitable<std::unique_ptr<Transport>> dial_web_socket(std::string address, std::shared_ptr<const Schemes> schemes,
                                                      std::shared_ptr<Medium> below, std::size_t message_bytes_max) {
  Dial dial{std::move(address), std::move(schemes), std::move(below), message_bytes_max};
  std::unique_ptr<Transport> connected = co_await connect_below(dial);
  WebSocketEnds ends;
  ends.remote = dial.schemes->above_of(connected->remote());
  ends.remote_host = connected->remote_host();
  ends.message_bytes_max = dial.message_bytes_max;
  const std::string_view dialled = without_pin(dial.address);
  const std::size_t slashes = dialled.find("//");
  std::string host = slashes == std::string_view::npos ? ends.remote_host : std::string(dialled.substr(slashes + 2));
  co_return co_await dial_web_socket_on(std::move(connected), std::move(ends), std::move(host),
                                        "cannot connect to " + dial.address);
}

class WebSocketMedium final : public Medium {
 public:
  WebSocketMedium(WebSocketOptions options, std::shared_ptr<Medium> below, std::string_view scheme)
      : options_(std::make_shared<const WebSocketOptions>(std::move(options))), below_(std::move(below)),
        schemes_(std::make_shared<const Schemes>(scheme, *below_, below_->form())) {}

  std::string_view scheme() const noexcept override { return schemes_->above(); }
  std::string_view form() const noexcept override { return schemes_->form(); }
  bool has_hosts() const noexcept override { return below_->has_hosts(); }
  bool has_ports() const noexcept override { return below_->has_ports(); }
  bool is_local() const noexcept override { return below_->is_local(); }
  bool is_encrypted() const noexcept override { return below_->is_encrypted(); }
  bool proves_identity() const noexcept override { return below_->proves_identity(); }

  awaitable<std::unique_ptr<Transport>> dial(std::string address) override {
    return dial_web_socket(std::move(address), schemes_, below_, options_->message_bytes_max);
  }

  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override {
    const std::string there = schemes_->below_of(address);
    try {
      std::unique_ptr<Listener> listener = below_->listen(executor, there);
      std::string bound = schemes_->above_of(listener->address());
      return make_web_listener(executor, std::move(listener), std::move(bound), options_);
    } catch (const boost::system::system_error& failure) {
      schemes_->throw_as_above(failure);
    }
  }

 private:
  std::shared_ptr<const WebSocketOptions> options_;
  std::shared_ptr<Medium> below_;
  std::shared_ptr<const Schemes> schemes_;
};

/// Zero would be no limit, or a port that serves nobody.
void check(const WebSocketOptions& options) {
  const auto at_least_1 = [](std::string_view name, std::size_t value) {
    if (value == 0) throw std::invalid_argument(fmt::format("WebSocketOptions::{} is 0, expected at least 1", name));
  };
  at_least_1("message_bytes_max", options.message_bytes_max);
  at_least_1("header_bytes_max", options.header_bytes_max);
  at_least_1("visitors_max", options.visitors_max);
  at_least_1("visitors_per_host_max", options.visitors_per_host_max);
}

} // namespace

std::shared_ptr<Medium> make_web_socket_medium(WebSocketOptions options, std::shared_ptr<Medium> below,
                                               std::string_view scheme) {
  check(options);
  return std::make_shared<WebSocketMedium>(std::move(options), std::move(below), scheme);
}

std::shared_ptr<Medium> make_web_socket_medium(WebSocketOptions options) {
  return make_web_socket_medium(std::move(options), make_tcp_medium(), web_socket_scheme);
}

std::shared_ptr<Medium> make_web_socket_tls_medium(std::shared_ptr<Identity> identity, WebSocketOptions options,
                                                   std::shared_ptr<const WebTls> web, std::shared_ptr<Medium> below) {
  if (!below) below = make_tcp_medium(TcpOptions(), nullptr, web_socket_tls_scheme);
  return make_web_socket_medium(std::move(options),
                                make_web_tls_medium(std::move(identity), std::move(web), std::move(below)),
                                web_socket_tls_scheme);
}

} // namespace trunkline
