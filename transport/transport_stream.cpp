#include "transport/transport_stream.hpp"

#include "fragment/quote.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>

namespace trunkline {

awaitable<CarriedTransport::Result> CarriedTransport::read(std::shared_ptr<CarriedTransport> self,
                                                           std::span<std::byte> into, std::span<std::byte> rest) {
  Result result;
  if (into.empty()) co_return result;
  try {
    if (rest.empty()) {
      result.bytes = co_await self->below->read_some(into);
    } else {
      result.bytes = co_await self->below->read_scattered(into, rest);
    }
    if (result.bytes > 0) co_return result;
    self->ended = true;
    self->changed.notify_all();
    while (self->keeps_end && !self->closed) co_await self->changed.wait();
    result.code = make_error_code(asio::error::eof);
    if (self->closed) result.code = make_error_code(asio::error::operation_aborted);
  } catch (const boost::system::system_error& failure) {
    result.code = failure.code();
    self->failure_text = text_of(failure);
  }
  co_return result;
}

awaitable<CarriedTransport::Result> CarriedTransport::write(std::shared_ptr<CarriedTransport> self,
                                                            std::vector<std::span<const std::byte>> pieces) {
  Result result;
  self->is_writing_ = true;
  try {
    co_await self->below->write(pieces);
    for (const auto piece : pieces) result.bytes += piece.size();
    self->passed_ += result.bytes;
  } catch (const boost::system::system_error& failure) {
    result.code = failure.code();
    self->failure_text = text_of(failure);
  }
  self->is_writing_ = false;
  co_return result;
}

std::uint64_t CarriedTransport::write_progress() noexcept {
  const std::uint64_t now = passed_ + (is_writing_ ? below->write_progress() : 0);
  progress_ = std::max(progress_, now); // a write that is done counts for less than what left meanwhile
  return progress_;
}

void CarriedTransport::close() noexcept {
  if (std::exchange(closed, true)) return;
  if (below) below->close();
  changed.notify_all();
}

} // namespace trunkline
