#include "peer/channel/line.hpp"

#include "circuit/trunk.hpp"

#include <algorithm>
#include <utility>

namespace trunkline {
namespace {

constexpr std::size_t acked_recently_max = 256;

} // namespace

Line::Line(Circuit opened) : circuit_(std::move(opened)) {}

bool Line::is_usable() const {
  if (is_retired_ || !circuit_.is_open()) return false;
  const Machine& machine = circuit_.trunk()->machine();
  return !machine.draining() && !machine.over();
}

void Line::finish() noexcept {
  is_retired_ = has_ended_ = true;
  changed_.notify_all();
}

std::int64_t Line::expect_ack() {
  outstanding_.emplace(++number_last_, false);
  return number_last_;
}

bool Line::is_acked(std::int64_t number) const {
  const auto found = outstanding_.find(number);
  return found != outstanding_.end() && found->second;
}

void Line::on_ack(std::int64_t number, AckMetrics& metrics) {
  const auto found = outstanding_.find(number);
  if (found != outstanding_.end() && !found->second) {
    found->second = true;
    ++metrics.taken;
    acked_recently_.push_back(number);
    if (acked_recently_.size() > acked_recently_max) acked_recently_.pop_front();
    changed_.notify_all();
  } else if (std::find(acked_recently_.begin(), acked_recently_.end(), number) != acked_recently_.end()) {
    ++metrics.duplicate;
  } else if (number >= 1 && number <= number_last_) {
    ++metrics.late;
  } else {
    ++metrics.unknown;
  }
}

} // namespace trunkline
