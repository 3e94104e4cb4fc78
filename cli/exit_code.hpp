// What the program ends with; the numbers are rsync's.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>

namespace trunkline::cli {

enum class ExitCode : int {
  equal = 0,
  usage = 1,
  socket = 10,
  file = 11,
  protocol = 12,
  interrupted = 20,
  partial = 23,
  vanished = 24,
  deletions = 25,
  timeout = 30,
  try_again = 75, // as sysexits.h has it
};

/// For --help.
extern const char* const exit_codes_text;

/// The command line is wrong in a way that only the subcommand knows.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

ExitCode exit_code_of(std::exception_ptr failure);
/// One line, without control characters.
std::string line_of(std::exception_ptr failure);

} // namespace trunkline::cli
