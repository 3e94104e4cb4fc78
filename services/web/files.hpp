// The service "files" of a node: a web page lists a tree, gets files of it and puts files into it (docs/browser.md).
#pragma once

#include "async/types.hpp"
#include "peer/node.hpp"
#include "services/sync/root.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace trunkline::web {

struct FilesOptions {
  std::shared_ptr<sync::Root> root; // nothing outside of it can be read or written
  bool read_only = false;           // others may read it, not write
  std::size_t requests_max = 256;   // that run at once; another one is refused in words
  std::size_t entries_watched_max = 100'000; // of one directory; a larger one is listed and not watched
  /// How often a directory that a page shows is read again; less often where that takes long.
  Duration watch_interval = std::chrono::seconds(1);
  Duration question_deadline = std::chrono::seconds(60); // of an asker, to allow that a file is replaced
  std::size_t data_bytes_max = 256 << 10;                // of one fragment
  std::function<std::uint64_t()> random;                 // for temporary names; the system's generator unless given
  /// Makes the disk keep what a descriptor's file or directory holds, and returns 0 or minus the error number; fsync
  /// unless given. Holds up the node for as long as the disk takes.
  std::function<int(int descriptor)> keep;
  std::function<void(const std::string&)> log;           // one line for each file got, put or refused

  FilesOptions() = default;
};

/// Registers the service at the node. Each circuit is one request, and ends with it. Errors: error::already_registered.
void serve_files(Node& node, FilesOptions options);

} // namespace trunkline::web
