// What the .cpp files that use OpenSSL share. Included by them alone.
#pragma once

#include <openssl/err.h>

#include <string>

namespace trunkline {

/// The words of the latest error of this thread, which are forgotten then; "unknown reason" without one.
inline std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* const words = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return words ? words : "unknown reason";
}

} // namespace trunkline
