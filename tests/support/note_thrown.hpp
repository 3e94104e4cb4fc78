// What an operation throws when it is cancelled.
#pragma once

#include "async/types.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/system/system_error.hpp>

#include <string>
#include <utility>

namespace trunkline::test {

/// Sets `thrown` to "aborted", to the words of another error, or to "several" for asio::multiple_exceptions; then lets
/// it pass.
template <class T> awaitable<void> note_thrown(awaitable<T> op, std::string& thrown) {
  try {
    co_await std::move(op);
  } catch (const boost::system::system_error& failure) {
    thrown = failure.code() == asio::error::operation_aborted ? "aborted" : failure.what();
    throw;
  } catch (const asio::multiple_exceptions&) {
    thrown = "several";
    throw;
  }
}

} // namespace trunkline::test
