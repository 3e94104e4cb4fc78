// What the drivers of all peers share: the command line, the workloads, the stamp that every message carries, and
// how memory is read. A driver is one executable, bench_<peer>:
//
//   bench_<peer> serve WORKLOAD [options]         prints "LISTENING <port>", serves one run, exits
//   bench_<peer> drive WORKLOAD PORT [options]    runs it, prints one line {"value": ..., "unit": "..."}
//
// A receiver hands every message to Checks, which throws on the first one that is lost, repeated, out of order or of
// the wrong size; run() turns that into one line on stderr and exit status 1. A peer that cannot do a workload
// throws Unsupported from serve(): exit status 77, and the reason becomes a note under the table.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

enum class Workload {
  one_way_64,
  one_way_64_x100,
  bulk_64k,
  bulk_64k_x16,
  round_trip,
  opens,
  idle_circuit_bytes,
  idle_connection_bytes,
  quarkchain_root_block, // bench_quarkchain_codec only
  calls_64, // bench_trunkline only; bench_quarkchain has its own of that name
  handshakes, // bench_raw_tls and bench_trunkline_tls only
};

inline constexpr const char* workload_names[] = {"one_way_64",
                                                 "one_way_64_x100",
                                                 "bulk_64k",
                                                 "bulk_64k_x16",
                                                 "round_trip",
                                                 "opens",
                                                 "idle_circuit_bytes",
                                                 "idle_connection_bytes",
                                                 "quarkchain_root_block",
                                                 "calls_64",
                                                 "handshakes"};

/// Opens that a driver keeps unanswered in the workload `opens`.
inline constexpr std::uint64_t opens_outstanding = 64;

/// Calls that a driver keeps unanswered in the workload `calls_64`.
inline constexpr std::uint64_t calls_outstanding = 64;

inline constexpr std::size_t small_bytes = 64;
inline constexpr std::size_t bulk_bytes = 65536;

struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  bool serving = false;
  Workload workload = Workload::one_way_64;
  std::uint16_t port = 0;      // drive only
  double seconds = 1;          // how long to send; ignored where count is given
  std::uint64_t count = 0;     // messages, round trips, opens, idle circuits or idle connections; both ends get it
  int far_pid = 0;             // drive only: the serving process, whose memory the idle workloads read
  bool skip_one = false;       // drive only: leave out one sequence number, to show that the receiver notices

  std::uint32_t streams() const {
    return workload == Workload::one_way_64_x100 ? 100 : workload == Workload::bulk_64k_x16 ? 16 : 1;
  }
  bool bulk() const { return workload == Workload::bulk_64k || workload == Workload::bulk_64k_x16; }
  bool one_way() const { return bulk() || workload == Workload::one_way_64 || workload == Workload::one_way_64_x100; }
  std::size_t message_bytes() const { return bulk() ? bulk_bytes : small_bytes; }
};

struct Result {
  double value = 0;
  const char* unit = "";
};

inline double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Stamps messages on the sending side. A message begins with its sequence number within its stream (8 bytes) and the
/// stream (4 bytes), and ends with the complement of the sequence number, so that a wrong cut shows as well.
class Stamps {
 public:
  explicit Stamps(const Options& options)
      : next_(options.streams(), 0), message_bytes_(options.message_bytes()), skip_at_(options.skip_one ? 3 : ~0ull) {}

  void stamp(char* message, std::uint32_t stream) {
    if (sent_++ == skip_at_) ++next_[stream];
    const std::uint64_t sequence = next_[stream]++;
    const std::uint64_t complement = ~sequence;
    std::memcpy(message, &sequence, sizeof sequence);
    std::memcpy(message + sizeof sequence, &stream, sizeof stream);
    std::memcpy(message + message_bytes_ - sizeof complement, &complement, sizeof complement);
  }

  std::uint64_t sent() const { return sent_; }

 private:
  std::vector<std::uint64_t> next_;
  std::size_t message_bytes_;
  std::uint64_t skip_at_;
  std::uint64_t sent_ = 0;
};

inline std::uint64_t stamped_sequence(const char* message) {
  std::uint64_t sequence;
  std::memcpy(&sequence, message, sizeof sequence);
  return sequence;
}

inline std::uint32_t stamped_stream(const char* message) {
  std::uint32_t stream;
  std::memcpy(&stream, message + sizeof(std::uint64_t), sizeof stream);
  return stream;
}

/// Checks messages on the receiving side: size, order, nothing lost, nothing twice. Throws at the first that differs.
class Checks {
 public:
  explicit Checks(const Options& options) : expected_(options.streams(), 0), message_bytes_(options.message_bytes()) {}

  void check(const char* message, std::size_t bytes, std::uint32_t stream) {
    if (bytes != message_bytes_) fail("message", bytes, stream, message_bytes_, " bytes");
    check_ends(message, message + bytes - sizeof(std::uint64_t), stream);
  }

  /// For a receiver that sees a message in pieces: its first 12 and last 8 bytes, the size being checked elsewhere.
  void check_ends(const char* first, const char* last, std::uint32_t stream) {
    const std::uint64_t sequence = stamped_sequence(first);
    const std::uint64_t complement = stamped_sequence(last);
    if (stream >= expected_.size()) fail("stream", stream, stream, expected_.size(), " streams at most");
    if (stamped_stream(first) != stream) fail("stamped stream", stamped_stream(first), stream, stream, "");
    if (sequence != expected_[stream]) fail("sequence", sequence, stream, expected_[stream], "");
    if (complement != ~sequence) fail("end of message", ~complement, stream, sequence, "");
    ++expected_[stream];
    ++received_;
  }

  std::uint64_t received() const { return received_; }
  std::uint64_t received(std::uint32_t stream) const { return expected_[stream]; }

 private:
  [[noreturn]] static void fail(const char* what, std::uint64_t seen, std::uint32_t stream, std::uint64_t expected,
                                const char* unit) {
    throw std::runtime_error(std::string(what) + " " + std::to_string(seen) + " on stream " + std::to_string(stream) +
                             ", expected " + std::to_string(expected) + unit);
  }

  std::vector<std::uint64_t> expected_;
  std::size_t message_bytes_;
  std::uint64_t received_ = 0;
};

/// How long a driver goes on: until the time is over, or until `count` is reached where it is given.
class Goal {
 public:
  explicit Goal(const Options& options)
      : count_(options.count), begin_(now_seconds()), end_(begin_ + options.seconds) {}

  /// How many more may be sent now, `batch` at most; reads the clock, so ask per batch.
  std::uint64_t more(std::uint64_t done, std::uint64_t batch) const {
    if (count_ != 0) return std::min(batch, count_ - std::min(count_, done));
    return now_seconds() < end_ ? batch : 0;
  }

  double elapsed() const { return now_seconds() - begin_; }

 private:
  std::uint64_t count_;
  double begin_;
  double end_;
};

/// The result of a one-way run. `confirmed` is what the receiver says it has received and checked; it must be all.
inline Result one_way_result(const Options& options, std::uint64_t sent, std::uint64_t confirmed, double elapsed) {
  if (sent != confirmed)
    throw std::runtime_error("receiver confirmed " + std::to_string(confirmed) + " messages, expected " +
                             std::to_string(sent));
  const double rate = static_cast<double>(confirmed) / elapsed;
  if (options.bulk()) return {rate * static_cast<double>(bulk_bytes) / 1e9, "GB/s"};
  return {rate, "messages/s"};
}

/// The median of single round trips, in microseconds.
class RoundTrips {
 public:
  void begin() { begin_ = std::chrono::steady_clock::now(); }
  void end() {
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin_;
    microseconds_.push_back(static_cast<float>(took.count()));
  }
  std::uint64_t count() const { return microseconds_.size(); }
  Result result() {
    if (microseconds_.empty()) throw std::runtime_error("no round trip was made");
    const auto middle = microseconds_.begin() + static_cast<std::ptrdiff_t>(microseconds_.size() / 2);
    std::nth_element(microseconds_.begin(), middle, microseconds_.end());
    return {*middle, "us"};
  }

 private:
  std::chrono::steady_clock::time_point begin_;
  std::vector<float> microseconds_;
};

/// Anonymous resident memory of a process: heap, stacks and data, without the program's text and without the kernel's.
inline double resident_bytes(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
  std::string line;
  while (std::getline(file, line))
    if (line.rfind("Anonymous:", 0) == 0) return std::strtod(line.c_str() + std::strlen("Anonymous:"), nullptr) * 1024;
  throw std::runtime_error("no memory figures for process " + std::to_string(pid) + "; is --far-pid given?");
}

/// Memory of both ends together, as growth since it was made. Make it when one circuit (or connection) has been used.
class Footprint {
 public:
  explicit Footprint(const Options& options) : far_pid_(options.far_pid), before_(both()) {}
  Result per(std::uint64_t count) const {
    return {std::max(0.0, both() - before_) / static_cast<double>(count), "bytes"};
  }

 private:
  double both() const { return resident_bytes(::getpid()) + resident_bytes(far_pid_); }

  int far_pid_;
  double before_;
};

/// Tells the one who started us that we listen.
inline void say_listening(std::uint16_t port) {
  std::printf("LISTENING %u\n", port);
  std::fflush(stdout);
}

inline Options parse(int argc, char** argv) {
  const auto usage = [](const std::string& why) -> std::runtime_error {
    return std::runtime_error(why +
                              "\nusage: serve WORKLOAD | drive WORKLOAD PORT  [--seconds S] [--count N] [--far-pid PID]"
                              " [--plant skip-one]");
  };
  if (argc < 3) throw usage("too few arguments");

  Options options;
  const std::string_view verb = argv[1];
  if (verb != "serve" && verb != "drive") throw usage("no verb \"" + std::string(verb) + "\"");
  options.serving = verb == "serve";
  const auto name = std::find(std::begin(workload_names), std::end(workload_names), std::string_view(argv[2]));
  if (name == std::end(workload_names)) throw usage("no workload \"" + std::string(argv[2]) + "\"");
  options.workload = static_cast<Workload>(name - std::begin(workload_names));

  int at = 3;
  if (!options.serving) {
    if (argc < 4) throw usage("drive needs a port");
    options.port = static_cast<std::uint16_t>(std::atoi(argv[at++]));
  }
  for (; at + 1 < argc; at += 2) {
    const std::string_view option = argv[at];
    const char* value = argv[at + 1];
    if (option == "--seconds") options.seconds = std::atof(value);
    else if (option == "--count") options.count = std::strtoull(value, nullptr, 10);
    else if (option == "--far-pid") options.far_pid = std::atoi(value);
    else if (option == "--plant" && std::string_view(value) == "skip-one") options.skip_one = true;
    else throw usage("no option \"" + std::string(option) + " " + value + "\"");
  }
  if (at != argc) throw usage("option " + std::string(argv[at]) + " has no value");
  return options;
}

/// The whole of a driver's main().
inline int run(int argc, char** argv, void (*serve)(const Options&), Result (*drive)(const Options&)) {
  try {
    const Options options = parse(argc, argv);
    if (options.serving) {
      serve(options);
    } else {
      const Result result = drive(options);
      std::printf("{\"value\": %.6g, \"unit\": \"%s\"}\n", result.value, result.unit);
    }
    return 0;
  } catch (const Unsupported& unsupported) {
    std::fprintf(stderr, "%s\n", unsupported.what());
    return 77;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace bench
