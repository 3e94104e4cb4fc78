#include "cli/line_input.hpp"

#include "async/signal.hpp"
#include "fragment/error.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

namespace trunkline {
namespace {

/// Opened anew: reading without blocking is a property of what is open, not of the descriptor, and a terminal is open
/// once for input and output. Sockets cannot be opened anew. Nor does it wait for a writer of a named pipe.
int open_input() {
  int descriptor = ::open("/proc/self/fd/0", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (descriptor < 0) descriptor = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
  if (descriptor >= 0) return descriptor;
  throw boost::system::system_error(errno, boost::system::system_category(), "the standard input cannot be read");
}

} // namespace

struct LineInput::State {
  explicit State(const Executor& executor) : stream(executor, open_input()) {}
  static awaitable<std::optional<std::string>> next(std::shared_ptr<State> self);
  std::optional<std::string> take_line();

  asio::posix::stream_descriptor stream;
  std::string text; // read, not yet taken
  bool ended = false;
};

LineInput::LineInput(const Executor& executor) : state_(std::make_shared<State>(executor)) {}

LineInput::~LineInput() {
  boost::system::error_code ignored;
  state_->stream.close(ignored); // NOLINT(bugprone-unused-return-value)
}

awaitable<std::optional<std::string>> LineInput::next() { return State::next(state_); }

std::optional<std::string> LineInput::State::take_line() {
  const std::size_t end = text.find('\n');
  if (end == std::string::npos && (!ended || text.empty())) return std::nullopt;
  std::string line = text.substr(0, end);
  text.erase(0, end == std::string::npos ? end : end + 1);
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

awaitable<std::optional<std::string>> LineInput::State::next(std::shared_ptr<State> self) {
  std::array<char, 4096> chunk{};
  std::optional<std::string> line = self->take_line();
  while (!line && !self->ended) {
    boost::system::error_code failure;
    const std::size_t read =
        co_await self->stream.async_read_some(asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, failure));
    self->text.append(chunk.data(), read);
    self->ended = failure == asio::error::eof || failure == boost::system::errc::io_error; // a terminal that is gone
    if (failure && !self->ended) throw boost::system::system_error(failure, "the standard input cannot be read");
    if (self->text.size() > line_bytes_max)
      throw_error(error::fragment_too_large,
                  "a line of the standard input exceeds line_bytes_max " + std::to_string(line_bytes_max));
    co_await throw_if_cancelled(); // the read may have been done before: the line is for whoever asks next
    line = self->take_line();
  }
  co_return line;
}

} // namespace trunkline
