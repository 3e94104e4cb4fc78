#include "services/sync/lookalikes.hpp"

#include "services/sync/path.hpp"

#include <algorithm>
#include <vector>

namespace trunkline::sync {

std::uint64_t Lookalikes::key_of(const Entry& file) noexcept {
  return (file.size * 0x9E3779B97F4A7C15ull) ^ (static_cast<std::uint64_t>(file.mtime.seconds) << 20) ^
         file.mtime.nanoseconds;
}

void Lookalikes::add(const Entry& file) {
  if (file.size < bytes_min_) return;
  if (files_.size() >= count_max) make_room();
  if (file.size < bytes_min_) return;
  files_.emplace(key_of(file), File{file.size, file.mtime, file.path});
}

/// The smaller half goes; of those that are as large as the one in the middle, any. So it takes as many more files until
/// the next time.
void Lookalikes::make_room() {
  std::vector<std::uint64_t> sizes;
  sizes.reserve(files_.size());
  for (const auto& [key, file] : files_) sizes.push_back(file.size);
  const auto middle = sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() / 2);
  std::nth_element(sizes.begin(), middle, sizes.end());
  bytes_min_ = *middle;
  std::erase_if(files_, [this](const auto& file) { return file.second.size < bytes_min_; });
  std::erase_if(files_, [this, count = files_.size()](const auto& file) mutable {
    const bool goes = file.second.size == bytes_min_ && count > count_max / 2;
    if (goes) --count;
    return goes;
  });
}

const std::string* Lookalikes::find(const Entry& file) const {
  const auto [begin, end] = files_.equal_range(key_of(file));
  const std::string* found = nullptr;
  for (auto at = begin; at != end; ++at) {
    const File& candidate = at->second;
    if (candidate.size != file.size || candidate.mtime != file.mtime) continue;
    if (!found || name_of(candidate.path) == name_of(file.path)) found = &candidate.path;
  }
  return found;
}

} // namespace trunkline::sync
