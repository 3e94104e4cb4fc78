// A program that has an io_context and callbacks of its own, with trunkline as a guest in it: a server for lines of
// text, as it may have been there for years, which now asks another process for each answer.
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <csignal>
#include <functional>
#include <iostream>
#include <memory>
#include <string>

using namespace trunkline;
using boost::asio::ip::tcp;

namespace {

using Answered = std::function<void(std::string)>;
using Ask = std::function<void(std::string, Answered)>;

// One client of the old server. Nothing here knows trunkline.
class Client : public std::enable_shared_from_this<Client> {
 public:
  Client(tcp::socket socket, Ask ask) : socket_(std::move(socket)), ask_(std::move(ask)) {}

  void read() {
    asio::async_read_until(socket_, asio::dynamic_buffer(text_), '\n',
                           [self = shared_from_this()](boost::system::error_code failure, std::size_t size) {
                             if (failure) return;
                             std::string line = self->text_.substr(0, size - 1);
                             self->text_.erase(0, size);
                             self->ask_(std::move(line), [self](std::string answer) { self->write(answer); });
                           });
  }

 private:
  void write(const std::string& answer) {
    answer_ = answer + "\n";
    asio::async_write(socket_, asio::buffer(answer_),
                      [self = shared_from_this()](boost::system::error_code failure, std::size_t) {
                        if (!failure) self->read();
                      });
  }

  tcp::socket socket_;
  Ask ask_;
  std::string text_, answer_;
};

void accept(tcp::acceptor& acceptor, const Ask& ask) {
  acceptor.async_accept([&acceptor, ask](boost::system::error_code failure, tcp::socket socket) {
    if (failure) return;
    std::make_shared<Client>(std::move(socket), ask)->read();
    accept(acceptor, ask);
  });
}

// The other process; here it is another node of this one.
awaitable<void> reverse(Circuit circuit) {
  while (auto line = co_await circuit.receive()) {
    std::string text(line->payload.text());
    std::ranges::reverse(text);
    co_await circuit.send(Fragment(0, text));
  }
}

awaitable<std::string> ask_there(std::shared_ptr<LocalPeer> me, std::string address, std::string line) {
  const Fragment answer = co_await me->request(address, "reverse", Fragment(0, line), std::chrono::seconds(5));
  co_return std::string(answer.payload.text());
}

awaitable<void> close_both(Node& here, Node& there) {
  co_await here.close();
  co_await there.close();
}

} // namespace

int main() {
  asio::io_context io(1); // the hint: one thread calls run()
  Node here(io.get_executor());
  Node there(io.get_executor());
  there.serve("reverse", reverse);
  const std::string address = there.listen("tcp://127.0.0.1:0");
  const std::shared_ptr<LocalPeer> me = here.new_peer("front");

  // The bridge from callbacks: a coroutine is started, and its end is the callback. It has ended when the node has.
  const Ask ask = [&](std::string line, Answered answered) {
    asio::co_spawn(io, ask_there(me, address, std::move(line)),
                   [answered](std::exception_ptr failure, std::string answer) {
                     answered(failure ? "no answer" : std::move(answer));
                   });
  };
  tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  accept(acceptor, ask);
  std::cout << "listening on port " << acceptor.local_endpoint().port() << std::endl;

  int code = 0;
  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&](boost::system::error_code, int) {
    acceptor.close();
    asio::co_spawn(io, close_both(here, there), [&](std::exception_ptr failure) {
      code = failure ? 1 : 0;
      io.stop(); // clients of the old server may still be connected
    });
  });
  io.run();
  return code;
}
