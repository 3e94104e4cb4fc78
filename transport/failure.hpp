// The exceptions of media and transports: an error code, and one phrase that names the address.
#pragma once

#include <boost/system/error_code.hpp>

#include <string>

namespace trunkline {

/// Throws a boost::system::system_error whose text is "context: what the code means" and nothing more,
/// e.g. "cannot connect to tcp://h:1: Connection refused".
[[noreturn]] void throw_transport_error(const boost::system::error_code& code, const std::string& context);

/// The same with this text alone, for codes whose own words are too general.
[[noreturn]] void throw_transport_text(const boost::system::error_code& code, std::string text);

/// Throws operation_aborted, as cancelled and closed operations do.
[[noreturn]] void throw_aborted();

} // namespace trunkline
