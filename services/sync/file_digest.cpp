#include "services/sync/file_digest.hpp"

#include "async/task_group.hpp"
#include "services/sync/outgoing_file.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace trunkline::sync {
namespace {

constexpr std::size_t bytes_between_yields = 256 * 1024;

} // namespace

awaitable<FileDigest> digest_file(std::shared_ptr<Budgets> budgets, std::shared_ptr<Directory> directory,
                                  std::string name, std::shared_ptr<Progress> progress, std::uint64_t seed,
                                  std::uint64_t bytes_max) {
  BudgetShare turn(one_of(std::move(budgets), &Budgets::digests));
  co_await turn.wait_for_one();
  OutgoingFile file(std::move(directory), std::move(name));
  Digester digester(seed);
  const std::uint64_t end = std::min(bytes_max, file.status().size);
  std::vector<std::byte> buffer(std::min<std::uint64_t>(bytes_between_yields, end));
  std::vector<std::byte> zeros;
  std::uint64_t done = 0;
  while (done < end) {
    const std::size_t size = file.next_bytes(std::min<std::uint64_t>(buffer.size(), end - done));
    while (done < std::min(end, file.offset())) { // a hole
      if (zeros.empty()) zeros.resize(buffer.size());
      const std::size_t count = std::min<std::uint64_t>(zeros.size(), std::min(end, file.offset()) - done);
      digester.add(std::span(zeros).first(count));
      done += count;
      ++progress->worked;
      co_await let_others_run();
    }
    if (size == 0 || done >= end) break;
    const std::size_t count = file.read(std::span(buffer).first(std::min<std::uint64_t>(size, end - done)));
    if (count == 0) break;
    digester.add(std::span(buffer).first(count));
    done += count;
    ++progress->worked;
    if (done >= bytes_between_yields) co_await let_others_run();
  }
  FileDigest result;
  result.digest = digester.take();
  result.unchanged = file.unchanged();
  co_return result;
}

} // namespace trunkline::sync
