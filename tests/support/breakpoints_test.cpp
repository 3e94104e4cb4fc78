// Each loop is shown twice: a correct program passes through all of its runs, and a planted bug, of the kind that the
// loop is there for, is caught in at least one of them.

#include "tests/support/breakpoints.hpp"

#include "tests/support/coroutine.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>

#include <array>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace asio = boost::asio;
namespace test = trunkline::test;

namespace {

// Copies a file by four operations; the careless variant forgets its temporary file when the last one fails.
struct Disk {
  test::FailPoint& point;
  int temporary_files = 0;
  bool complete = false;

  bool copy(bool careless) {
    if (point.step()) return false; // open
    ++temporary_files;
    if (point.step() || point.step()) { // read, write
      --temporary_files;
      return false;
    }
    if (point.step()) { // rename
      if (!careless) --temporary_files;
      return false;
    }
    --temporary_files;
    complete = true;
    return true;
  }
};

std::size_t leaks_found(bool careless) {
  std::size_t leaks = 0;
  std::size_t runs = test::fail_each_io([&](test::FailPoint& point) {
    Disk disk{point};
    bool copied = disk.copy(careless);
    CHECK(copied == disk.complete);
    CHECK(copied == !point.reached());
    if (disk.temporary_files != 0) ++leaks;
  });
  CHECK(runs == 5); // four operations, and the run in which none failed
  return leaks;
}

// Counts down by posting itself. The careless variant lets a posted handler outlive it; instead of touching freed
// memory, which only a sanitizer would see, the handler notes that it ran for an object that is gone.
class Countdown {
 public:
  Countdown(asio::io_context& io, int from, bool careless, int& ran_for_the_dead)
      : io_(io), left_(from), careless_(careless), ran_for_the_dead_(ran_for_the_dead) {
    step();
  }
  Countdown(const Countdown&) = delete;
  Countdown& operator=(const Countdown&) = delete;

 private:
  void step() {
    if (left_-- == 0) return;
    asio::post(io_, [this, alive = std::weak_ptr<int>(alive_), careless = careless_, &found = ran_for_the_dead_] {
      if (alive.expired()) {
        if (careless) ++found;
        return;
      }
      step();
    });
  }

  asio::io_context& io_;
  int left_;
  const bool careless_;
  int& ran_for_the_dead_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

int dead_handlers(bool careless) {
  int found = 0;
  std::size_t runs = test::stop_after_each_handler(
      test::After::run_on, [&](asio::io_context& io) { return std::make_unique<Countdown>(io, 3, careless, found); });
  CHECK(runs == 5); // 0, 1, 2 and 3 handlers, and the run that looked for a fourth in vain
  return found;
}

// A coroutine that holds something over a suspension. The owner that it uses on its way out is gone by then if the
// context destroys its frame last.
struct Ledger {
  int entries = 0;
};
struct Entry {
  explicit Entry(std::shared_ptr<Ledger> to) : ledger(to) { ++to->entries; }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  ~Entry() {
    if (auto to = ledger.lock()) --to->entries;
    else ++orphans;
  }
  std::weak_ptr<Ledger> ledger;
  static inline int orphans = 0;
};

asio::awaitable<void> book(std::weak_ptr<Ledger> ledger, int times) {
  std::optional<Entry> entry;
  for (int i = 0; i < times; ++i) {
    auto to = ledger.lock();
    if (!to) co_return;
    entry.emplace(std::move(to));
    co_await asio::post(asio::use_awaitable);
  }
}

asio::awaitable<void> wait_an_hour() {
  asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::hours(1));
  co_await timer.async_wait(asio::use_awaitable);
}

// Sums decimal numbers that end in a comma; the careless variant believes that a read ends where a number ends.
class Adder {
 public:
  explicit Adder(bool careless) : careless_(careless) {}
  void receive(std::span<const char> bytes) {
    for (char byte : bytes) {
      if (byte == ',') flush();
      else number_ += byte;
    }
    if (careless_) flush();
  }
  int sum() const { return sum_; }

 private:
  void flush() {
    if (!number_.empty()) sum_ += std::stoi(number_);
    number_.clear();
  }

  const bool careless_;
  std::string number_;
  int sum_ = 0;
};

int wrong_sums(bool careless) {
  const std::string text = "12,7,";
  int wrong = 0;
  std::size_t runs = test::split_at_each(std::span<const char>(text), [&](auto first, auto second) {
    Adder adder(careless);
    adder.receive(first);
    adder.receive(second);
    if (adder.sum() != 19) ++wrong;
  });
  CHECK(runs == text.size() + 1);
  return wrong;
}

} // namespace

TEST_CASE("breakpoints: every operation fails once, and then none") { CHECK(leaks_found(false) == 0); }

TEST_CASE("breakpoints: a clean-up forgotten behind one operation is caught by failing each") {
  CHECK(leaks_found(true) == 1);
}

TEST_CASE("breakpoints: an operation that always fails anew is reported instead of looping") {
  CHECK_THROWS_AS(test::fail_each_io(
                      [](test::FailPoint& point) {
                        while (!point.step()) {}
                      },
                      20),
                  std::logic_error);
}

TEST_CASE("breakpoints: an owner destroyed after any handler leaves a context that runs out of work") {
  CHECK(dead_handlers(false) == 0);
}

TEST_CASE("breakpoints: a handler that outlives its owner is caught by stopping after each") {
  CHECK(dead_handlers(true) == 3);
}

TEST_CASE("breakpoints: a frame that outlives what it writes to is caught by destroying everything") {
  Entry::orphans = 0;
  std::size_t runs = test::stop_after_each_handler(test::After::destroy_all, [](asio::io_context& io) {
    auto ledger = std::make_shared<Ledger>();
    asio::co_spawn(io, book(ledger, 2), [](std::exception_ptr) {});
    return ledger;
  });

  CHECK(runs >= 3);
  CHECK(Entry::orphans > 0);
}

TEST_CASE("breakpoints: work that waits for good after its owner is gone is reported") {
  auto keep_alive = [](asio::io_context& io) { return std::make_pair(0, asio::make_work_guard(io)); };
  CHECK_NOTHROW(test::stop_after_each_handler(test::After::run_on, keep_alive));

  auto forget = [](asio::io_context& io) {
    asio::co_spawn(io, wait_an_hour(), [](std::exception_ptr) {});
    return 0;
  };
  CHECK_THROWS_AS(test::stop_after_each_handler(test::After::run_on, forget), std::logic_error);
}

TEST_CASE("breakpoints: bytes cut at any position give the same sum") { CHECK(wrong_sums(false) == 0); }

TEST_CASE("breakpoints: a parser that trusts the end of a read is caught by splitting") { CHECK(wrong_sums(true) > 0); }

TEST_CASE("breakpoints: pieces cover the bytes in order, the last one may be shorter") {
  const std::array<int, 5> numbers = {1, 2, 3, 4, 5};
  std::vector<std::size_t> sizes;
  std::vector<int> seen;
  test::split_into(std::span<const int>(numbers), 2, [&](auto piece) {
    sizes.push_back(piece.size());
    seen.insert(seen.end(), piece.begin(), piece.end());
  });

  CHECK(sizes == std::vector<std::size_t>{2, 2, 1});
  CHECK(seen == std::vector<int>{1, 2, 3, 4, 5});
}
