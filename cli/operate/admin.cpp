#include "cli/operate/admin.hpp"

#include "cli/exit_code.hpp"
#include "fragment/quote.hpp"
#include "services/sync/path.hpp"
#include "transport/address.hpp"
#include "transport/media.hpp"

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <utility>

namespace trunkline::cli {
namespace {

constexpr std::string_view usual_address = "127.0.0.1:9464";

} // namespace

void add_admin_options(CLI::App& command, AdminOptions& options) {
  constexpr const char* group = "Operating";
  options.given = command
                      .add_option("--admin", options.address,
                                  "Give metrics, health and an inspector by HTTP (127.0.0.1:9464); also unix:/path")
                      ->type_name("HOST:PORT")
                      ->expected(0, 1)
                      ->group(group);
  command
      .add_flag("--admin-public", options.open_to_all,
                "Let other machines reach the admin port, which asks nobody who they are")
      ->group(group);
}

AdminPort::AdminPort(AdminOptions& options, std::string name, Operation& operation, const LimitOptions& limits)
    : options_(options), name_(std::move(name)), operation_(operation), limits_(limits) {
  // A successor opens its own at the same address; for this one the metrics are told by now.
  operation.on_stopping([this] { close(); });
}

bool AdminPort::is_wanted() const { return options_.given->count() > 0; }

std::string AdminPort::checked_address() const {
  const std::string given = options_.address.empty() ? std::string(usual_address) : options_.address;
  if (const Medium* const medium = find_medium(default_media(), given); medium && !medium->has_hosts()) return given;
  HostPort where;
  if (parse_host_port(given, where) != HostPortFlaw::none)
    throw UsageError("--admin \"" + sync::printable(given) + "\" is neither HOST:PORT nor unix:/path");
  std::string address = to_address("tcp", where.host, where.port);
  if (!options_.open_to_all && !is_local_only(default_media(), address))
    throw UsageError("--admin \"" + sync::printable(given) +
                     "\" can be reached from other machines, and asks nobody who they are: use 127.0.0.1, or allow it with "
                     "--admin-public");
  return address;
}

admin::PortOptions AdminPort::port_options() const {
  admin::PortOptions options;
  options.name = name_;
  options.not_ready = [operation = &operation_] { return operation->not_ready(); };
  options.metrics = metrics_;
  options.any_host = options_.open_to_all;
  LimitTable limits;
  add_limits(limits, options);
  limits.set(limits_);
  return options;
}

void AdminPort::open(Node& node, std::shared_ptr<admin::LinkBook> book, std::function<void(admin::MetricPage&)> metrics) {
  metrics_ = std::move(metrics);
  make_ = [&node, book = std::move(book)](const std::string& address, admin::PortOptions options) {
    return std::make_unique<admin::Port>(node, address, std::move(options), book);
  };
  if (!is_wanted()) return;
  open();
  std::printf("admin at %s\n", shown_address().c_str());
}

void AdminPort::open(const Executor& executor, std::function<std::vector<LinkInfo>()> links,
                     std::function<void(admin::MetricPage&)> metrics) {
  metrics_ = std::move(metrics);
  const auto book = std::make_shared<admin::LinkBook>();
  auto look = [links = std::move(links), book](std::size_t circuits_max) {
    const std::vector<LinkInfo> now = links();
    book->look(now);
    return admin::view_of(now, {PeerId()}, *book, circuits_max);
  };
  make_ = [executor, look = std::move(look)](const std::string& address, admin::PortOptions options) {
    return std::make_unique<admin::Port>(executor, address, std::move(options), look);
  };
  if (!is_wanted()) return;
  open();
  std::printf("admin at %s\n", shown_address().c_str());
}

void AdminPort::close() {
  port_.reset();
  make_ = nullptr;
}

void AdminPort::open() {
  auto make = [this, address = checked_address(), options = port_options()] { return make_(address, options); };
  port_ = make();
  again_ = std::move(make);
}

/// The new one may have the address of the old one, which therefore goes first, and comes back where the new one fails.
void AdminPort::open_anew(const Logger& logger) {
  if (!make_) return; // the end has begun
  const bool was_open = port_ != nullptr;
  port_.reset();
  if (!is_wanted()) {
    if (was_open) logger->info("the admin port is closed");
    return;
  }
  try {
    open();
  } catch (...) {
    if (was_open) port_ = again_();
    throw;
  }
  logger->info("admin at {}", shown_address());
}

void AdminPort::follow(RunningConfiguration& running, LimitOptions& limits, const Logger& logger) {
  const auto take = [this, logger] { open_anew(logger); };
  running.follow("admin", options_.address, take);
  running.follow("admin-public", options_.open_to_all, take);
  LimitTable table;
  admin::PortOptions options;
  add_limits(table, options);
  for (const auto& [name, limit] : table.all()) running.follow_limit(name, limits, take);
}

std::string AdminPort::shown_address() const {
  const std::string address = port_->address();
  return address.starts_with("tcp:") ? "http" + address.substr(3) + "/" : address;
}

} // namespace trunkline::cli
