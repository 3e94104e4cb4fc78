// What the nodes of all subcommands have in common.
#pragma once

#include "peer/node.hpp"
#include "services/sync/report.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>

namespace trunkline::cli {

/// A file on its way is a circuit and an open file: a thousand may be under way.
inline constexpr std::size_t files_outstanding_max = 1024;

inline NodeOptions node_options(std::string name) {
  NodeOptions options;
  options.name = std::move(name);
  return options;
}

/// For so many nodes in this process, each of which may have files open, once raise_files_limit was called.
inline sync::Tuning sync_tuning(std::size_t nodes = 1) {
  constexpr std::size_t others = 48; // connections, directories, the standard ones
  rlimit limit{};
  const bool known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max != RLIM_INFINITY;
  const std::size_t all = known ? static_cast<std::size_t>(limit.rlim_max) : 65536;
  sync::Tuning tuning;
  // Of a node's share, one half for what it reads and one for what it writes.
  tuning.files_open_max = std::clamp<std::size_t>(all > others ? (all - others) / nodes / 2 : 0, 2, 4096);
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
