// Connecting to whichever of a host's addresses answers first (RFC 8305, "happy eyeballs"): the addresses take turns by
// family, each is tried a short while after the one before, and none is given up for being slow. Included by the .cpp
// files of the socket transports alone.
#pragma once

#include "async/signal.hpp"
#include "transport/socket_options.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline {

/// One race. One executor.
class ConnectRace {
 public:
  using tcp = asio::ip::tcp;

  /// The first address stays first; of the others, those of the two families take turns.
  ConnectRace(const std::vector<asio::ip::address>& addresses, std::uint16_t port, const TcpOptions& options);

  /// The winner; nothing when all have failed. Cancelled: throws operation_aborted, and no attempt goes on.
  static awaitable<std::optional<tcp::socket>> run(std::shared_ptr<ConnectRace> self);

  /// Where the socket that won is connected to.
  const tcp::endpoint& winner() const noexcept { return winner_at_; }
  /// What has become of each address that was tried: "10.0.0.7: Connection refused; ::1: no answer". For one that was
  /// given as such, without a name, `alone` leaves out the address.
  std::string tried(bool alone) const;
  /// Of the address that was tried last; no error before one has failed.
  const boost::system::error_code& failure() const noexcept { return failure_; }

 private:
  struct Attempt {
    tcp::endpoint endpoint;
    enum class State : std::uint8_t { waiting, connecting, failed } state = State::waiting;
    boost::system::error_code failure;
  };
  static awaitable<void> attempt(std::shared_ptr<ConnectRace> self, std::size_t index);
  void finish(std::size_t index, const boost::system::error_code& failure, tcp::socket socket);

  std::vector<Attempt> attempts_;
  SocketOptions options_;
  Duration next_address_delay_;
  std::size_t connecting_ = 0;
  bool next_is_due_ = true;
  boost::system::error_code failure_;
  std::optional<tcp::socket> winner_;
  tcp::endpoint winner_at_;
  Signal changed_;
};

} // namespace trunkline
