// Checks what DESIGN.md promises about one circuit: order kept, nothing twice, nothing changed, nothing lost before an
// acknowledged finish, no half-written stream that looks complete, and no handler for a refused circuit.
//
// It stands outside of the simulated world and hears from both ends of every circuit at the moment in which something
// happened. The two ends meet by the circuit's name, which is unique.
#pragma once

#include "fragment/fragment.hpp"
#include "tests/sim/violations.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace trunkline::sim {

/// The two directions of a circuit, from its opener's side, and the error fragments that go forth.
inline constexpr int forth = 0;
inline constexpr int back = 1;
inline constexpr int complaints = 2;

class StreamChecker {
 public:
  explicit StreamChecker(Violations& violations) : violations_(violations) {}

  /// A new circuit is about to be opened; returns its name.
  std::string open(const std::string& kind);
  /// The next fragment to send in a direction; an error fragment for `complaints`.
  Fragment next(const std::string& stream, int way, std::size_t bytes);
  /// It was taken.
  void sent(const std::string& stream, int way, std::size_t bytes);
  /// Nothing more will be sent, and what was sent is to arrive.
  void finished(const std::string& stream, int way);

  /// A service runs for the circuit.
  void served(const std::string& stream);
  void received(const std::string& stream, int way, const Fragment& fragment);
  /// The receiver was told that the stream is complete.
  void end_seen(const std::string& stream, int way);
  /// The sender was told that the far side has taken everything.
  void acknowledged(const std::string& stream, int way);
  /// The opener was told that the circuit was refused.
  void refused(const std::string& stream, const std::string& reason);

  /// Whether a finished direction has arrived as a whole.
  bool is_complete(const std::string& stream, int way) const;
  bool is_served(const std::string& stream) const { return streams_.at(stream).served; }
  std::uint64_t sent_count(const std::string& stream, int way) const { return streams_.at(stream).ways[way].sent; }
  std::uint64_t received_count(const std::string& stream, int way) const {
    return streams_.at(stream).ways[way].received;
  }

  std::uint64_t fragments() const noexcept { return fragments_; }
  std::uint64_t bytes() const noexcept { return bytes_; }
  std::uint64_t streams() const noexcept { return opened_; }
  std::uint64_t acknowledgements() const noexcept { return acknowledgements_; }
  std::uint64_t refusals() const noexcept { return refusals_; }

 private:
  /// received <= sent, and received == sent once the end was seen or acknowledged.
  struct Way {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    bool finished = false;
    bool end_seen = false;
  };
  struct Stream {
    Way ways[3];
    bool served = false;
    bool refused = false;
  };

  void report(const std::string& stream, int way, const std::string& what);
  void check_complete(const std::string& stream, int way, const char* who);

  Violations& violations_;
  std::map<std::string, Stream> streams_;
  std::uint64_t opened_ = 0;
  std::uint64_t fragments_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t acknowledgements_ = 0;
  std::uint64_t refusals_ = 0;
};

} // namespace trunkline::sim
