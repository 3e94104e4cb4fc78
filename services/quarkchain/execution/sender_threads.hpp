// Threads that find who signed transactions, next to the thread of whoever needs to know it. A sender follows from the
// bytes of its transaction alone: nothing of a shard is touched, and what is found is the same on any number of threads.
#pragma once

#include "async/types.hpp"
#include "services/quarkchain/execution/signed_transaction.hpp"

#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

/// The transactions of one block, whose senders are looked for by whoever has time.
class SenderSearch {
 public:
  struct Found {
    SignedTransactionPtr transaction; // null while it is not found, and when it has no sender
    std::string failure;              // why it has none
  };

  /// `transactions` must live until it is finished.
  explicit SenderSearch(const std::vector<TypedTransaction>& transactions)
      : transactions_(transactions), found_(transactions.size()) {}

  /// Looks at one transaction after the other that nobody has begun. On any thread, and on several at once.
  void work() noexcept;
  /// Helps, and waits for those that others have begun: in the order of the transactions. On one thread.
  std::vector<Found>& finish() noexcept;

 private:
  const std::vector<TypedTransaction>& transactions_;
  std::vector<Found> found_;
  std::atomic<std::size_t> begun_ = 0;
  std::atomic<std::size_t> done_ = 0; // <= begun_
};

class SenderThreads {
 public:
  /// Beside those of their callers; they start with the first search.
  explicit SenderThreads(std::size_t threads_count) : threads_count_(threads_count) {}
  SenderThreads(const SenderThreads&) = delete;
  SenderThreads& operator=(const SenderThreads&) = delete;
  /// Waits for transactions that are being looked at.
  ~SenderThreads();

  /// One less than there are cores, at most 3; null where there is one core only.
  static std::shared_ptr<SenderThreads> of_this_machine();

  /// Has them begin. They keep `search`, and with it whatever it owns, for as long as they look at it.
  void help(std::shared_ptr<SenderSearch> search);

 private:
  void start();

  const std::size_t threads_count_;
  std::optional<asio::thread_pool> pool_;
};

} // namespace trunkline::quarkchain
