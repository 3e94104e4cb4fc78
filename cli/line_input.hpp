// Lines that somebody types or pipes in, without holding up the executor.
#pragma once

#include "async/types.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace trunkline {

/// The standard input, line by line. One executor; one read at a time. The descriptor itself is left as it is: it may
/// be shared with the output, and with whoever started this process.
class LineInput {
 public:
  static constexpr std::size_t line_bytes_max = 64 << 20;

  /// Errors: boost::system::system_error when it cannot be read at all.
  explicit LineInput(const Executor& executor);
  ~LineInput();
  LineInput(const LineInput&) = delete;
  LineInput& operator=(const LineInput&) = delete;

  /// The next line without its end, or nothing when there is none any more. Cancelled: what was typed so far is kept.
  /// Errors: boost::system::system_error, error::fragment_too_large for a line of more than line_bytes_max.
  awaitable<std::optional<std::string>> next();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace trunkline
