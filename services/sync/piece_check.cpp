#include "services/sync/piece_check.hpp"

namespace trunkline::sync {

std::string PieceCheck::misfit(std::uint64_t to, std::uint64_t size) const {
  return "of " + std::to_string(file_bytes_) + " bytes gets " + std::to_string(size) + " bytes at " +
         std::to_string(to) + " after " + std::to_string(end_);
}

std::string PieceCheck::wrong_with_data(std::uint64_t to, std::uint64_t size) {
  if (!fits(to, size)) return misfit(to, size);
  end_ = to + size;
  return {};
}

std::string PieceCheck::wrong_with_copy(std::uint64_t to, std::uint64_t from, std::uint64_t size) {
  if (!fits(to, size)) return misfit(to, size);
  if (from > basis_bytes_ || size > basis_bytes_ - from)
    return "copies " + std::to_string(size) + " bytes from " + std::to_string(from) + " of a basis of " +
           std::to_string(basis_bytes_);
  if (in_place_ && from < to)
    return "copies from " + std::to_string(from) + " to " + std::to_string(to) + ", where it is overwritten already";
  end_ = to + size;
  return {};
}

} // namespace trunkline::sync
