// The admin port of a program: metrics, health, links and circuits, over HTTP, for its operator.
//
//   Node node(executor, options);
//   admin::Port admin(node, "tcp://127.0.0.1:9464");    // that is all
#pragma once

#include "async/types.hpp"
#include "services/admin/http.hpp"
#include "services/admin/link_book.hpp"
#include "services/admin/metrics.hpp"
#include "services/admin/view.hpp"
#include "transport/medium.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace trunkline::admin {

struct PortOptions {
  std::string name; // of the program or node, to be shown
  /// Why the program is not ready, as one phrase; empty: it is. /readyz says it. Always ready unless given.
  std::function<std::string()> not_ready;
  std::function<void(MetricPage&)> metrics; // further ones
  std::size_t circuits_max = 1000;          // that are shown
  HttpLimits http;                          // of who asks
  /// Answers requests that call this port by any name. Unless set, a port of this machine alone answers to an IP address
  /// and to localhost: a web page of somebody else's could bring any other name here (DNS rebinding).
  bool any_host = false;
  std::shared_ptr<Medium> medium; // that it listens with; by the scheme unless given

  PortOptions() = default;
};

/// What is at the port:
///   /          a page that shows the rest, every second
///   /metrics   for Prometheus
///   /healthz   200 as long as the program's loop runs
///   /readyz    200 when it serves, otherwise 503 and why
///   /links, /circuits, /circuits?link=N    as JSON
///   /top       the same as text; ?columns=N&rows=N make it fit
/// Nobody is asked who they are, so it is for this machine, or for a network of operators alone. It reads and changes
/// nothing. One executor, that of what it shows; not thread safe. Destroying it closes it.
class Port {
 public:
  /// Shows a node, which must outlive it. With a book whose `note` is NodeOptions::on_link totals miss no link; without
  /// one it looks every second. Errors: error::unknown_scheme; boost::system::system_error that names the address.
  Port(Node& node, std::string_view address, PortOptions options = PortOptions(), std::shared_ptr<LinkBook> book = nullptr);
  /// Shows anything else. `look` gives at most so many circuits.
  Port(Executor executor, std::string_view address, PortOptions options, std::function<View(std::size_t circuits_max)> look);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  /// The real one.
  std::string address() const;
  void close();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace trunkline::admin
