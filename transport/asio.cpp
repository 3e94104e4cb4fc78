// The one translation unit that holds the non-template code of Asio and Beast (BOOST_ASIO_SEPARATE_COMPILATION,
// BOOST_BEAST_SEPARATE_COMPILATION); every other file then compiles about a quarter faster and carries smaller objects.
//
// It is emitted as a program that uses Asio from its headers emits it: as inline functions, with their static objects
// merged by the linker. So whoever uses this library needs neither macro, and shares Asio's state and error categories
// with it. docs/decisions/0095-how-it-is-consumed.md
#include <boost/asio/detail/config.hpp>
#include <boost/beast/core/detail/config.hpp>

#undef BOOST_ASIO_DECL
#undef BOOST_BEAST_DECL
#define BOOST_ASIO_DECL inline __attribute__((used))
#define BOOST_BEAST_DECL inline __attribute__((used))
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
