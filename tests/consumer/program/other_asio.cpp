// A file of the program that knows nothing of trunkline: its own timer, its own socket, its own HTTP.
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <array>
#include <chrono>
#include <string>

namespace asio = boost::asio;
namespace http = boost::beast::http;

bool own_timer() {
  asio::io_context io;
  bool rang = false;
  asio::steady_timer timer(io, std::chrono::milliseconds(1));
  timer.async_wait([&](boost::system::error_code failure) { rang = !failure; });
  io.run();
  return rang;
}

bool own_http() {
  asio::io_context io;
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  asio::ip::tcp::socket client(io), server(io);
  client.connect(acceptor.local_endpoint());
  acceptor.accept(server);

  http::request<http::string_body> request(http::verb::get, "/healthz", 11);
  request.set(http::field::host, "localhost");
  request.prepare_payload();
  http::write(client, request);
  client.shutdown(asio::socket_base::shutdown_send);

  boost::beast::flat_buffer buffer;
  http::request<http::string_body> heard;
  http::read(server, buffer, heard);

  // The end of the stream is a value of a category of Asio's, which is compared by its address.
  std::array<char, 1> more;
  boost::system::error_code end;
  server.read_some(asio::buffer(more), end);
  return heard.target() == "/healthz" && end == asio::error::eof;
}
