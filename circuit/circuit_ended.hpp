// The exception that an operation on a circuit throws when the circuit has ended under it.
#pragma once

#include "fragment/error.hpp"
#include "fragment/fragment.hpp"

#include <boost/system/system_error.hpp>

#include <exception>
#include <memory>

namespace trunkline {

/// An operation found its circuit ended, or finished by the far side before it had what it waited for: no fault of
/// this program. What the far side gave as its reason is quoted as theirs.
class CircuitEnded : public boost::system::system_error {
 public:
  CircuitEnded(End end, std::shared_ptr<const CircuitNames> names, bool opened_here)
      : system_error(end.code, end.words()), end_(std::make_shared<const End>(std::move(end))),
        names_(std::move(names)), opened_here_(opened_here) {}

  /// How the circuit ended; error::circuit_closed for one that was closed cleanly.
  const End& end() const noexcept { return *end_; }
  /// Of the circuit that ended.
  const CircuitNames& names() const noexcept { return *names_; }
  bool opened_here() const noexcept { return opened_here_; }

 private:
  std::shared_ptr<const End> end_; // shared: exceptions are copied, and must not throw then
  std::shared_ptr<const CircuitNames> names_;
  bool opened_here_;
};

/// The CircuitEnded that an exception is, or the first one inside asio::multiple_exceptions; null for any other.
std::shared_ptr<const CircuitEnded> circuit_end_of(const std::exception_ptr& thrown);
/// Whether an exception says that a circuit has ended, as opposed to a failure of this program.
bool is_circuit_end(const std::exception& thrown);

} // namespace trunkline
