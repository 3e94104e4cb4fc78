// Members of one book as whole nodes on memory connections, in one context.
#pragma once

#include "services/gossip/gossip.hpp"
#include "tests/services/gossip/members.hpp"
#include "transport/memory.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::test {

struct Village {
  Village(asio::io_context& io, std::uint32_t count, const std::string& strategy,
          const std::function<void(gossip::GossipOptions&)>& tweak = {}) {
    const auto memory = std::make_shared<MemoryMedium>();
    std::vector<NodeId> ids;
    for (std::uint32_t number = 1; number <= count; ++number) {
      NetworkOptions options;
      options.node.media["mem"] = memory;
      options.listen = {"mem://" + std::to_string(number)};
      for (std::uint32_t other = 1; other <= count; ++other)
        if (other != number) options.book.add(member_id(other), "mem://" + std::to_string(other));
      gossip::GossipOptions how;
      how.machine.strategy = strategy;
      if (tweak) tweak(how);
      members.push_back(std::make_unique<Member>(io.get_executor(), number, std::move(options), std::move(how)));
      ids.push_back(member_id(number));
    }
    const auto book = gossip::Book::make(1, ids);
    for (const auto& member : members) member->service->set_book(book);
  }
  awaitable<void> ready() {
    for (const auto& member : members) co_await member->service->ready();
  }
  awaitable<void> stop() {
    for (const auto& member : members) co_await member->stop();
  }
  std::uint64_t reads() const {
    std::uint64_t sum = 0;
    for (const auto& member : members) sum += member->reads();
    return sum;
  }
  std::vector<std::unique_ptr<Member>> members;
};

inline awaitable<void> turns(int count) {
  for (int turn = 0; turn < count; ++turn) co_await asio::post(asio::use_awaitable);
}

/// One broadcast, which every member other than the originator has to get exactly once.
inline awaitable<void> plays_default(asio::io_context& io, std::uint32_t size, std::uint32_t origin,
                                     std::string strategy) {
  Village village(io, size, strategy, [](gossip::GossipOptions& how) {
    how.machine.clean_after = std::chrono::milliseconds(20);
    how.machine.ack_timeout = std::chrono::milliseconds(1000);
  });
  co_await village.ready();
  village.members[origin]->service->broadcast("hello");
  const auto delivered = [&] {
    std::uint64_t sum = 0;
    for (const auto& member : village.members) sum += member->service->counters().delivered;
    return sum;
  };
  while (delivered() + 1 < size) co_await asio::post(asio::use_awaitable);
  co_await turns(500);
  for (const auto& member : village.members)
    CHECK(member->times(member_id(origin + 1), "hello") == (member->number == origin + 1 ? 0 : 1));
  co_await village.stop();
}

} // namespace trunkline::test
