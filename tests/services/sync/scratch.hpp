// A directory that is gone after the test, small words to fill and read it, and a disk that can be told to fail.
#pragma once

#include "services/sync/root.hpp"

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace trunkline::test {

class Scratch {
 public:
  Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  std::string path(std::string_view below = {}) const;
  /// Creates the directories above, too.
  void write(std::string_view path, std::string_view content, mode_t mode = 0644) const;
  void make_directory(std::string_view path, mode_t mode = 0755) const;
  void make_symlink(std::string_view path, const std::string& target) const;
  void set_mtime(std::string_view path, std::int64_t seconds, std::uint32_t nanoseconds = 0) const;
  void remove(std::string_view path) const;
  bool has(std::string_view path) const;
  std::string read(std::string_view path) const;
  struct stat status(std::string_view path) const;

  /// Everything below, by path: type, mode, mtime, content or target. Two equal pictures are two equal trees.
  std::map<std::string, std::string> picture(std::string_view below = {}, bool with_times = true) const;

 private:
  std::filesystem::path root_;
};

/// Fails as its rule says; the rule sees the number of the call, from 1.
class FaultyDisk final : public sync::Disk {
 public:
  using Rule = std::function<int(std::size_t nth, sync::DiskCall call, std::string_view name)>;
  explicit FaultyDisk(Rule rule) : rule_(std::move(rule)) {}

  std::size_t calls() const noexcept { return calls_; }

 protected:
  int before(sync::DiskCall call, std::string_view name) override { return rule_(++calls_, call, name); }

 private:
  Rule rule_;
  std::size_t calls_ = 0;
};

std::function<std::uint64_t()> seeded_random();

} // namespace trunkline::test
