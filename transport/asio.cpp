// The one translation unit that holds Asio's non-template code (BOOST_ASIO_SEPARATE_COMPILATION);
// every other file then compiles about a quarter faster and carries smaller objects.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
