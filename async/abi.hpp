// What a program and the library must have in common. The compiler checks the language and Boost; the linker checks the
// settings of Asio that decide what its inline functions and classes are. Each public header that is installed begins
// with this one. docs/hazards/asio-settings.md
#pragma once

#if __cplusplus < 202002L
#error "trunkline needs C++20: compile with -std=c++20"
#endif

#include <boost/version.hpp>
#if BOOST_VERSION < 108100
#error "trunkline needs Boost 1.81 or newer, whose Debian 12 package is libboost1.81-dev"
#endif

#include <boost/asio/detail/config.hpp>

// Each setting is a symbol with its name; the library defines the symbols of the settings that it was compiled with.
#define TRUNKLINE_ABI_PASTE(name, value) name##value
#define TRUNKLINE_ABI_BOOST(version) TRUNKLINE_ABI_PASTE(built_with_BOOST_VERSION_, version)

#if defined(BOOST_ASIO_NO_DEPRECATED)
#define TRUNKLINE_ABI_DEPRECATED built_with_BOOST_ASIO_NO_DEPRECATED
#else
#define TRUNKLINE_ABI_DEPRECATED built_without_BOOST_ASIO_NO_DEPRECATED
#endif

#if defined(BOOST_ASIO_NO_TS_EXECUTORS)
#define TRUNKLINE_ABI_TS_EXECUTORS built_with_BOOST_ASIO_NO_TS_EXECUTORS
#elif defined(BOOST_ASIO_USE_TS_EXECUTOR_AS_DEFAULT)
#define TRUNKLINE_ABI_TS_EXECUTORS built_with_BOOST_ASIO_USE_TS_EXECUTOR_AS_DEFAULT
#else
#define TRUNKLINE_ABI_TS_EXECUTORS built_without_BOOST_ASIO_NO_TS_EXECUTORS
#endif

#if defined(BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING)
#define TRUNKLINE_ABI_FRAMES built_with_BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING
#else
#define TRUNKLINE_ABI_FRAMES built_without_BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING
#endif

#if defined(BOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING)
#define TRUNKLINE_ABI_BLOCKS built_with_BOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING
#else
#define TRUNKLINE_ABI_BLOCKS built_without_BOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING
#endif

#if defined(BOOST_ASIO_ENABLE_HANDLER_TRACKING)
#define TRUNKLINE_ABI_TRACKING built_with_BOOST_ASIO_ENABLE_HANDLER_TRACKING
#else
#define TRUNKLINE_ABI_TRACKING built_without_BOOST_ASIO_ENABLE_HANDLER_TRACKING
#endif

#if defined(BOOST_ASIO_HAS_THREADS)
#define TRUNKLINE_ABI_THREADS built_without_BOOST_ASIO_DISABLE_THREADS
#else
#define TRUNKLINE_ABI_THREADS built_with_BOOST_ASIO_DISABLE_THREADS
#endif

#if !defined(BOOST_ASIO_HAS_EPOLL)
#define TRUNKLINE_ABI_REACTOR built_with_BOOST_ASIO_DISABLE_EPOLL
#elif defined(BOOST_ASIO_HAS_IO_URING)
#define TRUNKLINE_ABI_REACTOR built_with_BOOST_ASIO_HAS_IO_URING
#else
#define TRUNKLINE_ABI_REACTOR built_without_BOOST_ASIO_HAS_IO_URING
#endif

namespace trunkline::abi {

extern const char TRUNKLINE_ABI_BOOST(BOOST_VERSION);
extern const char TRUNKLINE_ABI_DEPRECATED;
extern const char TRUNKLINE_ABI_TS_EXECUTORS;
extern const char TRUNKLINE_ABI_FRAMES;
extern const char TRUNKLINE_ABI_BLOCKS;
extern const char TRUNKLINE_ABI_TRACKING;
extern const char TRUNKLINE_ABI_THREADS;
extern const char TRUNKLINE_ABI_REACTOR;

// Of each translation unit its own: of a shared one the linker would keep the first, and ask for no other's settings.
[[gnu::used]] static const char* const settings[] = {
    &TRUNKLINE_ABI_BOOST(BOOST_VERSION), &TRUNKLINE_ABI_DEPRECATED, &TRUNKLINE_ABI_TS_EXECUTORS,
    &TRUNKLINE_ABI_FRAMES,               &TRUNKLINE_ABI_BLOCKS,     &TRUNKLINE_ABI_TRACKING,
    &TRUNKLINE_ABI_THREADS,              &TRUNKLINE_ABI_REACTOR};

} // namespace trunkline::abi
