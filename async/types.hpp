// The Asio names that public headers use.
#pragma once

#include "fragment/compiler.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>

namespace trunkline {

namespace asio = boost::asio;

template <class T = void> using awaitable = asio::awaitable<T>;
using Executor = asio::any_io_executor;
using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

} // namespace trunkline
