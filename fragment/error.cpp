#include "fragment/error.hpp"

#include "fragment/quote.hpp"

namespace trunkline {
namespace {

class Category final : public boost::system::error_category {
 public:
  constexpr Category() noexcept : error_category(0x7472756e6b6c696eULL) {}
  const char* name() const noexcept override { return "trunkline"; }
  std::string message(int value) const override { return std::string(trunkline::to_string(static_cast<error>(value))); }
};

} // namespace

const boost::system::error_category& trunkline_category() noexcept {
  static constexpr Category category;
  return category;
}

boost::system::error_code make_error_code(error code) noexcept {
  return {static_cast<int>(code), trunkline_category()};
}

std::string_view to_string(error code) noexcept {
  switch (code) {
    case error::none: return "none";
    case error::circuit_closed: return "circuit closed";
    case error::circuit_reset: return "circuit reset";
    case error::circuit_abandoned: return "circuit abandoned";
    case error::peer_ended: return "peer ended";
    case error::node_closed: return "node closed";
    case error::trunk_lost: return "trunk lost";
    case error::draining: return "draining";
    case error::stalled: return "stalled";
    case error::handler_failed: return "handler failed";
    case error::protocol_violation_on_circuit: return "protocol violation on circuit";
    case error::deadline_passed: return "deadline passed";
    case error::no_service: return "no service";
    case error::no_peer: return "no peer";
    case error::service_limit_reached: return "service limit reached";
    case error::circuit_limit_reached: return "circuit limit reached";
    case error::open_backlog_full: return "open backlog full";
    case error::access_denied: return "access denied";
    case error::protocol_error: return "protocol error";
    case error::frame_too_large: return "frame too large";
    case error::flow_control_violated: return "flow control violated";
    case error::too_many_control_frames: return "too many control frames";
    case error::handshake_timeout: return "handshake timeout";
    case error::keepalive_timeout: return "keepalive timeout";
    case error::write_timeout: return "write timeout";
    case error::version_mismatch: return "version mismatch";
    case error::not_trunkline: return "not trunkline";
    case error::dialled_self: return "dialled self";
    case error::duplicate_trunk: return "duplicate trunk";
    case error::mandatory_feature_unknown: return "mandatory feature unknown";
    case error::not_proven: return "not proven";
    case error::fragment_too_large: return "fragment too large";
    case error::bad_url: return "bad url";
    case error::unknown_scheme: return "unknown scheme";
    case error::timed_out: return "timed out";
    case error::cannot_decode: return "cannot decode";
    case error::already_registered: return "already registered";
    case error::connect_failed: return "connect failed";
    case error::answered_with_error: return "answered with error";
    case error::handle_misused: return "handle misused";
    case error::unusable_file: return "unusable file";
    case error::not_secured: return "not secured";
    case error::no_tls: return "no tls";
    case error::unknown_key: return "unknown key";
    case error::wrong_key: return "wrong key";
    case error::certificate_expired: return "certificate expired";
    case error::certificate_not_yet_valid: return "certificate not yet valid";
    case error::key_refused: return "key refused";
    case error::plaintext_refused: return "plaintext refused";
  }
  return "unknown reason";
}

bool explains_no_connection(const boost::system::error_code& code) noexcept {
  if (code.category() != trunkline_category()) return false;
  switch (static_cast<error>(code.value())) {
    case error::handshake_timeout:
    case error::not_trunkline:
    case error::dialled_self:
    case error::connect_failed:
    case error::not_secured:
    case error::no_tls:
    case error::unknown_key:
    case error::wrong_key:
    case error::certificate_expired:
    case error::certificate_not_yet_valid:
    case error::key_refused:
    case error::plaintext_refused: return true;
    default: return false;
  }
}

void throw_error(error code, const std::string& context) {
  throw boost::system::system_error(make_error_code(code), context);
}

std::string End::words() const { return theirs && !text.empty() ? "the far side says: " + escape(text) : text; }

std::string End::to_string() const {
  if (clean()) return "clean";
  const std::string name = code.message();
  return text.empty() || text == name ? name : name + ": " + words();
}

} // namespace trunkline
