#include "services/admin/port.hpp"

#include "async/clock.hpp"
#include "async/tasks.hpp"
#include "services/admin/pages.hpp"
#include "transport/address.hpp"
#include "transport/media.hpp"
#include "transport/web_pages.hpp"

#include <charconv>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

namespace trunkline::admin {
namespace {

constexpr std::chrono::seconds sample_interval{1};
constexpr std::size_t columns_max = 1000;

std::size_t number_in(std::string_view text, std::size_t otherwise, std::size_t max) {
  std::size_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size()) return otherwise;
  return std::min(number, max);
}

bool is_numeric_or_localhost(std::string_view host) {
  if (host == "localhost") return true;
  return !host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos ? true
         : host.find(':') != std::string_view::npos &&
               host.find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos;
}

/// How much went over each link in the last second.
class Rates {
 public:
  void sample(const View& view, TimePoint now) {
    std::map<std::uint64_t, Seen> seen;
    for (const LinkView& link : view.links) {
      Seen one{link.bytes_sent, link.bytes_received, 0, 0};
      if (const auto before = seen_.find(link.number); before != seen_.end() && now > at_) {
        const double seconds = std::chrono::duration<double>(now - at_).count();
        one.sent_per_second = static_cast<double>(one.sent - before->second.sent) / seconds;
        one.received_per_second = static_cast<double>(one.received - before->second.received) / seconds;
      }
      seen.emplace(link.number, one);
    }
    seen_ = std::move(seen);
    at_ = now;
  }
  void put(View& view) const {
    for (LinkView& link : view.links)
      if (const auto found = seen_.find(link.number); found != seen_.end()) {
        link.sent_per_second = found->second.sent_per_second;
        link.received_per_second = found->second.received_per_second;
      }
  }

 private:
  struct Seen {
    std::uint64_t sent;
    std::uint64_t received;
    double sent_per_second;
    double received_per_second;
  };
  std::map<std::uint64_t, Seen> seen_; // by the number of the link
  TimePoint at_{};
};

HttpAnswer json(std::string content) {
  HttpAnswer answer(200, std::move(content));
  answer.type = "application/json";
  return answer;
}

} // namespace

struct Port::State : std::enable_shared_from_this<State> {
  State(Executor on, PortOptions with, std::function<View(std::size_t)> how)
      : executor(std::move(on)), options(std::move(with)), look(std::move(how)), tasks(executor) {
    add_inspector_pages(pages);
  }

  void open(std::string_view address) {
    std::shared_ptr<Medium> medium = options.medium ? options.medium : medium_for(default_media(), address);
    checks_host = !options.any_host && (medium->is_local() || is_loopback_host(host_of(address)));
    auto respond = [weak = weak_from_this()](const HttpRequest& request) {
      const auto self = weak.lock();
      return self ? self->respond(request) : HttpAnswer(503, "this port is closed\n");
    };
    port.emplace(executor, medium->listen(executor, address), std::move(respond), options.http);
    tasks.spawn(sample(weak_from_this()));
  }
  static awaitable<void> sample(std::weak_ptr<State> weak) {
    while (const std::shared_ptr<State> self = weak.lock()) {
      self->rates.sample(self->look(0), Clock::of(self->executor).now());
      co_await sleep_for(sample_interval);
    }
  }
  void close() {
    if (port) port->close();
    tasks.cancel();
    look = {};
    options.not_ready = {};
    options.metrics = {};
  }

  HttpAnswer respond(const HttpRequest& request);
  View view() const {
    View now = look(options.circuits_max);
    now.name = options.name;
    rates.put(now);
    return now;
  }
  std::string metrics_text() const {
    MetricPage page;
    add_process(page);
    if (options.metrics) options.metrics(page);
    return page.take();
  }

  Executor executor;
  PortOptions options;
  std::function<View(std::size_t)> look; // empty once it is closed
  WebPages pages;
  bool checks_host = true;
  Rates rates;
  std::optional<HttpPort> port;
  Tasks tasks;
};

HttpAnswer Port::State::respond(const HttpRequest& request) {
  if (!look) return HttpAnswer(503, "this port is closed\n");
  if (checks_host && !request.host.empty() && !is_numeric_or_localhost(request.host))
    return HttpAnswer(403, "this port answers to an IP address and to localhost\n");
  if (request.path == "/healthz") return HttpAnswer(200, "ok\n");
  if (request.path == "/readyz") {
    const std::string why = options.not_ready ? options.not_ready() : std::string();
    return why.empty() ? HttpAnswer(200, "ready\n") : HttpAnswer(503, why + "\n");
  }
  if (request.path == "/metrics") {
    HttpAnswer answer(200, metrics_text());
    answer.type = "text/plain; version=0.0.4; charset=utf-8";
    return answer;
  }
  if (request.path == "/links") return json(links_json(view()));
  if (request.path == "/circuits") {
    std::optional<std::uint64_t> link;
    if (const std::string_view wanted = request.parameter("link"); !wanted.empty()) link = number_in(wanted, 0, SIZE_MAX);
    return json(circuits_json(view(), link));
  }
  if (request.path == "/top")
    return HttpAnswer(200, as_text(view(), number_in(request.parameter("columns"), 0, columns_max),
                                   number_in(request.parameter("rows"), 0, columns_max)));
  if (const WebPages::Page* const page = pages.find(request.path)) {
    HttpAnswer answer(200, page->content);
    answer.type = page->type;
    return answer;
  }
  return HttpAnswer(404, "there are /, /metrics, /healthz, /readyz, /links, /circuits and /top\n");
}

Port::Port(Node& node, std::string_view address, PortOptions options, std::shared_ptr<LinkBook> book) {
  const bool is_told = book != nullptr;
  if (!book) book = std::make_shared<LinkBook>();
  auto further = std::move(options.metrics);
  options.metrics = [node = &node, book, further = std::move(further), is_told](MetricPage& page) {
    if (!is_told) book->look(node->links());
    add_node(page, *node, *book);
    if (further) further(page);
  };
  state_ = std::make_shared<State>(node.executor(), std::move(options), [node = &node, book, is_told](std::size_t circuits_max) {
    if (!is_told) book->look(node->links());
    return view_of(*node, *book, circuits_max);
  });
  state_->open(address);
}

Port::Port(Executor executor, std::string_view address, PortOptions options, std::function<View(std::size_t)> look)
    : state_(std::make_shared<State>(std::move(executor), std::move(options), std::move(look))) {
  state_->open(address);
}

Port::~Port() { close(); }

std::string Port::address() const { return state_->port->address(); }

void Port::close() { state_->close(); }

} // namespace trunkline::admin
