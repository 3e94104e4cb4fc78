// Why a request is not done: it cannot be, it asks for what is not here, or nobody here does it. Thrown by those who
// answer, and by calls.
#pragma once

#include "async/types.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>

namespace trunkline::quarkchain {

/// The codes that pyquarkchain sends. A receiver tells only zero from the rest.
enum class Refusal : std::uint32_t { failed = 1, not_found = 2, invalid = 14, bad_message = 74 };

/// A request that cannot be done. Its code travels as the reply's error_code, its text is for the log of whoever
/// refused.
class Refused : public std::runtime_error {
 public:
  Refused(Refusal refusal, const std::string& why) : Refused(static_cast<std::uint32_t>(refusal), why) {}
  Refused(std::uint32_t code, const std::string& why) : std::runtime_error(why), code_(code) {}
  std::uint32_t code() const noexcept { return code_; }

 private:
  std::uint32_t code_;
};

/// What was asked for is not here, which is no failure: a reply that would hold a block says so with pyquarkchain's
/// filler block, and nothing is logged. Any other reply refuses.
class NotFound : public Refused {
 public:
  explicit NotFound(const std::string& why) : Refused(Refusal::failed, why) {}
};

/// What a backend leaves out. Names the message.
class NotImplemented : public std::logic_error {
 public:
  explicit NotImplemented(const char* message) : std::logic_error(std::string(message) + " is not implemented") {}
};

/// The answer of a backend that leaves a message out. Fails when it is awaited, as one that does something would.
template <class T> awaitable<T> left_out(const char* message) {
  throw NotImplemented(message);
  co_return T();
}

} // namespace trunkline::quarkchain
