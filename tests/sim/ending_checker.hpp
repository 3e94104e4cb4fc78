// Checks that everything ends: each operation of the workload says that it began and, by going out of scope, that it
// ended; at the end of a run none may be left, nor a suspended coroutine, nor an open connection.
#pragma once

#include "tests/sim/violations.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace trunkline::sim {

class EndingChecker {
 public:
  explicit EndingChecker(Violations& violations) : violations_(violations) {}

  /// One operation, for as long as it is in scope. A coroutine that is destroyed or cancelled has ended too.
  class Running {
   public:
    Running(EndingChecker& checker, std::string what) : checker_(checker), number_(++checker.started_) {
      checker_.running_.emplace(number_, std::move(what));
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() { checker_.running_.erase(number_); }

   private:
    EndingChecker& checker_;
    std::uint64_t number_;
  };

  /// `when` completes the sentence "still runs ...". Only those whose name begins so.
  void report_running(const std::string& when, const std::string& name = {}) {
    for (const auto& [number, what] : running_)
      if (what.starts_with(name)) violations_.report(what + " still runs " + when);
  }
  /// Whether something runs whose name begins so.
  bool is_running(const std::string& name) const {
    for (const auto& [number, what] : running_)
      if (what.starts_with(name)) return true;
    return false;
  }
  void check_world(World& world) {
    report_running("when its node is gone");
    if (world.connections_open() != 0 || !world.idle())
      violations_.report("not everything has ended, " + world.describe());
  }
  std::uint64_t started() const noexcept { return started_; }

 private:
  friend class Running;

  Violations& violations_;
  std::map<std::uint64_t, std::string> running_;
  std::uint64_t started_ = 0;
};

} // namespace trunkline::sim
