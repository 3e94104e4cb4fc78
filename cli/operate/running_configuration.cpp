#include "cli/operate/running_configuration.hpp"

#include "fragment/quote.hpp"
#include "services/sync/path.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <set>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

const Setting* find(const Settings& settings, const std::string& key) {
  const auto found = settings.find(key);
  return found == settings.end() ? nullptr : &found->second;
}

bool differ(const Setting* one, const Setting* other) {
  if (!one || !other) return one != other;
  return one->values != other->values || one->is_set != other->is_set;
}

} // namespace

RunningConfiguration::RunningConfiguration(ConfigurationOptions& options, Logger logger)
    : options_(options), logger_(std::move(logger)) {
  if (has_file()) running_ = read_configuration(options_.file, *options_.command);
}

void RunningConfiguration::follow_limit(const std::string& name, LimitOptions& limits, std::function<void()> take) {
  Followed& followed = followed_[std::string(limit_prefix) + name];
  followed.keep = [&limits] { return [&limits, old = limits.values] { limits.values = old; }; };
  followed.clear = [&limits, name] { limits.values.erase(name); };
  followed.take = std::move(take);
}

std::string RunningConfiguration::last_word_on(const std::string& key) const {
  if (std::ranges::find(options_.given, key) != options_.given.end()) return "the command line";
  const std::string variable = variable_of(key);
  return std::getenv(variable.c_str()) ? variable : std::string();
}

void RunningConfiguration::read_again() {
  const Settings now = read_configuration(options_.file, *options_.command);
  // Those of the log come first: what is said of the others goes to where it now should.
  const auto earlier = [](const std::string& one, const std::string& other) {
    const bool is_of_log = one.starts_with("log-");
    return is_of_log != other.starts_with("log-") ? is_of_log : one < other;
  };
  std::set<std::string, decltype(earlier)> keys(earlier);
  for (const auto& [key, setting] : running_) keys.insert(key);
  for (const auto& [key, setting] : now) keys.insert(key);
  std::vector<std::string> taken;
  for (const std::string& key : keys) {
    const Setting* const setting = find(now, key);
    if (!differ(find(running_, key), setting)) continue;
    const auto followed = followed_.find(key);
    if (const std::string where = last_word_on(key); !where.empty()) {
      logger_->info("{}: {} has changed, and {} has the last word", options_.file, key, where);
    } else if (followed == followed_.end()) {
      logger_->warn("{}: {} has changed and needs a restart", options_.file, key);
      continue;
    } else {
      try {
        take(key, followed->second, setting);
      } catch (const std::exception& failure) {
        const std::string line = setting ? fmt::format("{}:{}", options_.file, setting->line) : options_.file;
        logger_->error("{}: {} stays as it was: {}", line, key, sync::printable_sentence(text_of(failure)));
        continue;
      }
      taken.push_back(key);
    }
    if (setting) running_[key] = *setting;
    else running_.erase(key);
  }
  if (!taken.empty()) logger_->info("{}: taken: {}", options_.file, fmt::join(taken, ", "));
}

void RunningConfiguration::take(const std::string& key, const Followed& followed, const Setting* setting) {
  CLI::Option& option = *options_.command->get_option("--" + key);
  const std::vector<std::string> words = option.results();
  const std::function<void()> bring_back = followed.keep();
  try {
    set(option, followed, setting);
    followed.take();
  } catch (...) {
    bring_back();
    option.clear();
    for (const std::string& word : words) option.add_result(word);
    throw;
  }
}

void RunningConfiguration::set(CLI::Option& option, const Followed& followed, const Setting* setting) {
  option.clear();
  if (setting && setting->is_set) {
    if (setting->values.empty()) option.add_result(option.get_expected_max() == 0 ? "true" : "");
    for (const std::string& value : setting->values) option.add_result(value);
    option.run_callback();
    return;
  }
  followed.clear();
  if (option.get_default_str().empty() || option.get_lnames().front().starts_with(limit_prefix)) return;
  option.add_result(option.get_default_str());
  option.run_callback();
  option.clear(); // nobody has given it
}

void follow_log(RunningConfiguration& running, LogOptions& options, const Logger& logger, std::function<LogLevel()> usual) {
  running.follow("log-level", options.level,
                 [&options, logger, usual] { set_log_level(logger, least_level(options, usual())); });
  running.follow("log-format", options.format, [&options, logger] { set_log_format(logger, options.format); });
  running.follow("log-file", options.file, [&options, logger] { set_log_file(logger, options.file); });
}

} // namespace trunkline::cli
