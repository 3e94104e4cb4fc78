// An execution layer as a process of ours: its directory, its ports, its secret, its log, its end. It does not outlive
// us.
#pragma once

#include "async/types.hpp"
#include "services/quarkchain/engine/engine_client.hpp"

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

namespace trunkline::quarkchain {

struct EngineProcessOptions {
  /// Words with blanks between them, in which {genesis}, {data}, {jwt}, {rpc_port} and {engine_port} stand for what they
  /// say. The program has to listen on 127.0.0.1 alone, and to read nothing of its standard input.
  std::string command;
  std::string directory; // its own; made when it is not there
  std::uint16_t ports_from = 0; // two from here on; 0: two that are free
  std::size_t log_bytes_max = std::size_t{8} << 20; // of one log file, of which there are two
};

class EngineProcess {
 public:
  /// Starts it. What it has kept before it finds in its directory. Errors: ConfigFailure for what cannot be started.
  EngineProcess(const trunkline::Executor& executor, EngineProcessOptions options, const std::string& genesis_json);
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;
  /// Ends it and waits for that, some seconds at most; then it is killed.
  ~EngineProcess();

  const EngineAddress& address() const noexcept { return address_; }
  pid_t pid() const noexcept { return pid_; }
  const std::string& log_file() const noexcept { return log_file_; }
  /// What it has done so far; both grow while it works, however little of the processor it gets.
  struct Work {
    Duration processor{};         // its own, without its children
    std::uint64_t said_bytes = 0; // also by its children
  };
  Work work() const noexcept;
  bool has_ended() noexcept {
    reap(false);
    return gone_;
  }
  /// Asks it to end, and waits for nothing.
  void terminate() noexcept;
  void kill() noexcept;

  /// Waits for its end and says how it ended: "exit code 1", "signal 9".
  static awaitable<std::string> ended(std::shared_ptr<EngineProcess> process);
  /// Writes what it says into its log, until it is gone.
  static awaitable<void> keep_log(std::shared_ptr<EngineProcess> process);

 private:
  struct Watch; // what Asio knows of it
  void reap(bool wait) noexcept;

  EngineProcessOptions options_;
  EngineAddress address_;
  std::string log_file_;
  pid_t pid_ = -1;
  bool gone_ = false;
  int status_ = 0;
  std::uint64_t said_bytes_ = 0;
  std::unique_ptr<Watch> watch_;
};

} // namespace trunkline::quarkchain
