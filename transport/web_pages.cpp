#include "transport/web_pages.hpp"

#include "fragment/quote.hpp"
#include "transport/failure.hpp"

#include <boost/system/error_code.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

namespace trunkline {
namespace {

using boost::system::error_code;

constexpr std::pair<std::string_view, std::string_view> types[] = {
    {".html", "text/html; charset=utf-8"},       {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},   {".mjs", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},                   {".png", "image/png"},
    {".ico", "image/x-icon"},                    {".json", "application/json"},
    {".txt", "text/plain; charset=utf-8"},       {".map", "application/json"},
    {".woff2", "font/woff2"},                    {".wasm", "application/wasm"},
    {".webmanifest", "application/manifest+json"},
};

std::string_view type_of(std::string_view path) noexcept {
  for (const auto& [ending, type] : types)
    if (path.ends_with(ending)) return type;
  return "application/octet-stream";
}

[[noreturn]] void fail(int reason, const std::string& path) {
  throw_transport_error(error_code(reason, boost::system::system_category()), "cannot read " + quote(path));
}

std::string read_file(const std::string& path, std::size_t bytes_max) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) fail(errno, path);
  std::string content;
  char bytes[64 << 10];
  ssize_t count = 0;
  while (content.size() <= bytes_max && (count = ::read(file, bytes, sizeof bytes)) > 0)
    content.append(bytes, static_cast<std::size_t>(count));
  const int reason = count < 0 ? errno : 0;
  ::close(file);
  if (reason != 0) fail(reason, path);
  return content;
}

} // namespace

void WebPages::add(std::string path, std::string content) {
  const std::string_view type = type_of(path);
  pages_.insert_or_assign(std::move(path), Page{type, std::move(content)});
}

void WebPages::add_directory(const std::string& directory, std::size_t bytes_max) {
  namespace fs = std::filesystem;
  std::error_code failure;
  const fs::path root(directory);
  std::size_t left = bytes_max;
  fs::recursive_directory_iterator at(root, failure);
  for (; !failure && at != fs::recursive_directory_iterator(); at.increment(failure)) {
    if (at->path().filename().string().starts_with('.')) {
      at.disable_recursion_pending();
      continue;
    }
    if (!fs::is_regular_file(at->symlink_status(failure))) continue;
    std::string content = read_file(at->path().string(), left);
    if (content.size() > left) {
      throw_transport_text(error_code(EFBIG, boost::system::system_category()),
                           "the files below " + quote(directory) + " are more than " + std::to_string(bytes_max) +
                               " bytes");
    }
    left -= content.size();
    add(at->path().lexically_relative(root).generic_string(), std::move(content));
  }
  if (failure) fail(failure.value(), directory);
}

const WebPages::Page* WebPages::find(std::string_view target) const {
  if (!target.starts_with('/')) return nullptr;
  target = target.substr(1, target.find_first_of("?#") - 1);
  std::string path(target);
  if (path.empty() || path.ends_with('/')) path += "index.html";
  const auto found = pages_.find(path);
  return found == pages_.end() ? nullptr : &found->second;
}

std::vector<std::string> WebPages::paths() const {
  std::vector<std::string> all;
  for (const auto& [path, page] : pages_) all.push_back(path);
  return all;
}

} // namespace trunkline
