// The static files that a port gives to browsers: compiled in, or read from a directory once.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

/// A set of files by path. Nothing is read when it is asked for one, so no request leads to another file.
class WebPages {
 public:
  struct Page {
    std::string_view type; // "text/html; charset=utf-8"
    std::string content;
  };

  /// Adds a file, "page.js" or "icons/icon.svg"; the type follows from the ending. The last one of a path counts.
  void add(std::string path, std::string content);
  /// Adds all regular files below a directory, but those whose names begin with '.'; symlinks are not followed. Errors:
  /// boost::system::system_error when something cannot be read, or all of it is more than `bytes_max`.
  void add_directory(const std::string& directory, std::size_t bytes_max = 64 << 20);

  /// The file that a request names by its target: "/", "/page.js?v=2". A path that ends in '/' means the index.html
  /// there. Null when there is none.
  const Page* find(std::string_view target) const;
  bool empty() const noexcept { return pages_.empty(); }
  std::vector<std::string> paths() const;

 private:
  std::map<std::string, Page, std::less<>> pages_;
};

} // namespace trunkline
