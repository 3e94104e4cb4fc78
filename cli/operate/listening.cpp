#include "cli/operate/listening.hpp"

#include "async/signal.hpp"
#include "transport/address.hpp"
#include "transport/failure.hpp"
#include "transport/handed_socket.hpp"
#include "transport/tcp.hpp"
#include "transport/tls.hpp"
#include "transport/unix.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace trunkline::cli {
namespace {

/// A listener that may be closed without the knowledge of its owner, who then waits for a connection that never comes.
struct Gate {
  explicit Gate(std::unique_ptr<Listener> listener) : below(std::move(listener)) {}

  static awaitable<std::unique_ptr<Transport>> accept(std::shared_ptr<Gate> self) {
    try {
      co_return co_await self->below->accept();
    } catch (const boost::system::system_error&) {
      if (!self->is_shut) throw;
    }
    while (!self->is_closed) co_await self->changed.wait();
    throw_aborted();
  }
  void shut() {
    is_shut = true;
    below->close();
  }
  void close() noexcept {
    is_closed = true;
    below->close();
    changed.notify_all();
  }

  std::unique_ptr<Listener> below;
  bool is_shut = false;   // by Listening::close
  bool is_closed = false; // by its owner
  Signal changed;
};

class GatedListener final : public Listener {
 public:
  explicit GatedListener(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) {}
  ~GatedListener() override { gate_->close(); }

  awaitable<std::unique_ptr<Transport>> accept() override { return Gate::accept(gate_); }
  void on_shortage(std::function<void(const Shortage&)> callback) override {
    gate_->below->on_shortage(std::move(callback));
  }
  void close() noexcept override { gate_->close(); }
  std::string address() const override { return gate_->below->address(); }

 private:
  std::shared_ptr<Gate> gate_;
};

std::string_view behind_scheme(std::string_view address) { return address.substr(std::min(address.find(':'), address.size())); }

/// Whether a socket of this address is what somebody wants to listen on, whatever it then speaks there.
bool is_meant(const std::string& handed, std::string_view wanted) {
  if (behind_scheme(handed) == behind_scheme(wanted)) return true;
  return is_unspecified(handed) && is_unspecified(wanted) &&
         handed.substr(handed.rfind(':')) == wanted.substr(wanted.rfind(':'));
}

} // namespace

struct Listening::State {
  std::unique_ptr<Listener> listen(Medium& medium, const Executor& executor, std::string_view address) {
    const auto handed_over =
        std::find_if(handed.begin(), handed.end(), [&](const HandedSocket& one) { return is_meant(one.address, address); });
    std::unique_ptr<Listener> listener;
    if (handed_over != handed.end()) {
      const HandedSocket taken = *handed_over;
      handed.erase(handed_over);
      std::string name = std::string(medium.scheme()) + std::string(behind_scheme(taken.address));
      listener = adopt_listening_socket(executor, taken.descriptor, std::move(name));
    } else {
      listener = medium.listen(executor, address);
    }
    std::erase_if(gates, [](const std::weak_ptr<Gate>& gate) { return gate.expired(); });
    auto gate = std::make_shared<Gate>(std::move(listener));
    gates.push_back(gate);
    return std::make_unique<GatedListener>(std::move(gate));
  }

  std::vector<HandedSocket> handed = handed_sockets();
  std::vector<std::weak_ptr<Gate>> gates;
};

namespace {

class GatedMedium final : public Medium {
 public:
  using Listen = std::function<std::unique_ptr<Listener>(Medium&, const Executor&, std::string_view)>;
  GatedMedium(std::shared_ptr<Medium> below, Listen listen) : below_(std::move(below)), listen_(std::move(listen)) {}

  std::string_view scheme() const noexcept override { return below_->scheme(); }
  std::string_view form() const noexcept override { return below_->form(); }
  bool has_hosts() const noexcept override { return below_->has_hosts(); }
  bool has_ports() const noexcept override { return below_->has_ports(); }
  bool is_local() const noexcept override { return below_->is_local(); }
  bool is_encrypted() const noexcept override { return below_->is_encrypted(); }
  bool proves_identity() const noexcept override { return below_->proves_identity(); }
  awaitable<std::unique_ptr<Transport>> dial(std::string address) override { return below_->dial(std::move(address)); }
  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override {
    return listen_(*below_, executor, address);
  }

 private:
  std::shared_ptr<Medium> below_;
  Listen listen_;
};

} // namespace

Listening::Listening(TcpOptions options) : tcp_(std::move(options)), state_(std::make_shared<State>()) {}
Listening::~Listening() = default;

std::shared_ptr<Medium> Listening::over(std::shared_ptr<Medium> medium) const {
  return std::make_shared<GatedMedium>(
      std::move(medium), [state = state_](Medium& below, const Executor& executor, std::string_view address) {
        return state->listen(below, executor, address);
      });
}

std::shared_ptr<Medium> Listening::tcp(std::string_view scheme) const {
  return over(make_tcp_medium(tcp_, nullptr, scheme));
}

void Listening::apply(Media& media, const std::shared_ptr<Identity>& identity) {
  for (const std::shared_ptr<Medium>& medium : {make_tcp_medium(tcp_), make_unix_medium()})
    media.insert_or_assign(std::string(medium->scheme()), over(medium));
  if (!identity) return;
  const std::string encrypted(make_tls_medium(nullptr)->scheme());
  media.insert_or_assign(encrypted, make_tls_medium(identity, tcp(encrypted)));
}

std::vector<std::string> Listening::unused() const {
  std::vector<std::string> addresses;
  for (const HandedSocket& socket : state_->handed) addresses.push_back(socket.address);
  return addresses;
}

void Listening::close() {
  for (const std::weak_ptr<Gate>& weak : state_->gates)
    if (const std::shared_ptr<Gate> gate = weak.lock()) gate->shut();
}

} // namespace trunkline::cli
