#include "fragment/quote.hpp"

#include "fragment/hex.hpp"

#include <boost/system/system_error.hpp>

namespace trunkline {

namespace {

std::string escape_all_but_printable(std::string_view text, std::string_view special) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && special.find(c) == std::string_view::npos) {
      escaped += c;
    } else {
      escaped += "\\x";
      append_hex(escaped, byte);
    }
  }
  return escaped;
}

} // namespace

std::string escape(std::string_view text, std::size_t bytes_max) {
  return escape_all_but_printable(text.substr(0, bytes_max), {});
}

std::string escape_markup(std::string_view text, std::size_t bytes_max) {
  std::string escaped = escape_all_but_printable(text.substr(0, bytes_max), "\"\\<>&");
  if (text.size() > bytes_max) escaped += "...";
  return escaped;
}

std::string quote(std::string_view text, std::size_t bytes_max) {
  std::string quoted = '"' + escape(text, bytes_max) + '"';
  if (text.size() > bytes_max) quoted += "... (" + std::to_string(text.size()) + " bytes)";
  return quoted;
}

std::string text_of(const std::exception& failure) {
  std::string text = failure.what();
  const auto* thrown = dynamic_cast<const boost::system::system_error*>(&failure);
  if (!thrown) return text;
  const std::string code = thrown->code().what();
  if (text.ends_with(": " + code)) text.resize(text.size() - code.size() - 2);
  return text.empty() || text == code ? thrown->code().message() : text;
}

std::string words_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& thrown) {
    return text_of(thrown);
  } catch (...) {
    return "an exception of unknown type";
  }
}

std::string what_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& thrown) {
    return thrown.what();
  } catch (...) {
    return "an exception of unknown type";
  }
}

} // namespace trunkline
