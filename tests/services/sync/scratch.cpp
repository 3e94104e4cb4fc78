#include "tests/services/sync/scratch.hpp"

#include "tests/support/seed.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <stdexcept>

namespace trunkline::test {
namespace {

void check(bool good, std::string_view what, const std::string& path) {
  if (!good) throw std::runtime_error(std::string(what) + " failed for " + path);
}

} // namespace

Scratch::Scratch() {
  std::string pattern = (std::filesystem::temp_directory_path() / "trunkline-test-XXXXXX").string();
  check(::mkdtemp(pattern.data()) != nullptr, "mkdtemp", pattern);
  root_ = pattern;
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(root_, ignored);
}

std::string Scratch::path(std::string_view below) const {
  return below.empty() ? root_.string() : (root_ / below).string();
}

void Scratch::write(std::string_view below, std::string_view content, mode_t mode) const {
  std::filesystem::create_directories(std::filesystem::path(path(below)).parent_path());
  std::ofstream file(path(below), std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  check(file.good() && ::chmod(path(below).c_str(), mode) == 0, "write", path(below));
}

void Scratch::make_directory(std::string_view below, mode_t mode) const {
  std::filesystem::create_directories(path(below));
  check(::chmod(path(below).c_str(), mode) == 0, "chmod", path(below));
}

void Scratch::make_symlink(std::string_view below, const std::string& target) const {
  std::filesystem::create_directories(std::filesystem::path(path(below)).parent_path());
  check(::symlink(target.c_str(), path(below).c_str()) == 0, "symlink", path(below));
}

void Scratch::set_mtime(std::string_view below, std::int64_t seconds, std::uint32_t nanoseconds) const {
  const timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
  check(::utimensat(AT_FDCWD, path(below).c_str(), times, AT_SYMLINK_NOFOLLOW) == 0, "utimensat", path(below));
}

void Scratch::remove(std::string_view below) const { std::filesystem::remove_all(path(below)); }

bool Scratch::has(std::string_view below) const {
  struct stat found;
  return ::lstat(path(below).c_str(), &found) == 0;
}

std::string Scratch::read(std::string_view below) const {
  std::ifstream file(path(below), std::ios::binary);
  check(file.good(), "read", path(below));
  return {std::istreambuf_iterator<char>(file), {}};
}

struct stat Scratch::status(std::string_view below) const {
  struct stat found;
  check(::lstat(path(below).c_str(), &found) == 0, "lstat", path(below));
  return found;
}

std::map<std::string, std::string> Scratch::picture(std::string_view below, bool with_times) const {
  std::map<std::string, std::string> picture;
  const std::filesystem::path top = path(below);
  for (const auto& item : std::filesystem::recursive_directory_iterator(top)) {
    const std::string name = item.path().lexically_relative(top).string();
    const auto found = status((std::filesystem::path(below) / name).string());
    char text[80];
    std::snprintf(
        text, sizeof text, "%o %lld.%09ld ", static_cast<unsigned>(S_ISLNK(found.st_mode) ? 0 : found.st_mode),
        static_cast<long long>(with_times ? found.st_mtim.tv_sec : 0), with_times ? found.st_mtim.tv_nsec : 0L);
    std::string& line = picture[name];
    line = text;
    if (S_ISLNK(found.st_mode)) line += "-> " + std::filesystem::read_symlink(item.path()).string();
    if (S_ISREG(found.st_mode)) line += read((std::filesystem::path(below) / name).string());
  }
  return picture;
}

std::function<std::uint64_t()> seeded_random() {
  auto engine = std::make_shared<std::mt19937_64>(test_seed());
  return [engine] { return (*engine)(); };
}

} // namespace trunkline::test
