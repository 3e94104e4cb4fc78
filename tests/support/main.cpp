// main() of every doctest binary.
//
// Adds three things to doctest's own: the seed of the run is printed with a failure and taken from TRUNKLINE_SEED; a
// test case that hangs becomes a failure that names it; and so does one that dies by a signal. The two latter work
// from a thread or a signal handler, so they only use what the listener wrote down before the case began.

#define DOCTEST_CONFIG_IMPLEMENT
// A sanitizer's report of a crash says more than doctest's handler, which would take the signal away from it.
#define DOCTEST_CONFIG_NO_POSIX_SIGNALS
#include <doctest/doctest.h>

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include "tests/support/seed.hpp"

namespace trunkline::test {

std::uint64_t test_seed() {
  static const std::uint64_t seed = [] {
    if (const char* text = std::getenv("TRUNKLINE_SEED")) return std::uint64_t{std::strtoull(text, nullptr, 0)};
    std::random_device device;
    return (std::uint64_t{device()} << 32) | device();
  }();
  return seed;
}

}  // namespace trunkline::test

namespace {

// The last words of a run that doctest cannot end itself: which case, which seed. Written before the case starts.
char epitaph[512];
std::atomic<std::size_t> epitaph_bytes{0};

void write_epitaph() {
  std::size_t bytes = epitaph_bytes.load();
  if (bytes == 0) return;
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, epitaph, bytes);
}

extern "C" void die_by_signal(int signal) {
  write_epitaph();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

class Watchdog {
 public:
  explicit Watchdog(std::chrono::seconds patience) : patience_(patience), thread_([this] { watch(); }) {}

  ~Watchdog() {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  void case_started() {
    {
      std::lock_guard lock(mutex_);
      ++cases_;
      running_ = true;
    }
    wake_.notify_one();
  }

  void case_ended() {
    std::lock_guard lock(mutex_);
    running_ = false;
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    while (!ending_) {
      std::uint64_t watched = cases_;
      bool moved = wake_.wait_for(lock, patience_, [&] { return ending_ || cases_ != watched; });
      if (moved || !running_) continue;
      std::fprintf(stderr, "\nhang: a test case still runs after %lld s (TRUNKLINE_TEST_PATIENCE)\n",
                   static_cast<long long>(patience_.count()));
      std::abort();
    }
  }

  const std::chrono::seconds patience_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::uint64_t cases_ = 0;  // started so far
  bool running_ = false;
  bool ending_ = false;
  std::thread thread_;  // last: it uses all of the above
};

Watchdog* watchdog = nullptr;

struct Listener : doctest::IReporter {
  explicit Listener(const doctest::ContextOptions&) {}

  void test_case_start(const doctest::TestCaseData& data) override {
    int bytes = std::snprintf(
        epitaph, sizeof epitaph, "\ndied in test case \"%s\" (%s:%u)\nreplay with TRUNKLINE_SEED=%llu\n", data.m_name,
        data.m_file.c_str(), data.m_line, static_cast<unsigned long long>(trunkline::test::test_seed()));
    epitaph_bytes = bytes < 0 ? 0 : std::min(static_cast<std::size_t>(bytes), sizeof epitaph - 1);
    if (watchdog) watchdog->case_started();
  }
  void test_case_end(const doctest::CurrentTestCaseStats& stats) override {
    if (watchdog) watchdog->case_ended();
    epitaph_bytes = 0;
    if (stats.failure_flags != 0) {
      std::printf("replay with TRUNKLINE_SEED=%llu\n", static_cast<unsigned long long>(trunkline::test::test_seed()));
      std::fflush(stdout);
    }
  }
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};

}  // namespace

REGISTER_LISTENER("trunkline", 1, Listener);

int main(int argc, char** argv) {
  // A peer that hangs up must show as an error code, as it does in a program that embeds the library.
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGABRT, die_by_signal);

  const char* patience = std::getenv("TRUNKLINE_TEST_PATIENCE");
  Watchdog dog(std::chrono::seconds(patience ? std::atoi(patience) : 60));
  watchdog = &dog;

  doctest::Context context(argc, argv);
  int result = context.run();
  watchdog = nullptr;
  return result;
}
