#include "cli/exit_code.hpp"

#include "fragment/error.hpp"
#include "fragment/quote.hpp"
#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/store/store.hpp"
#include "services/sync/disk.hpp"
#include "services/sync/path.hpp"
#include "services/sync/report.hpp"

#include <boost/system/system_error.hpp>

namespace trunkline::cli {
namespace {

ExitCode exit_code_of(const boost::system::error_code& code) {
  if (code.category() != trunkline_category())
    return code == boost::system::errc::timed_out ? ExitCode::timeout : ExitCode::socket;
  switch (static_cast<error>(code.value())) {
    case error::bad_url:
    case error::unknown_scheme:
    case error::plaintext_refused: return ExitCode::usage;
    case error::unusable_file: return ExitCode::file;
    case error::timed_out:
    case error::handshake_timeout:
    case error::keepalive_timeout:
    case error::write_timeout:
    case error::stalled: return ExitCode::timeout;
    case error::draining: return ExitCode::try_again;
    case error::connect_failed:
    case error::trunk_lost:
    case error::node_closed:
    case error::dialled_self: return ExitCode::socket;
    default: return ExitCode::protocol;
  }
}

} // namespace

const char* const exit_codes_text =
    "Exit codes: 0 both sides are equal; 1 wrong usage; 10 no connection, or it was lost; 11 a directory cannot be\n"
    "read or written, or the results cannot be; 12 the far side refuses or breaks the protocol; 20 interrupted; 23 "
    "some\n"
    "files could not be synced, each was named; 24 some vanished before they could be read, each was named; 25 "
    "--max-delete left\n"
    "something; 30 timeout; 75 the far side is ending: try again.";

ExitCode exit_code_of(std::exception_ptr failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const UsageError&) {
    return ExitCode::usage;
  } catch (const sync::FileError&) {
    return ExitCode::file;
  } catch (const sync::Failure& thrown) {
    if (thrown.kind() == sync::Failure::Kind::ending) return ExitCode::try_again;
    return thrown.kind() == sync::Failure::Kind::file ? ExitCode::file : ExitCode::protocol;
  } catch (const quarkchain::ConfigFailure&) {
    return ExitCode::usage;
  } catch (const quarkchain::StoreFailure&) {
    return ExitCode::file;
  } catch (const boost::system::system_error& thrown) {
    return exit_code_of(thrown.code());
  } catch (const std::invalid_argument&) {
    return ExitCode::usage;
  } catch (...) {
    return ExitCode::protocol;
  }
}

std::string line_of(std::exception_ptr failure) { return sync::printable_sentence(words_of(failure)); }

} // namespace trunkline::cli
