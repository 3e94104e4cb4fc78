#include "cli/command.hpp"

#include "fragment/error.hpp"
#include "services/sync/disk.hpp"
#include "services/sync/path.hpp"
#include "services/sync/report.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <cstdio>
#include <exception>
#include <string>

namespace trunkline::cli {

void say_error(const std::string& text) {
  const std::string line = "trunkline: " + sync::printable(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

namespace {

/// What a system_error says, without the code's own words and number, which Boost appends to the context.
std::string text_of(const boost::system::system_error& failure) {
  std::string text = failure.what();
  const std::string suffix = ": " + failure.code().what();
  if (text.size() > suffix.size() && text.ends_with(suffix)) text.resize(text.size() - suffix.size());
  return text;
}

int exit_for(const boost::system::system_error& failure) {
  if (failure.code() == boost::asio::error::operation_aborted) {
    say_error("interrupted");
    return exit_interrupted;
  }
  if (failure.code().category() != trunkline_category()) {
    say_error(text_of(failure));
    return exit_socket;
  }
  const auto code = static_cast<error>(failure.code().value());
  const std::string text = text_of(failure);
  // The phrase of the code says what kind of end it was, unless the text says so itself.
  const std::string phrase(to_string(code));
  say_error(text.starts_with(phrase) || code == error::connect_failed ? text : phrase + ": " + text);
  switch (code) {
    case error::bad_url:
    case error::unknown_scheme: return exit_usage;
    case error::timed_out:
    case error::stalled:
    case error::keepalive_timeout:
    case error::handshake_timeout: return exit_timeout;
    case error::no_service:
    case error::no_peer:
    case error::service_limit_reached:
    case error::access_denied:
    case error::cannot_decode:
    case error::protocol_error:
    case error::not_trunkline:
    case error::version_mismatch: return exit_protocol;
    default: return exit_socket;
  }
}

} // namespace

int exit_for(std::exception_ptr failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const sync::FileError& error) {
    say_error(error.what());
    return exit_file;
  } catch (const sync::Failure& error) {
    say_error(error.what());
    switch (error.kind()) {
      case sync::Failure::Kind::file: return exit_file;
      case sync::Failure::Kind::protocol: return exit_protocol;
      case sync::Failure::Kind::denied: return exit_protocol;
      case sync::Failure::Kind::ending: return exit_interrupted;
    }
    return exit_protocol;
  } catch (const boost::system::system_error& error) {
    return exit_for(error);
  } catch (const std::exception& error) {
    say_error(error.what());
    return exit_usage;
  }
}

} // namespace trunkline::cli

int main(int argc, char** argv) {
  CLI::App app("Symmetric peers over one connection; tree sync is their first job.", "trunkline");
  app.set_version_flag("--version", "trunkline " TRUNKLINE_VERSION);
  app.require_subcommand(1);
  app.footer("Each command has its own --help, with an example.");
  int exit_code = trunkline::cli::exit_ok;
  trunkline::cli::add_serve(app, exit_code);
  trunkline::cli::add_sync(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version are "errors" of code 0; whatever else the parser says is a wrong command line.
    return app.exit(error) == 0 ? trunkline::cli::exit_ok : trunkline::cli::exit_usage;
  }
  return exit_code;
}
