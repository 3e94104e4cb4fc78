// Which thread may use what lives on an executor. The library takes no locks: all of one context is used by one thread.
#pragma once

#include "async/types.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <thread>

namespace trunkline {

/// Why several threads may run the context of an executor at once: "an io_context with the concurrency hint -1". Empty
/// when it is for one thread, and when it cannot be asked.
std::string why_many_threads(const Executor& executor);

/// The thread that runs a context, as last seen. A call may come from a handler of the context; from the thread that
/// used or ran it last, so that a program may set things up, run them and look at them afterwards; and from any thread
/// while the context is stopped.
class HomeThread {
 public:
  /// That of the executor's context, which it may outlive. The first call for a context decides which thread may set
  /// things up before anything runs.
  static std::shared_ptr<HomeThread> of(const Executor& executor);
  HomeThread(const HomeThread&) = delete;
  HomeThread& operator=(const HomeThread&) = delete;

  /// Writes why and aborts when this thread must not make the call, `of` and then `call`. Only in builds with
  /// assertions; costs nothing in others.
  void check([[maybe_unused]] const char* call, [[maybe_unused]] const char* of = "") {
#ifndef NDEBUG
    if (!is_allowed()) refuse(of, call, "another thread runs that node's executor");
#endif
  }

  /// The time in which one thread is inside of a call: it refuses a second thread meanwhile, also where both run the
  /// context.
  class Visit {
   public:
    Visit(HomeThread& home, [[maybe_unused]] const char* call) : home_(home) {
#ifndef NDEBUG
      home_.check(call);
      before_ = home_.inside_.exchange(std::this_thread::get_id());
      if (before_ != std::thread::id() && before_ != std::this_thread::get_id())
        refuse("", call, "two threads run that node's executor at once");
#endif
    }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit() {
#ifndef NDEBUG
      home_.inside_ = before_;
#endif
    }

   private:
    [[maybe_unused]] HomeThread& home_;
    [[maybe_unused]] std::thread::id before_;
  };

 private:
  friend class HomeThreadService;
  HomeThread() = default;
  bool is_allowed() noexcept;
  [[noreturn]] static void refuse(const char* of, const char* call, const char* why) noexcept;

  std::atomic<void*> scheduler_ = nullptr; // of the context; null where it is of another kind, or gone
  std::atomic<std::thread::id> home_ = std::this_thread::get_id();
  std::atomic<std::thread::id> inside_ = std::thread::id();
};

} // namespace trunkline
