// A Transport as the asynchronous stream that Beast reads and writes. Only .cpp files of transport/ include it.
#pragma once

#include "async/signal.hpp"
#include "transport/transport.hpp"

#include <boost/asio/associator.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/core/role.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trunkline {

/// What the operations on one transport share; it lives as long as any of them.
struct CarriedTransport {
  explicit CarriedTransport(std::unique_ptr<Transport> transport) : below(std::move(transport)) {}

  struct Result {
    boost::system::error_code code;
    std::size_t bytes = 0;
  };
  static awaitable<Result> read(std::shared_ptr<CarriedTransport> self, std::span<std::byte> into,
                                std::span<std::byte> rest);
  static awaitable<Result> write(std::shared_ptr<CarriedTransport> self, std::vector<std::span<const std::byte>> pieces);

  void begin_write() noexcept { progress_ = passed_ = 0; }
  /// As Transport::write_progress, of all writes since `begin_write`.
  std::uint64_t write_progress() noexcept;
  void close() noexcept;

  std::unique_ptr<Transport> below; // may be moved away when no operation is left
  /// The far side's end is told by `ended` alone, and the read that met it does not return before `close`. To Beast an
  /// end is a failure, after which it would write no more either.
  bool keeps_end = false;
  bool ended = false;
  bool closed = false;
  Signal changed; // ended, or closed
  std::string failure_text; // of the latest operation that failed; Beast passes on the code alone

 private:
  bool is_writing_ = false;
  std::uint64_t passed_ = 0; // bytes of the writes that are done, since begin_write
  std::uint64_t progress_ = 0;
};

/// The handler of an operation, which hears of a coroutine's result.
template <class Handler> struct CarriedHandler {
  Handler handler;

  void operator()(std::exception_ptr failure, CarriedTransport::Result result) {
    if (failure) result.code = asio::error::no_memory; // everything else is in the result
    std::move(handler)(result.code, result.bytes);
  }
};

/// A value: copies share the transport.
class TransportStream {
 public:
  using executor_type = Executor;

  TransportStream(Executor executor, std::shared_ptr<CarriedTransport> carried)
      : executor_(std::move(executor)), carried_(std::move(carried)) {}

  executor_type get_executor() const noexcept { return executor_; }
  CarriedTransport& carried() const noexcept { return *carried_; }

  /// Never completes before it returns, as co_spawn does not.
  template <class Buffers, class Token> auto async_read_some(const Buffers& buffers, Token&& token) {
    std::span<std::byte> into;
    std::span<std::byte> rest;
    for (auto at = asio::buffer_sequence_begin(buffers); at != asio::buffer_sequence_end(buffers); ++at) {
      const asio::mutable_buffer buffer(*at);
      const std::span<std::byte> place(static_cast<std::byte*>(buffer.data()), buffer.size());
      if (place.empty()) continue;
      if (into.empty()) into = place;
      else if (rest.empty()) rest = place;
    }
    return asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        [](auto handler, const Executor& executor, std::shared_ptr<CarriedTransport> carried, std::span<std::byte> first,
           std::span<std::byte> second) {
          asio::co_spawn(executor, CarriedTransport::read(std::move(carried), first, second),
                         CarriedHandler<decltype(handler)>{std::move(handler)});
        },
        token, executor_, carried_, into, rest);
  }

  /// Writes all of it, and never completes before it returns.
  template <class Buffers, class Token> auto async_write_some(const Buffers& buffers, Token&& token) {
    std::vector<std::span<const std::byte>> pieces;
    for (auto at = asio::buffer_sequence_begin(buffers); at != asio::buffer_sequence_end(buffers); ++at) {
      const asio::const_buffer buffer(*at);
      if (buffer.size() > 0) pieces.emplace_back(static_cast<const std::byte*>(buffer.data()), buffer.size());
    }
    return asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        [](auto handler, const Executor& executor, std::shared_ptr<CarriedTransport> carried,
           std::vector<std::span<const std::byte>> all) {
          asio::co_spawn(executor, CarriedTransport::write(std::move(carried), std::move(all)),
                         CarriedHandler<decltype(handler)>{std::move(handler)});
        },
        token, executor_, carried_, std::move(pieces));
  }

 private:
  Executor executor_;
  std::shared_ptr<CarriedTransport> carried_;
};

// What Beast calls by these names to end a connection in order: the end of our direction, and no wait for theirs.
inline void teardown(boost::beast::role_type, TransportStream& stream, boost::system::error_code& failure) {
  stream.carried().below->finish();
  failure = {};
}
template <class Handler> void async_teardown(boost::beast::role_type, TransportStream& stream, Handler&& handler) {
  stream.carried().below->finish();
  asio::post(stream.get_executor(),
             boost::beast::bind_front_handler(std::forward<Handler>(handler), boost::system::error_code()));
}
inline void beast_close_socket(TransportStream& stream) { stream.carried().close(); }

} // namespace trunkline

template <template <class, class> class Associator, class Handler, class Default>
struct boost::asio::associator<Associator, trunkline::CarriedHandler<Handler>, Default> : Associator<Handler, Default> {
  static typename Associator<Handler, Default>::type get(const trunkline::CarriedHandler<Handler>& carried,
                                                         const Default& otherwise = Default()) noexcept {
    return Associator<Handler, Default>::get(carried.handler, otherwise);
  }
};
