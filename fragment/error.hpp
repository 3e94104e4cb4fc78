// The error codes of trunkline. The text of a code is its enumerator with spaces. Details (subject, expected, seen,
// from whom) are a text beside the code.
#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline {

/// The values are also the reason codes on the wire: they never change their meaning.
enum class error : std::uint16_t {
  none = 0,

  // How a circuit can end, or a send on it fail.
  circuit_closed = 1,    // closed by either side; nothing more can be sent
  circuit_reset = 2,     // reset by the far side, which gave no other reason
  circuit_abandoned = 3, // its handle was destroyed before finish or close
  peer_ended = 4,        // the peer that owned it ended
  node_closed = 5,       // the node that owned it shut down
  trunk_lost = 6,        // the connection under it broke
  draining = 7,          // the node drains: no new circuits, or the drain deadline passed
  stalled = 8,           // its reader held the trunk's memory too long
  handler_failed = 9,    // the service that served it threw
  protocol_violation_on_circuit = 10, // data after finish, too many empty frames
  deadline_passed = 11,  // the deadline that its opener gave it passed

  // Why an open is refused. The handler of a refused circuit never ran.
  no_service = 20,
  no_peer = 21,
  service_limit_reached = 22,
  circuit_limit_reached = 23,
  open_backlog_full = 24,
  access_denied = 25,

  // Why a trunk is broken off.
  protocol_error = 40,
  frame_too_large = 41,
  flow_control_violated = 42,
  too_many_control_frames = 43,
  handshake_timeout = 44,
  keepalive_timeout = 45,
  write_timeout = 46,
  version_mismatch = 47,
  not_trunkline = 48,
  dialled_self = 49,
  duplicate_trunk = 50,
  mandatory_feature_unknown = 51,
  not_proven = 52, // who the far side says it is, or that its words belong to this connection

  // Local outcomes, never on the wire.
  fragment_too_large = 80,
  bad_url = 81,
  unknown_scheme = 82,
  timed_out = 83,
  cannot_decode = 84,
  already_registered = 85,
  connect_failed = 86,
  answered_with_error = 88, // a request, with an error fragment
  handle_misused = 87, // a call that the state of a handle rules out: the program is wrong, not the far side
  unusable_file = 89, // of a key, of known nodes, of rules: not readable, not sound, or others may change it
  not_secured = 90,   // the TLS handshake failed for a reason without a code of its own
  no_tls = 91,        // what answers, or asks, does not speak TLS
  unknown_key = 92,   // nothing here trusts the far side's key
  wrong_key = 93,     // another key than the one that was expected
  certificate_expired = 94,
  certificate_not_yet_valid = 95,
  key_refused = 96,   // the far side does not trust our key
  plaintext_refused = 97, // an address that other machines reach, and nothing encrypts
};

/// The category of `error`; its messages are the enumerators in words.
const boost::system::error_category& trunkline_category() noexcept;

boost::system::error_code make_error_code(error code) noexcept;

/// The enumerator in words; "unknown reason" for a value without one, which a newer far side may send.
std::string_view to_string(error code) noexcept;

/// Whether a code itself says why there is no connection, or none any more: `connect_failed` or `trunk_lost` in its
/// place would say less.
bool explains_no_connection(const boost::system::error_code& code) noexcept;

/// Throws boost::system::system_error with this code. The context is one lower-case phrase that names the subject, what
/// was expected, what was seen, and from whom.
[[noreturn]] void throw_error(error code, const std::string& context);

/// How a circuit, a peer or a trunk ended: cleanly, or for a reason.
struct End {
  boost::system::error_code code;
  std::string text; // details beside the code
  std::string existing_url; // of a running instance that a refused opener could join; mostly empty
  bool theirs = false;      // the far side said it: `text` may hold any bytes

  End() = default;
  explicit End(error reason, std::string details = {}) : code(make_error_code(reason)), text(std::move(details)) {}
  End(boost::system::error_code reason, std::string details) : code(reason), text(std::move(details)) {}

  bool clean() const noexcept { return !code; }
  /// The text for people: one of the far side is escaped, and said to be theirs.
  std::string words() const;
  /// "clean", or the code in words followed by `words`.
  std::string to_string() const;
};

} // namespace trunkline

template <> struct boost::system::is_error_code_enum<trunkline::error> : std::true_type {};
