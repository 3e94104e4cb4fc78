#include "transport/failure.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <memory>
#include <utility>

namespace trunkline {
namespace {

// system_error appends "[system:111 at /usr/include/...]" to its text; a person at a terminal wants the phrase.
class TransportError final : public boost::system::system_error {
 public:
  TransportError(const boost::system::error_code& code, std::string text)
      : system_error(code), text_(std::make_shared<const std::string>(std::move(text))) {}
  const char* what() const noexcept override { return text_->c_str(); }

 private:
  std::shared_ptr<const std::string> text_; // copying an exception must not throw
};

} // namespace

void throw_transport_error(const boost::system::error_code& code, const std::string& context) {
  throw TransportError(code, context + ": " + code.message());
}

void throw_transport_text(const boost::system::error_code& code, std::string text) {
  throw TransportError(code, std::move(text));
}

void throw_aborted() { throw boost::system::system_error(boost::asio::error::operation_aborted); }

} // namespace trunkline
