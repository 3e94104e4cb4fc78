#include "services/sync/basis.hpp"

#include "services/sync/path.hpp"

#include <algorithm>
#include <cerrno>

namespace trunkline::sync {

Basis::Basis(Root& root, const std::vector<std::string>& paths, std::uint64_t file_bytes, std::uint64_t seed,
             bool prefix)
    : seed_(seed), prefix_(prefix) {
  std::uint64_t size = 0;
  for (const std::string& path : paths) {
    const std::optional<Status> status = root.directory(parent_of(path))->status(std::string(name_of(path)));
    if (!status) throw FileError("read", path, ENOENT);
    if (!status->is_file()) throw FileError("read", path, not_a_file);
    size = std::max(size, status->size);
    Part part;
    part.path = path;
    part.status = *status;
    parts_.push_back(std::move(part));
  }
  sizes_ = SumSizes::for_basis(size, file_bytes);
  for (Part& part : parts_) {
    part.begin = bytes_;
    part.bytes = prefix_ ? part.status.size : part.status.size - part.status.size % sizes_.block_bytes;
    // More blocks than there may be: the rest of the files is of no use.
    if (!prefix_) part.bytes = std::min(part.bytes, std::uint64_t{BlockSums::blocks_max} * sizes_.block_bytes - bytes_);
    bytes_ += part.bytes;
  }
}

BasisReader::BasisReader(Root& root, const Basis& basis) : basis_(basis) {
  for (const Basis::Part& part : basis_.parts_) {
    Open open;
    open.directory = root.directory(parent_of(part.path));
    open.fd = open.directory->open_file(std::string(name_of(part.path)), open.status);
    files_.push_back(std::move(open));
  }
}

bool BasisReader::unchanged() const {
  for (std::size_t i = 0; i < files_.size(); ++i) {
    Status now;
    if (files_[i].directory->disk().status(files_[i].fd.number(), now) < 0 || !now.same_content(basis_.parts_[i].status)) return false;
  }
  return true;
}

bool BasisReader::read(std::uint64_t from, std::span<std::byte> into) const {
  for (std::size_t i = 0; i < files_.size() && !into.empty(); ++i) {
    const Basis::Part& part = basis_.parts_[i];
    if (from >= part.begin + part.bytes) continue;
    const std::size_t size =
        static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), part.begin + part.bytes - from));
    const ssize_t count = files_[i].directory->disk().read(files_[i].fd.number(), into.first(size), from - part.begin);
    if (count < 0) throw FileError("read", part.path, static_cast<int>(-count));
    if (static_cast<std::size_t>(count) < size) return false;
    into = into.subspan(size);
    from += size;
  }
  return into.empty();
}

} // namespace trunkline::sync
