#include "services/gossip/strategy.hpp"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace trunkline::gossip {
namespace {

/// Pocket's tree: each member sends along its own rotation of the book. Misses members at most sizes.
class RainTree final : public Strategy {
 public:
  RainTree(std::string name, Layers layers) : Strategy(std::move(name), layers) {}

  Hop whole(std::uint32_t size, Position origin) const noexcept override { return {origin, levels_of(size) + 1, 0}; }

  std::uint32_t reach(const Hop& hop) const noexcept override { return hop.level == 0 ? 0 : hop.level - 1; }

  bool is_possible(std::uint32_t size, const Hop& hop) const noexcept override {
    return hop.to < size && hop.level <= levels_of(size) && hop.span == 0;
  }

  void relay(std::uint32_t size, const Hop& hop, std::uint32_t served, std::vector<Hop>& into) const override {
    for (std::uint32_t level = reach(hop); level > served; --level)
      for (const std::uint32_t offset : target_offsets(size, level))
        if (offset != 0) into.push_back({static_cast<Position>((hop.to + offset) % size), level, 0});
  }
};

/// Splits the ring of members in three, gives two parts away, and goes on with the first: every member once, N - 1
/// sends.
class Exact final : public Strategy {
 public:
  Exact(std::string name, Layers layers) : Strategy(std::move(name), layers) {}

  Hop whole(std::uint32_t size, Position origin) const noexcept override { return {origin, levels_of(size) + 1, size}; }

  std::uint32_t reach(const Hop& hop) const noexcept override { return hop.level == 0 || hop.span < 2 ? 0 : hop.span; }

  bool is_possible(std::uint32_t size, const Hop& hop) const noexcept override {
    return hop.to < size && hop.level <= levels_of(size) && hop.span <= size && levels_of(hop.span) <= hop.level;
  }

  // A larger part than the one served before contains that one, since both begin with the member itself.
  void relay(std::uint32_t size, const Hop& hop, std::uint32_t served, std::vector<Hop>& into) const override {
    if (reach(hop) <= served) return;
    for (std::uint32_t left = hop.span; left > 1;) {
      const std::uint32_t level = levels_of(left);
      const auto first = static_cast<std::uint32_t>((std::uint64_t{left} + 2) / 3);
      const auto second = static_cast<std::uint32_t>((std::uint64_t{left} * 2 + 2) / 3);
      if (second > first) into.push_back({static_cast<Position>((hop.to + first) % size), level, second - first});
      if (left > second) into.push_back({static_cast<Position>((hop.to + second) % size), level, left - second});
      left = first;
    }
  }
};

} // namespace

std::shared_ptr<const Strategy> Strategy::parse(std::string_view names) {
  Layers layers;
  bool exact = false;
  for (std::string_view left = names;;) {
    const std::size_t plus = left.find('+');
    const std::string_view name = left.substr(0, plus);
    if (name == "plain") {
      layers.repeats = true;
    } else if (name == "adopt") {
      layers.adopts = true;
    } else if (name == "redundancy") {
      layers.redundant = true;
    } else if (name == "cleanup") {
      layers.cleans = true;
    } else if (name == "exact") {
      exact = true;
    } else {
      throw std::invalid_argument(fmt::format(
          "strategy \"{}\" is none of plain, adopt, redundancy, cleanup, exact, nor several joined by +", names));
    }
    if (plus == std::string_view::npos) break;
    left.remove_prefix(plus + 1);
  }
  if (exact && layers.repeats)
    throw std::invalid_argument("strategy \"exact\" is another tree than \"plain\"; choose one");
  if (layers.repeats && layers.adopts)
    throw std::invalid_argument("strategy \"plain\" sends exactly what the tables say; leave it out to adopt");
  if (exact) return std::make_shared<Exact>(std::string(names), layers);
  return std::make_shared<RainTree>(std::string(names), layers);
}

} // namespace trunkline::gossip
