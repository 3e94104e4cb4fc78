#include "cli/operate/admin.hpp"

#include "cli/exit_code.hpp"
#include "fragment/quote.hpp"
#include "services/sync/path.hpp"
#include "transport/address.hpp"
#include "transport/media.hpp"

#include <CLI/CLI.hpp>

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

AdminPort::AdminPort(const AdminOptions& options, std::string name, const Operation& operation)
    : options_(options), name_(std::move(name)), operation_(operation) {}

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

admin::PortOptions AdminPort::port_options(std::function<void(admin::MetricPage&)> metrics) const {
  admin::PortOptions options;
  options.name = name_;
  options.not_ready = [operation = &operation_] { return operation->not_ready(); };
  options.metrics = std::move(metrics);
  options.any_host = options_.open_to_all;
  return options;
}

void AdminPort::open(Node& node, std::shared_ptr<admin::LinkBook> book, std::function<void(admin::MetricPage&)> metrics) {
  if (options_.given->count() == 0) return;
  port_ = std::make_unique<admin::Port>(node, checked_address(), port_options(std::move(metrics)), std::move(book));
  say();
}

void AdminPort::open(const Executor& executor, std::function<std::vector<LinkInfo>()> links,
                     std::function<void(admin::MetricPage&)> metrics) {
  if (options_.given->count() == 0) return;
  const auto book = std::make_shared<admin::LinkBook>();
  auto look = [links = std::move(links), book](std::size_t circuits_max) {
    const std::vector<LinkInfo> now = links();
    book->look(now);
    return admin::view_of(now, {PeerId()}, *book, circuits_max);
  };
  port_ = std::make_unique<admin::Port>(executor, checked_address(), port_options(std::move(metrics)), std::move(look));
  say();
}

void AdminPort::say() const {
  const std::string address = port_->address();
  std::printf("admin at %s%s\n", address.starts_with("tcp:") ? ("http" + address.substr(3)).c_str() : address.c_str(),
              address.starts_with("tcp:") ? "/" : "");
}

} // namespace trunkline::cli
