// What drivers of workloads of our own are told on their command line, and how they fail: the peers' workloads are in
// bench.hpp.
#pragma once

#include "bench.hpp"

#include <cstdint>
#include <cstdio>
#include <exception>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

namespace bench {

struct OwnOptions {
  bool serving = false;
  std::string workload;
  std::string port;
  double seconds = 1;
  std::uint64_t count = 0; // instead of a time
  bool skip_one = false; // leave out one number, to show that the receiver notices
};

/// `peer` is the driver's name in the table, `workloads` are those that it has.
inline OwnOptions parse_own(int argc, char** argv, std::string_view peer,
                            std::initializer_list<std::string_view> workloads) {
  if (argc < 3)
    throw std::runtime_error("usage: serve WORKLOAD | drive WORKLOAD PORT  [--seconds S] [--count N] [--far-pid PID]");
  OwnOptions options;
  options.serving = std::string_view(argv[1]) == "serve";
  options.workload = argv[2];
  bool known = false;
  for (const std::string_view name : workloads) known = known || options.workload == name;
  if (!known) throw Unsupported(std::string(peer) + ": no workload " + options.workload);
  int at = 3;
  if (!options.serving) {
    if (argc < 4) throw std::runtime_error("drive needs a port");
    options.port = argv[at++];
  }
  for (; at + 1 < argc; at += 2) {
    const std::string_view option = argv[at];
    if (option == "--seconds") options.seconds = std::stod(argv[at + 1]);
    else if (option == "--count") options.count = std::stoull(argv[at + 1]);
    else if (option == "--plant") options.skip_one = true;
    else if (option != "--far-pid") throw std::runtime_error("no option " + std::string(option));
  }
  return options;
}

/// The exit code of a driver that does this.
template <class Body> int exit_code_of(const char* program, Body&& body) {
  try {
    body();
    return 0;
  } catch (const Unsupported& unsupported) {
    std::fprintf(stderr, "%s\n", unsupported.what());
    return 77;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return 1;
  }
}

} // namespace bench
