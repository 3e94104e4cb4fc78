// What the nodes of all subcommands have in common.
#pragma once

#include "peer/node.hpp"
#include "services/sync/report.hpp"

#include <sys/resource.h>

#include <functional>
#include <string>

namespace trunkline::cli {

/// A file on its way is a circuit and an open file: a thousand may be under way, the default allows a few hundred.
inline constexpr std::size_t files_outstanding_max = 1024;

inline NodeOptions node_options(std::string name) {
  NodeOptions options;
  options.name = std::move(name);
  options.limits.open_backlog_max = 4 * files_outstanding_max;
  return options;
}

inline sync::Tuning sync_tuning() {
  sync::Tuning tuning;
  tuning.files_outstanding_max = files_outstanding_max;
  return tuning;
}

/// Allows this process as many open files as it may have.
inline void raise_files_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace trunkline::cli
