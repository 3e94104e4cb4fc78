#include "transport/web_request.hpp"

#include "fragment/quote.hpp"
#include "transport/address.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace trunkline {
namespace {

namespace http = boost::beast::http;
using boost::beast::iequals;
using http::field;
using http::status;

/// The page may load and reach nothing but what this port gives, and be part of no other page.
constexpr std::string_view page_fields =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cache-Control: no-cache\r\n";

/// Of "host:port" or "[::1]:port" or "host".
std::string_view host_in(std::string_view authority) noexcept {
  if (authority.starts_with('[')) return authority.substr(1, authority.find(']') - 1);
  return authority.substr(0, authority.find(':'));
}

bool is_number_or_localhost(std::string_view host) {
  boost::system::error_code not_numeric;
  boost::asio::ip::make_address(host, not_numeric);
  return !not_numeric || iequals(host, "localhost");
}

/// Empty when a page of this origin may connect; otherwise why not.
std::string wrong_with_origin(std::string_view origin, std::string_view host, const WebSocketOptions& options) {
  for (const std::string& allowed : options.origins)
    if (allowed == "*" || iequals(allowed, origin)) return {};
  const std::size_t slashes = origin.find("://");
  if (slashes == std::string_view::npos || !iequals(origin.substr(slashes + 3), host))
    return fmt::format("a page of {} may not connect to {}", quote(origin), quote(host));
  if (!is_number_or_localhost(host_in(host))) {
    return fmt::format("a page of {} may not connect: that name is not one that the operator has allowed",
                       quote(origin));
  }
  return {};
}

WebAnswer upgrade_required(std::string line) {
  WebAnswer answer(status::upgrade_required, std::move(line));
  answer.fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
  return answer;
}

} // namespace

std::string WebAnswer::head() const {
  const std::string text = line.empty() ? std::string() : line + "\n";
  const std::size_t size = page.data() != nullptr ? page.size() : text.size();
  std::string head = fmt::format("HTTP/1.1 {} {}\r\nServer: trunkline\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
                                 static_cast<unsigned>(status), std::string_view(http::obsolete_reason(status)), type,
                                 size);
  if (fields.find("Connection:") == std::string::npos) head += "Connection: close\r\n";
  head.append(fields).append(page_fields).append("\r\n");
  if (!without_content) head += text;
  return head;
}

bool asks_for_web_socket(const WebRequest& request) {
  return http::token_list(request[field::upgrade]).exists("websocket");
}

WebAnswer check_web_socket_request(const WebRequest& request, const WebSocketOptions& options) {
  const std::string_view host = request[field::host];
  if (!boost::beast::websocket::is_upgrade(request))
    return upgrade_required("a WebSocket is asked for with GET, HTTP/1.1 and \"Connection: Upgrade\"");
  if (request[field::sec_websocket_version] != "13") return upgrade_required("version 13 of WebSocket alone is spoken here");
  if (host.empty() || request.count(field::host) != 1)
    return WebAnswer(status::bad_request, "a request for a WebSocket names one Host");
  if (request.count(field::origin) > 0) {
    std::string wrong = wrong_with_origin(request[field::origin], host, options);
    if (!wrong.empty()) return WebAnswer(status::forbidden, std::move(wrong));
  }
  if (!http::token_list(request[field::sec_websocket_protocol]).exists(web_socket_protocol)) {
    return WebAnswer(status::bad_request,
                     fmt::format("a WebSocket of this port has the subprotocol {}", web_socket_protocol));
  }
  return WebAnswer();
}

WebAnswer answer_request(const WebRequest& request, const WebSocketOptions& options) {
  const bool is_head = request.method() == http::verb::head;
  WebAnswer answer;
  if (request.method() != http::verb::get && !is_head) {
    answer = WebAnswer(status::method_not_allowed, "this port answers GET and HEAD, and gives trunks by WebSocket");
    answer.fields = "Allow: GET, HEAD\r\n";
  } else if (!options.pages) {
    answer = upgrade_required(fmt::format("this port gives trunks by WebSocket (subprotocol {}), and no pages",
                                          web_socket_protocol));
  } else if (const WebPages::Page* const page = options.pages->find(request.target())) {
    answer.type = page->type;
    answer.page = page->content;
  } else {
    answer = WebAnswer(status::not_found, "there is no page of this name");
  }
  answer.without_content = is_head;
  return answer;
}

} // namespace trunkline
