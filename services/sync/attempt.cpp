#include "services/sync/attempt.hpp"

#include <cerrno>
#include <string>

namespace trunkline::sync {

void throw_if_hopeless(const FileError& failure) {
  const int number = failure.error_number();
  if (number != ENOSPC && number != EROFS && number != EDQUOT) return;
  throw Failure(Failure::Kind::file, std::string(failure.what()) + "; nothing more is sent");
}

} // namespace trunkline::sync
