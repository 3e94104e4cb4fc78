// The configuration file of a program that runs: what it takes from there when the file is read again.
#pragma once

#include "cli/logger.hpp"
#include "cli/operate/configuration.hpp"
#include "cli/operate/limits.hpp"

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace CLI {
class Option;
}

namespace trunkline::cli {

/// Compares the file with what it said before. Keys that the program follows are taken; every other one that has changed
/// is named as one that needs a restart, and again each time until it has had one. What the command line or the
/// environment says stays.
class RunningConfiguration {
 public:
  /// Without a file nothing ever changes. `options` must outlive it. Errors: as read_configuration.
  RunningConfiguration(ConfigurationOptions& options, Logger logger);

  /// When the key has changed, its variable, that of its option, gets the new value with all checks of the command line,
  /// and `take` is called. What that throws is logged, and brings the old value back.
  template <class Value> void follow(std::string key, Value& variable, std::function<void()> take) {
    Followed& followed = followed_[std::move(key)];
    followed.keep = [&variable] { return [&variable, old = variable] { variable = old; }; };
    followed.clear = [&variable] { variable = Value(); };
    followed.take = std::move(take);
  }
  /// The same for the key of a limit.
  void follow_limit(const std::string& name, LimitOptions& limits, std::function<void()> take);

  bool has_file() const noexcept { return !options_.file.empty(); }
  const std::string& file() const noexcept { return options_.file; }
  /// Reads the file again. Errors: as read_configuration; then nothing has changed.
  void read_again();

 private:
  struct Followed {
    std::function<std::function<void()>()> keep; // returns what brings the value back that is there now
    std::function<void()> clear;
    std::function<void()> take;
  };
  /// Whether another place has the last word, and its name.
  std::string last_word_on(const std::string& key) const;
  void take(const std::string& key, const Followed& followed, const Setting* setting);
  static void set(CLI::Option& option, const Followed& followed, const Setting* setting);

  ConfigurationOptions& options_;
  Logger logger_;
  std::map<std::string, Followed, std::less<>> followed_;
  Settings running_; // what this process does
};

/// Follows log-level, log-format and log-file. `usual`: the level where nothing says one.
void follow_log(RunningConfiguration& running, LogOptions& options, const Logger& logger, std::function<LogLevel()> usual);

} // namespace trunkline::cli
