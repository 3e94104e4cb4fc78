// The admin port of a program, as its command line asks for it.
#pragma once

#include "cli/operate/operation.hpp"
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

/// The port of a program from when it is opened until it is gone, with what the operation knows. Where nobody has asked
/// for one, nothing of this does anything.
class AdminPort {
 public:
  AdminPort(const AdminOptions& options, std::string name, const Operation& operation);

  /// Opens it for a node and prints where. Errors: UsageError for an address that is none, or that other machines reach;
  /// boost::system::system_error.
  void open(Node& node, std::shared_ptr<admin::LinkBook> book, std::function<void(admin::MetricPage&)> metrics);
  /// The same for links that are asked for whenever somebody looks: of other dialects.
  void open(const Executor& executor, std::function<std::vector<LinkInfo>()> links,
            std::function<void(admin::MetricPage&)> metrics);
  void close() { port_.reset(); }

 private:
  std::string checked_address() const;
  admin::PortOptions port_options(std::function<void(admin::MetricPage&)> metrics) const;
  void say() const;

  const AdminOptions& options_;
  std::string name_;
  const Operation& operation_;
  std::unique_ptr<admin::Port> port_;
};

} // namespace trunkline::cli
