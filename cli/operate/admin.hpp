// The admin port of a program, as its command line asks for it.
#pragma once

#include "cli/operate/limits.hpp"
#include "cli/operate/operation.hpp"
#include "cli/operate/running_configuration.hpp"
#include "services/admin/port.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}

namespace trunkline::cli {

struct AdminOptions {
  std::string address; // empty: the usual one, where the option was given
  const CLI::Option* given = nullptr;
  bool open_to_all = false;
};

/// Adds --admin and --admin-public.
void add_admin_options(CLI::App& command, AdminOptions& options);

/// The port of a program from when it is opened until its end begins, with what the operation knows. Where nobody has
/// asked for one, there is none.
class AdminPort {
 public:
  AdminPort(AdminOptions& options, std::string name, Operation& operation, const LimitOptions& limits);

  /// Opens it for a node and prints where. Errors: UsageError for an address that is none, or that other machines reach;
  /// boost::system::system_error.
  void open(Node& node, std::shared_ptr<admin::LinkBook> book, std::function<void(admin::MetricPage&)> metrics);
  /// The same for links that are asked for whenever somebody looks: of other dialects.
  void open(const Executor& executor, std::function<std::vector<LinkInfo>()> links,
            std::function<void(admin::MetricPage&)> metrics);
  /// Once it was opened: the keys admin and admin-public, and its limits, open it, close it or open it elsewhere.
  void follow(RunningConfiguration& running, LimitOptions& limits, const Logger& logger);
  void close();

 private:
  using Make = std::function<std::unique_ptr<admin::Port>(const std::string& address, admin::PortOptions options)>;
  bool is_wanted() const;
  std::string checked_address() const;
  admin::PortOptions port_options() const;
  void open();
  void open_anew(const Logger& logger);
  std::string shown_address() const;

  AdminOptions& options_;
  std::string name_;
  Operation& operation_;
  const LimitOptions& limits_;
  Make make_;
  std::function<void(admin::MetricPage&)> metrics_;
  std::unique_ptr<admin::Port> port_;
  std::function<std::unique_ptr<admin::Port>()> again_; // makes the port that there is, once more
};

} // namespace trunkline::cli
