#include "tests/services/sync/two_nodes.hpp"

#include "async/task_group.hpp"
#include "tests/support/coroutine.hpp"
#include "tests/support/seed.hpp"
#include "transport/memory.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <algorithm>
#include <exception>
#include <random>
#include <stdexcept>
#include <utility>

namespace trunkline::test {
namespace {

using namespace trunkline::sync;

NodeOptions on(std::shared_ptr<MemoryMedium> memory) {
  NodeOptions options;
  options.media["mem"] = std::move(memory);
  return options;
}

sync::ServiceOptions answering(const Setting& setting, std::shared_ptr<Root> root, std::vector<Note>& notes) {
  sync::ServiceOptions options;
  options.root = std::move(root);
  options.read_only = setting.read_only;
  options.random = seeded_random();
  options.tuning = setting.tuning;
  options.digest_threads = setting.digest_threads;
  options.listing_bytes_max = std::min(options.listing_bytes_max, setting.tuning.listing_bytes_max);
  options.on_note = [&notes](const Note& note) { notes.push_back(note); };
  return options;
}

awaitable<void> until_bytes(std::shared_ptr<Progress> progress, std::uint64_t bytes) {
  while (progress->bytes_done < bytes) co_await let_others_run();
}

awaitable<Report> until_given_up(awaitable<Report> sync, std::shared_ptr<Progress> progress, std::uint64_t bytes) {
  using namespace asio::experimental::awaitable_operators;
  if (bytes == 0) co_return co_await std::move(sync);
  auto ended = co_await (std::move(sync) || until_bytes(std::move(progress), bytes));
  if (ended.index() == 1) throw std::runtime_error("given up");
  co_return std::get<0>(std::move(ended));
}

awaitable<void> run(Way way, const Setting& setting, std::string from, std::string to, Ended& outcome) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto memory = std::make_shared<MemoryMedium>();
  Node asker(executor, on(memory));
  Node answerer(executor, on(memory));
  const std::string address = answerer.listen("mem://answerer");
  sync::ServiceOptions asking;
  asking.random = seeded_random();
  asking.tuning = setting.tuning;
  asking.digest_threads = setting.digest_threads;
  const auto service = Service::register_at(asker, std::move(asking));
  Watch watch;
  watch.on_note = [&outcome](const Note& note) { outcome.asker_notes.push_back(note); };
  const auto progress = watch.progress;
  try {
    if (way == Way::push) {
      Service::register_at(answerer, answering(setting, Root::open(to, setting.to_disk), outcome.answerer_notes));
      Source source = open_source(from, setting.from_disk);
      auto push = service->push(asker, std::move(source), address, setting.path, setting.options, std::move(watch));
      outcome.report = co_await until_given_up(std::move(push), progress, setting.give_up_at_bytes);
    } else {
      Service::register_at(answerer, answering(setting, Root::open(from, setting.from_disk), outcome.answerer_notes));
      auto root = Root::open(to, setting.to_disk);
      auto pull = service->pull(asker, address, setting.path, std::move(root), setting.options, std::move(watch));
      outcome.report = co_await until_given_up(std::move(pull), progress, setting.give_up_at_bytes);
    }
  } catch (const std::exception& thrown) {
    outcome.failure = thrown.what();
  }
  outcome.progress = *progress;
  for (const LinkInfo& link : asker.links())
    outcome.wire_bytes += link.counters.bytes_sent + link.counters.bytes_received;
  co_await asker.close();
  co_await answerer.close();
}

} // namespace

std::vector<std::string> Ended::notes(sync::Note::Kind kind) const {
  std::vector<std::string> found;
  for (const Note& note : asker_notes)
    if (note.kind == kind) found.push_back(note.path);
  std::sort(found.begin(), found.end());
  return found;
}

Ended sync_trees(Way way, const std::string& from, const std::string& to, const Setting& setting) {
  Ended outcome;
  run_coroutine(run(way, setting, from, to, outcome));
  return outcome;
}

const char* name_of_way(Way way) { return way == Way::push ? "push" : "pull"; }

std::string random_text(std::size_t size) {
  std::mt19937_64 random(test_seed() + size);
  std::string text(size, '\0');
  for (char& letter : text) letter = static_cast<char>(random());
  return text;
}

} // namespace trunkline::test
