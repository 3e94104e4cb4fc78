#include "cli/exit_code.hpp"

#include "fragment/error.hpp"
#include "services/sync/report.hpp"

#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <exception>

namespace trunkline::cli {
namespace {

ExitCode of(error code) {
  return exit_code_of(std::make_exception_ptr(boost::system::system_error(make_error_code(code))));
}

} // namespace

TEST_CASE("exit code: a far side that is ending is told from one that refuses") {
  CHECK(of(error::draining) == ExitCode::try_again);
  CHECK(exit_code_of(std::make_exception_ptr(sync::Failure(sync::Failure::Kind::ending, "this node is shutting down"))) ==
        ExitCode::try_again);
  CHECK(exit_code_of(std::make_exception_ptr(sync::Failure(sync::Failure::Kind::denied, "this node is read only"))) ==
        ExitCode::protocol);
  CHECK(of(error::connect_failed) == ExitCode::socket);
}

} // namespace trunkline::cli
