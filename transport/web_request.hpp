// What a port of WebSockets answers to a request, without any I/O.
#pragma once

#include "transport/web_socket.hpp"

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/status.hpp>

#include <string>
#include <string_view>

namespace trunkline {

using WebRequest = boost::beast::http::request<boost::beast::http::empty_body>;

struct WebAnswer {
  boost::beast::http::status status = boost::beast::http::status::ok;
  std::string_view type = "text/plain; charset=utf-8";
  std::string line;            // for people, where it is no page
  std::string_view page;       // lives as long as the options
  std::string fields;          // further ones: "Allow: GET, HEAD\r\n"
  bool without_content = false; // the answer to HEAD

  WebAnswer() = default;
  WebAnswer(boost::beast::http::status code, std::string text) : status(code), line(std::move(text)) {}

  /// As it is written, but for the content of a page, which is to be written behind it.
  std::string head() const;
};

/// Whether a request asks for a WebSocket, well or not.
bool asks_for_web_socket(const WebRequest& request);
/// Why a request for a WebSocket is refused; status ok when it is good.
WebAnswer check_web_socket_request(const WebRequest& request, const WebSocketOptions& options);
/// The answer to any other request.
WebAnswer answer_request(const WebRequest& request, const WebSocketOptions& options);

} // namespace trunkline
