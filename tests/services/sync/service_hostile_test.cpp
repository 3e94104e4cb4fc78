// One side of a sync is real, the other a script that says whatever a hostile or broken peer could say.
#include "async/within.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/path.hpp"
#include "services/sync/service.hpp"
#include "tests/services/sync/scratch.hpp"
#include "tests/support/coroutine.hpp"
#include "transport/memory.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::sync;

namespace {

/// What the scripted peer does with the control circuit after it has read the request.
using Script = awaitable<void> (*)(Circuit&);
/// The same, with the circuits that come after it.
using InboxScript = awaitable<void> (*)(Circuit&, CircuitInbox&);

awaitable<void> run_script(std::function<awaitable<void>(Circuit&, CircuitInbox&)> script, CircuitInbox& circuits) {
  std::optional<Circuit> control = co_await circuits.next();
  const std::optional<Fragment> request = co_await control->receive();
  CHECK((request && request->op == op::request));
  co_await script(*control, circuits);
  while (true) { // until the real side has had enough
    const result<std::optional<Fragment>> heard = co_await as_result(control->receive());
    if (!heard || !*heard) break;
  }
}

struct Ended {
  Report report;
  std::string failure;
  std::vector<std::string> errors;
};

struct Scene {
  explicit Scene(Script said) : script([said](Circuit& control, CircuitInbox&) { return said(control); }) {}
  explicit Scene(InboxScript said) : script(said) {}

  std::function<awaitable<void>(Circuit&, CircuitInbox&)> script;
  bool real_takes = true;
  Options asked;
  Tuning tuning;
};

awaitable<void> play(Scene scene, std::string path, Ended& outcome) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto memory = std::make_shared<MemoryMedium>();
  NodeOptions options;
  options.media["mem"] = memory;
  Node real(executor, options);
  Node scripted(executor, options);
  scripted.register_service(
      "sync", [script = scene.script](LocalPeer&, CircuitInbox& circuits) { return run_script(script, circuits); });
  const std::string address = scripted.listen("mem://scripted");
  sync::ServiceOptions settings;
  settings.random = test::seeded_random();
  settings.tuning = scene.tuning;
  const auto service = Service::register_at(real, std::move(settings));
  Watch watch;
  watch.on_note = [&outcome](const Note& note) {
    if (note.kind == Note::Kind::error) outcome.errors.push_back(note.text);
  };
  const Options& asked = scene.asked;
  try {
    if (scene.real_takes) {
      outcome.report = co_await service->pull(real, address, "", Root::open(path), asked, std::move(watch));
    } else {
      outcome.report = co_await service->push(real, open_source(path), address, "", asked, std::move(watch));
    }
  } catch (const std::exception& thrown) {
    outcome.failure = thrown.what();
  }
  co_await real.close();
  co_await scripted.close();
}

Ended play(Scene scene, const std::string& path) {
  Ended outcome;
  test::run_coroutine(play(scene, path, outcome));
  return outcome;
}

wire::Entry file(std::string path, std::uint64_t size = 0) {
  wire::Entry entry;
  entry.set_path(std::move(path));
  entry.set_size(size);
  entry.set_mode(0644);
  return entry;
}

wire::Entry directory(std::string path) {
  wire::Entry entry = file(std::move(path));
  entry.set_type(wire::Entry::DIRECTORY);
  entry.set_mode(0755);
  return entry;
}

wire::Entry symlink_entry(std::string path, std::string target) {
  wire::Entry entry = file(std::move(path));
  entry.set_type(wire::Entry::SYMLINK);
  entry.set_target(std::move(target));
  return entry;
}

template <class... Entries> std::vector<wire::Entry> entries(Entries... given) {
  std::vector<wire::Entry> made;
  (made.push_back(std::move(given)), ...);
  return made;
}

awaitable<void> say_listing(Circuit& control, std::vector<wire::Entry> entries, bool ends = true) {
  wire::Listing listing;
  for (wire::Entry& entry : entries) *listing.add_entries() = std::move(entry);
  co_await send_message(control, op::listing, listing);
  if (!ends) co_return;
  wire::ListingEnd end;
  end.set_entries(entries.size());
  end.set_complete(true);
  co_await send_message(control, op::listing_end, end);
}

Circuit open_file(Circuit& control, std::uint64_t index, std::uint64_t size) {
  wire::FileHeader header;
  header.set_index(index);
  header.set_size(size);
  header.set_mode(06777);
  return control.new_circuit(to_fragment(op::file, header));
}

awaitable<void> say_data(Circuit& circuit, std::uint64_t offset, std::string content) {
  Fragment fragment(op::data, Payload(content));
  fragment.part = static_cast<std::int64_t>(offset);
  co_await circuit.send(std::move(fragment));
}

/// Sends one file as it should be.
awaitable<void> say_file(Circuit& control, std::uint64_t index, std::string content) {
  Circuit circuit = open_file(control, index, content.size());
  if (!content.empty()) co_await say_data(circuit, 0, content);
  circuit.finish();
}

awaitable<void> wait_for_want(Circuit& control) {
  for (;;) {
    const std::optional<Fragment> heard = co_await control.receive();
    if (!heard || heard->op == op::want) co_return;
  }
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

Circuit ask_to_give(LocalPeer& peer, const std::string& address, const std::string& path = {},
                    const std::string& exclude = {}) {
  wire::Request request;
  request.set_version(protocol_version);
  request.set_role(wire::Request::GIVE);
  request.set_path(path);
  if (!exclude.empty()) request.add_rules()->set_pattern(exclude);
  return peer.start(address, "sync", to_fragment(op::request, request));
}

/// What an asker hears of its sync: "listed" when it is answered, or why it is not.
awaitable<std::string> heard_first(Circuit& control) {
  for (;;) {
    const std::optional<Fragment> heard = co_await control.receive();
    if (!heard) co_return "nothing";
    if (heard->op == op::listing_end) co_return "listed";
    if (heard->op == op::failed) co_return read_message<wire::Failed>(*heard).text();
  }
}

/// Asks for syncs on `answerer`, which answers two at a time, and never says what it wants of them.
awaitable<void> ask_too_often(std::string path) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto memory = std::make_shared<MemoryMedium>();
  NodeOptions options;
  options.media["mem"] = memory;
  Node asker(executor, options);
  Node answerer(executor, options);
  sync::ServiceOptions settings;
  settings.root = Root::open(path);
  settings.answered_max = 2;
  const auto service = Service::register_at(answerer, std::move(settings));
  const std::string address = answerer.listen("mem://answerer");
  const auto me = asker.new_peer("asker");

  std::vector<Circuit> answered;
  for (int i = 0; i < 2; ++i) {
    answered.push_back(ask_to_give(*me, address));
    const std::string heard = co_await heard_first(answered.back());
    CHECK(heard == "listed");
  }
  for (int i = 0; i < 3; ++i) {
    Circuit refused = ask_to_give(*me, address);
    const std::string heard = co_await heard_first(refused);
    CHECK_MESSAGE(contains(heard, "answers 2 syncs already, which is its answered_max"), heard);
  }
  const auto others_than = [&service](std::size_t count) { return service->running_count() != count; };
  while (others_than(2)) co_await asio::post(asio::use_awaitable);

  answered.pop_back();
  while (others_than(1)) co_await asio::post(asio::use_awaitable);
  Circuit next = ask_to_give(*me, address);
  const std::string heard = co_await heard_first(next);
  CHECK(heard == "listed");
  co_await asker.close();
  co_await answerer.close();
}

awaitable<void> note_when_listed(Circuit* control, std::string name, std::vector<std::string>* order) {
  const std::string heard = co_await heard_first(*control);
  order->push_back(name + " " + heard);
}

/// Asks for a large sync that leaves everything out, then for a small one.
awaitable<void> ask_for_much_and_little(std::string path, std::vector<std::string>* order) {
  using namespace asio::experimental::awaitable_operators;
  const Executor executor = co_await asio::this_coro::executor;
  const auto memory = std::make_shared<MemoryMedium>();
  NodeOptions options;
  options.media["mem"] = memory;
  Node asker(executor, options);
  Node answerer(executor, options);
  sync::ServiceOptions settings;
  settings.root = Root::open(path);
  const auto service = Service::register_at(answerer, std::move(settings));
  const std::string address = answerer.listen("mem://answerer");
  const auto me = asker.new_peer("asker");

  Circuit much = ask_to_give(*me, address, "much", "*.o");
  Circuit little = ask_to_give(*me, address, "little");
  co_await (note_when_listed(&much, "much", order) && note_when_listed(&little, "little", order));
  co_await asker.close();
  co_await answerer.close();
}

/// Two nodes of which one answers syncs.
struct Town {
  explicit Town(Executor executor, sync::ServiceOptions settings)
      : asker(executor, with(memory)), answerer(executor, with(memory)),
        service(Service::register_at(answerer, std::move(settings))), address(answerer.listen("mem://answerer")),
        me(asker.new_peer("asker")) {}

  static NodeOptions with(const std::shared_ptr<MemoryMedium>& memory) {
    NodeOptions options;
    options.media["mem"] = memory;
    return options;
  }
  awaitable<void> wait_until_running(std::size_t count) {
    while (service->running_count() != count) co_await asio::post(asio::use_awaitable);
  }
  awaitable<void> close() {
    co_await asker.close();
    co_await answerer.close();
  }

  std::shared_ptr<MemoryMedium> memory = std::make_shared<MemoryMedium>();
  Node asker;
  Node answerer;
  std::shared_ptr<Service> service;
  std::string address;
  std::shared_ptr<LocalPeer> me;
};

/// Three listings of about 15 KB where there is room for two.
awaitable<void> ask_for_listings(std::string path) {
  sync::ServiceOptions settings;
  settings.root = Root::open(path);
  settings.listing_bytes_max = 40'000;
  Town town(co_await asio::this_coro::executor, std::move(settings));

  std::vector<Circuit> answered;
  for (int i = 0; i < 2; ++i) {
    answered.push_back(ask_to_give(*town.me, town.address));
    const std::string heard = co_await heard_first(answered.back());
    CHECK(heard == "listed");
  }
  Circuit refused = ask_to_give(*town.me, town.address);
  const std::string heard = co_await heard_first(refused);
  CHECK_MESSAGE(contains(heard, "would take more than 40000 bytes together, which is listing_bytes_max"), heard);
  answered.pop_back();
  co_await town.wait_until_running(1);
  Circuit next = ask_to_give(*town.me, town.address);
  const std::string then = co_await heard_first(next);
  CHECK(then == "listed");
  co_await town.close();
}

/// What an asker hears last of a sync of which it has heard the listing.
awaitable<std::string> heard_last(Circuit& control) {
  std::string last = "nothing";
  for (;;) {
    const result<std::optional<Fragment>> heard = co_await as_result(control.receive());
    if (!heard || !*heard) co_return last;
    if ((*heard)->op == op::failed) last = read_message<wire::Failed>(**heard).text();
  }
}

awaitable<void> ask_as_two_remotes(std::string path) {
  sync::ServiceOptions settings;
  settings.root = Root::open(path);
  settings.answered_per_remote_max = 2;
  Town town(co_await asio::this_coro::executor, std::move(settings));
  Node other(co_await asio::this_coro::executor, Town::with(town.memory));
  const auto other_me = other.new_peer("asker");

  std::vector<Circuit> answered;
  for (int i = 0; i < 2; ++i) {
    answered.push_back(ask_to_give(*town.me, town.address));
    const std::string heard = co_await heard_first(answered.back());
    CHECK(heard == "listed");
  }
  Circuit refused = ask_to_give(*town.me, town.address);
  const std::string heard = co_await heard_first(refused);
  CHECK_MESSAGE(contains(heard, "already, which is its answered_per_remote_max: try again later"), heard);
  Circuit elsewhere = ask_to_give(*other_me, town.address);
  const std::string then = co_await heard_first(elsewhere);
  CHECK(then == "listed");
  answered.pop_back();
  while (town.service->running_count() != 2) co_await asio::post(asio::use_awaitable);
  Circuit next = ask_to_give(*town.me, town.address);
  const std::string at_last = co_await heard_first(next);
  CHECK(at_last == "listed");
  co_await other.close();
  co_await town.close();
}

Circuit ask_to_take(LocalPeer& peer, const std::string& address, bool dry_run = true);

awaitable<void> ask_and_say_nothing(std::string path) {
  sync::ServiceOptions settings;
  settings.root = Root::open(path);
  settings.idle_max = std::chrono::milliseconds(50);
  Town town(co_await asio::this_coro::executor, std::move(settings));

  for (const bool takes : {false, true}) {
    Circuit control = takes ? ask_to_take(*town.me, town.address) : ask_to_give(*town.me, town.address);
    const std::string heard = co_await heard_last(control);
    CHECK_MESSAGE(contains(heard, "nothing has come from the far side for 50 ms"), heard);
    co_await town.wait_until_running(0);
  }
  Circuit silent = town.me->start(town.address, "sync", std::nullopt);
  co_await heard_last(silent);
  co_await town.wait_until_running(0);
  co_await town.close();
}

awaitable<void> end_in_words_of_its_own(std::string path, std::vector<std::string>* log) {
  sync::ServiceOptions settings;
  settings.root = Root::open(path);
  settings.log = [log](const std::string& line) { log->push_back(line); };
  Town town(co_await asio::this_coro::executor, std::move(settings));

  Circuit control = ask_to_give(*town.me, town.address);
  co_await heard_first(control);
  control.reset(End(error::circuit_reset, "x\n2026-01-01 node://good pulls \"a\": 1 files\x1b[2J"));
  co_await town.wait_until_running(0);
  co_await town.close();
}

awaitable<void> say_many_notes(std::string path, std::vector<Note>* heard) {
  sync::ServiceOptions settings;
  settings.root = Root::open(path);
  settings.notes_max = 10;
  settings.on_note = [heard](const Note& note) { heard->push_back(note); };
  Town town(co_await asio::this_coro::executor, std::move(settings));

  for (const bool takes : {false, true}) {
    Circuit control = takes ? ask_to_take(*town.me, town.address) : ask_to_give(*town.me, town.address);
    wire::Notes notes;
    for (int i = 0; i < 1000; ++i) notes.add_notes()->set_kind(i % 2 ? wire::Note::SENT : wire::Note::ERROR);
    co_await send_message(control, op::notes, notes);
    control.finish();
    co_await heard_last(control);
    co_await town.wait_until_running(0);
  }
  co_await town.close();
}

Circuit ask_to_take(LocalPeer& peer, const std::string& address, bool dry_run) {
  wire::Request request;
  request.set_version(protocol_version);
  request.set_role(wire::Request::TAKE);
  request.set_dry_run(dry_run);
  return peer.start(address, "sync", to_fragment(op::request, request));
}

awaitable<void> push_listings(std::string path);
TEST_CASE("hostile asker: listings that are pushed are charged to one budget, with what is refused in them") {
  test::run_coroutine(push_listings(test::Scratch().path()));
}
awaitable<void> push_listings(std::string path) {
  sync::ServiceOptions settings;
  std::filesystem::create_directories(path);
  settings.root = Root::open(path);
  settings.listing_bytes_max = 120'000;
  Town town(co_await asio::this_coro::executor, std::move(settings));

  // Each alone is below the budget, and half of each is refused.
  std::vector<Circuit> pushing;
  std::string heard;
  for (int i = 0; i < 3; ++i) {
    pushing.push_back(ask_to_take(*town.me, town.address));
    std::vector<wire::Entry> many;
    for (int j = 0; j < 500; ++j) // a directory is remembered until it gets its time
      many.push_back(j % 2 ? file(std::to_string(1000 + j) + "/refused", 1) : directory(std::to_string(1000 + j)));
    std::sort(many.begin(), many.end(),
              [](const auto& a, const auto& b) { return compare_paths(a.path(), b.path()) < 0; });
    many.insert(many.begin(), directory(""));
    co_await say_listing(pushing.back(), std::move(many));
  }
  for (Circuit& control : pushing) {
    for (;;) {
      const result<std::optional<Fragment>> said = co_await as_result(control.receive());
      if (!said || !*said || (*said)->op == op::done) break;
      if ((*said)->op == op::failed) heard += read_message<wire::Failed>(**said).text();
    }
  }
  CHECK_MESSAGE(contains(heard, "would take more than 120000 bytes together"), heard);
  co_await town.close();
  std::filesystem::remove_all(path);
}

/// Each symlink is a note with its target. How much is listed tells how much of that is kept.
awaitable<void> push_and_not_listen(std::string path) {
  sync::ServiceOptions settings;
  settings.root = Root::open(path);
  std::size_t noted = 0;
  settings.on_note = [&noted](const Note&) { ++noted; };
  settings.notes_max = 1'000'000;
  Town town(co_await asio::this_coro::executor, std::move(settings));

  Circuit control = ask_to_take(*town.me, town.address);
  co_await say_listing(control, entries(directory("")), false);
  std::size_t said = 0;
  for (int turn = 0; turn < 3000; ++turn) {
    std::vector<wire::Entry> few;
    for (int i = 0; i < 10; ++i, ++said)
      few.push_back(symlink_entry(std::to_string(1'000'000 + said), std::string(4000, 't')));
    wire::Listing listing;
    for (wire::Entry& entry : few) *listing.add_entries() = std::move(entry);
    if (control.send_one_way(to_fragment(op::listing, listing)) != SendOutcome::queued) break;
    for (int i = 0; i < 20; ++i) co_await asio::post(asio::use_awaitable);
  }
  CHECK(noted > 100);
  CHECK(noted * 4000 < 3'000'000);
  CHECK(said * 4000 < 10'000'000);
  control.reset();
  co_await town.wait_until_running(0);
  co_await town.close();
}

/// What the Taker says of the file that it has something of; nothing when it does not open a circuit for that.
awaitable<void> hear_basis(CircuitInbox& circuits) {
  std::optional<Circuit> basis = co_await circuits.next();
  REQUIRE(basis);
  for (;;) {
    const std::optional<Fragment> heard = co_await basis->receive();
    if (!heard) break;
    CHECK((heard->op == op::basis || heard->op == op::sums));
  }
  basis->close();
}

Circuit open_delta(Circuit& control, std::uint64_t index, std::uint64_t size) {
  wire::FileHeader header;
  header.set_index(index);
  header.set_size(size);
  header.set_mode(0644);
  header.set_has_basis(true);
  return control.new_circuit(to_fragment(op::file, header));
}

awaitable<void> say_copy(Circuit& circuit, std::uint64_t to, std::uint64_t from, std::uint64_t size) {
  wire::Copies copies;
  wire::Copies::Copy& copy = *copies.add_copies();
  copy.set_to(to);
  copy.set_from(from);
  copy.set_size(size);
  co_await send_message(circuit, op::copies, copies);
}

awaitable<void> say_digest(Circuit& circuit, std::string digest) {
  Fragment fragment(op::whole_digest, Payload(digest));
  co_await circuit.send(std::move(fragment));
}

constexpr std::uint64_t old_bytes = 100'000; // of the file "a" that is there, in blocks of 512 bytes

/// The listing in which it is another one now, and what the Taker has of it.
awaitable<void> say_changed(Circuit& control, CircuitInbox& circuits) {
  co_await say_listing(control, entries(directory(""), file("a", 50'000), file("b", 50'000)));
  co_await hear_basis(circuits);
}

awaitable<void> say_basis(Circuit& control, std::uint64_t index, std::uint32_t block_bytes, std::string sums,
                          std::uint32_t strong_bytes = 8) {
  wire::Basis header;
  header.set_index(index);
  header.set_block_bytes(block_bytes);
  header.set_strong_bytes(strong_bytes);
  Circuit circuit = control.new_circuit(to_fragment(op::basis, header));
  Fragment fragment(op::sums, Payload(sums));
  co_await circuit.send(std::move(fragment));
  circuit.finish();
}

awaitable<void> hear_listing_end(Circuit& control) {
  for (;;) {
    const std::optional<Fragment> heard = co_await control.receive();
    if (!heard || heard->op == op::listing_end) co_return;
  }
}

} // namespace

TEST_CASE("hostile giver: a listing that is not ascending, too long or wrongly counted ends the sync") {
  struct Row {
    Script script;
    const char* words;
  };
  const Row rows[] = {
      {[](Circuit& control) { return say_listing(control, entries(file("b"), file("a"))); }, "not ascending"},
      {[](Circuit& control) { return say_listing(control, entries(file("a"), file("a"))); }, "not ascending"},
      {[](Circuit& control) { return say_listing(control, entries(directory("a"), file("a.b"), file("a/c"))); },
       "not ascending"},
      {[](Circuit& control) { return say_listing(control, entries(directory("a"), directory(""))); }, "not ascending"},
      {[](Circuit& control) -> awaitable<void> {
         co_await say_listing(control, entries(directory("")), false);
         wire::ListingEnd end;
         end.set_entries(7);
         co_await send_message(control, op::listing_end, end);
       },
       "listing of 1 entries claims 7"},
      {[](Circuit& control) -> awaitable<void> {
         co_await say_listing(control, entries(directory("")));
         co_await say_listing(control, entries(file("a")));
       },
       "a listing after its end"},
      {[](Circuit& control) -> awaitable<void> {
         for (int i = 0; i < 10; ++i) {
           std::vector<wire::Entry> entries;
           for (int j = 0; j < 10; ++j)
             entries.push_back(directory(std::string(1, static_cast<char>('a' + i)) + static_cast<char>('a' + j)));
           co_await say_listing(control, std::move(entries), false);
         }
       },
       "listing of more than 50 entries"},
      {[](Circuit& control) -> awaitable<void> {
         Fragment garbage(op::listing, Payload(std::string(1000, '\xff')));
         co_await control.send(std::move(garbage));
       },
       "cannot be decoded"},
      {[](Circuit& control) -> awaitable<void> {
         Fragment large(op::listing, Payload(std::string(300'000, '\0')));
         co_await control.send(std::move(large));
       },
       "control message of 300000 bytes"},
      {[](Circuit& control) -> awaitable<void> {
         Fragment garbage(op::packed_listing, Payload(std::string(1000, '\xff')));
         co_await control.send(std::move(garbage));
       },
       "a listing that cannot be unpacked"},
      {[](Circuit& control) -> awaitable<void> {
         wire::Entry more = file("b");
         more.set_shared_bytes(3);
         co_await say_listing(control, entries(directory(""), directory("ab"), more));
       },
       "a path shares 3 bytes with one of 2"},
      {[](Circuit& control) -> awaitable<void> {
         Fragment unknown(99);
         co_await control.send(std::move(unknown));
       },
       "does not say 99"},
      {[](Circuit& control) -> awaitable<void> {
         control.finish();
         co_return;
       },
       "stopped in the middle"},
      {[](Circuit& control) -> awaitable<void> {
         wire::Withheld withheld;
         withheld.set_index(3);
         co_await send_message(control, op::withheld, withheld);
       },
       "withheld and was not wanted"},
      {[](Circuit& control) -> awaitable<void> {
         wire::Compared compared;
         for (const std::int64_t difference : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()})
           compared.add_indices(difference);
         co_await send_message(control, op::compared, compared);
       },
       "withheld and was not wanted"},
  };

  for (const Row& row : rows) {
    const test::Scratch scratch;
    Scene scene(row.script);
    scene.tuning.entries_max = 50;

    const Ended outcome = play(scene, scratch.path());

    CHECK_MESSAGE(contains(outcome.failure, row.words), outcome.failure, " instead of ", row.words);
  }
}

TEST_CASE("hostile giver: entries that cannot be used are refused alone, and the rest arrives") {
  const test::Scratch scratch;
  scratch.write("outside/victim", "precious");
  scratch.make_directory("root");

  const Ended outcome = play(Scene([](Circuit& control) -> awaitable<void> {
                               std::vector<wire::Entry> entries = {
                                   directory(""),
                                   file("../outside/victim", 3),
                                   file("/etc/passwd", 3),
                                   file("."),
                                   file(".."),
                                   file(std::string("a\0b", 3)),
                                   directory("d"),
                                   file("d/../../outside/victim", 3),
                                   file("d/fine", 4),
                                   file("d//x"),
                                   file("huge", ~std::uint64_t{0}),
                                   symlink_entry("l", "../outside"),
                                   file("l/victim", 3),
                                   symlink_entry("m", ""),
                                   file(std::string(256, 'n')),
                                   directory("o/p"),
                               };
                               std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
                                 return compare_paths(a.path(), b.path()) < 0;
                               });
                               std::uint64_t fine = 0;
                               while (entries[fine].path() != "d/fine") ++fine;
                               co_await say_listing(control, std::move(entries));
                               co_await wait_for_want(control);
                               co_await say_file(control, fine, "fine");
                             }),
                             scratch.path("root"));

  CHECK(outcome.failure == "");
  CHECK(outcome.report.errors == 12);
  CHECK(outcome.errors.size() == 12);
  CHECK(scratch.read("outside/victim") == "precious");
  CHECK(scratch.read("root/d/fine") == "fine");
  CHECK((scratch.status("root/d/fine").st_mode & 07777) == 0777);
  CHECK(scratch.picture("root").size() == 3); // d, d/fine, l
  for (const std::string& text : outcome.errors) CHECK(contains(text, "is refused: it "));
}

TEST_CASE("hostile giver: an entry that the taker excludes is refused, and what is below it") {
  const test::Scratch scratch;
  scratch.write(".ssh/authorized_keys", "mine");
  scratch.write("keep.o", "precious");
  Scene scene([](Circuit& control) -> awaitable<void> {
    co_await say_listing(
        control, entries(directory(""), directory(".ssh"), file(".ssh/authorized_keys", 4), directory(".ssh/deep"),
                         file(".ssh/deep/key", 4), file("a", 2), file("keep.o", 4), symlink_entry("link.o", "a")));
    co_await wait_for_want(control);
    co_await say_file(control, 5, "ok");
  });
  scene.asked.rules = excluding({".ssh", "*.o"});

  const Ended outcome = play(scene, scratch.path());

  CHECK(outcome.failure == "");
  CHECK(scratch.read("a") == "ok");
  CHECK(scratch.read(".ssh/authorized_keys") == "mine");
  CHECK(scratch.read("keep.o") == "precious");
  CHECK_FALSE(scratch.has(".ssh/deep"));
  CHECK_FALSE(scratch.has("link.o"));
  CHECK(outcome.errors.size() == 6);
  for (const std::string& text : outcome.errors) CHECK_MESSAGE(contains(text, "is excluded here"), text);
}

TEST_CASE("hostile giver: a file that was not wanted, or more of it than it claims, ends the sync and leaves nothing") {
  struct Row {
    Script script;
    const char* words;
  };
  const Row rows[] = {
      {[](Circuit& control) -> awaitable<void> {
         co_await say_listing(control, entries(directory(""), file("a", 5)));
         co_await wait_for_want(control);
         co_await say_file(control, 0, "not a file");
       },
       "was not wanted"},
      {[](Circuit& control) -> awaitable<void> {
         co_await say_listing(control, entries(directory(""), file("a", 5)));
         co_await wait_for_want(control);
         co_await say_file(control, 1'000'000'000'000, "far out");
       },
       "was not wanted"},
      {[](Circuit& control) -> awaitable<void> {
         co_await say_listing(control, entries(directory(""), file("a", 5), file("b", 5)), false);
         co_await wait_for_want(control);
         co_await say_file(control, 1, "12345");
         co_await say_file(control, 1, "12345");
       },
       "was not wanted"},
      {[](Circuit& control) -> awaitable<void> {
         co_await say_listing(control, entries(directory(""), file("a", 5)));
         co_await wait_for_want(control);
         Circuit circuit = open_file(control, 1, 5);
         co_await say_data(circuit, 0, "123456");
         circuit.finish();
       },
       "of 5 bytes gets 6 bytes at 0"},
      {[](Circuit& control) -> awaitable<void> {
         co_await say_listing(control, entries(directory(""), file("a", 5)));
         co_await wait_for_want(control);
         Circuit circuit = open_file(control, 1, 5);
         co_await say_data(circuit, 0, "123");
         co_await say_data(circuit, 2, "3");
         circuit.finish();
       },
       "gets 1 bytes at 2 after 3"},
      {[](Circuit& control) -> awaitable<void> {
         co_await say_listing(control, entries(directory(""), file("a", 5)));
         co_await wait_for_want(control);
         Circuit circuit = open_file(control, 1, 5);
         co_await say_data(circuit, static_cast<std::uint64_t>(-3), "abc");
         circuit.finish();
       },
       "gets 3 bytes at 18446744073709551613"},
      {[](Circuit& control) -> awaitable<void> {
         co_await say_listing(control, entries(directory(""), file("a", 5)));
         co_await wait_for_want(control);
         Circuit circuit = open_file(control, 1, ~std::uint64_t{0});
         circuit.finish();
       },
       "a file of 18446744073709551615 bytes"},
      {[](Circuit& control) -> awaitable<void> {
         Fragment first(op::data, Payload("no header"));
         Circuit circuit = control.new_circuit(std::move(first));
         circuit.finish();
         co_return;
       },
       "does not begin with a file"},
  };

  for (const Row& row : rows) {
    const test::Scratch scratch;

    const Ended outcome = play(Scene(row.script), scratch.path());

    CHECK_MESSAGE(contains(outcome.failure, row.words), outcome.failure, " instead of ", row.words);
    for (const auto& [path, line] : scratch.picture()) CHECK_MESSAGE(path == "a", path);
  }
}

TEST_CASE(
    "giver: a file that is taken back and then withheld is an error and leaves nothing; one that comes again arrives") {
  const test::Scratch scratch;

  const Ended outcome = play(Scene([](Circuit& control) -> awaitable<void> {
                               co_await say_listing(control, entries(directory(""), file("a", 5), file("b", 5)));
                               co_await wait_for_want(control);
                               for (const std::uint64_t index : {1u, 2u}) {
                                 Circuit circuit = open_file(control, index, 5);
                                 co_await say_data(circuit, 0, "123");
                                 circuit.reset();
                               }
                               wire::Withheld withheld;
                               withheld.set_index(1);
                               withheld.set_text("cannot read \"a\"\x1b[2J");
                               co_await send_message(control, op::withheld, withheld);
                               co_await say_file(control, 2, "67890");
                             }),
                             scratch.path());

  CHECK(outcome.failure == "");
  CHECK(outcome.errors == std::vector<std::string>{"cannot read \"a\"\\x1b[2J"});
  CHECK(scratch.picture().size() == 1);
  CHECK(scratch.read("b") == "67890");
}

/// Why it gave up, long after the circuits of its files are over.
awaitable<void> say_why_later(Circuit& control) {
  for (int turn = 0; turn < 100; ++turn) co_await asio::post(asio::use_awaitable);
  wire::Failed failed;
  failed.set_kind(wire::Failed::FILE);
  failed.set_text("the disk is full");
  co_await send_message(control, op::failed, failed);
  control.close();
}

awaitable<void> want_first(Circuit& control) {
  for (bool ended = false; !ended;) {
    const std::optional<Fragment> heard = co_await control.receive();
    ended = !heard || heard->op == op::listing_end;
  }
  wire::Want want;
  want.add_files()->set_index(1);
  co_await send_message(control, op::want, want);
}

TEST_CASE("sync: a far side that gives up is heard, although the circuits of its files end long before it says why") {
  const InboxScript takers[] = {
      [](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
        co_await want_first(control);
        { const std::optional<Circuit> dropped = co_await circuits.next(); }
        co_await say_why_later(control);
      },
      [](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
        co_await want_first(control);
        std::optional<Circuit> file = co_await circuits.next();
        file->close(End(error::peer_ended));
        co_await say_why_later(control);
      },
  };
  for (const InboxScript script : takers) {
    const test::Scratch scratch;
    scratch.write("large", std::string(20'000'000, 'x'));
    Scene scene(script);
    scene.real_takes = false;
    CHECK(play(scene, scratch.path()).failure == "the disk is full (says the far side)");
  }

  const Script givers[] = {
      [](Circuit& control) -> awaitable<void> {
        co_await say_listing(control, entries(directory(""), file("a", 5)));
        co_await wait_for_want(control);
        {
          Circuit dropped = open_file(control, 1, 5);
          co_await say_data(dropped, 0, "123");
        }
        co_await say_why_later(control);
      },
      [](Circuit& control) -> awaitable<void> {
        co_await say_listing(control, entries(directory(""), file("a", 5)));
        co_await wait_for_want(control);
        open_file(control, 1, 5).reset();
        co_await say_why_later(control);
      },
  };
  for (const Script script : givers) {
    const test::Scratch scratch;
    CHECK(play(Scene(script), scratch.path()).failure == "the disk is full (says the far side)");
    CHECK(scratch.picture("", false).size() <= 1); // itself
  }
}

/// After the listing, which is three entries.
awaitable<void> say_room(Circuit& control, std::uint64_t compared, std::vector<std::uint64_t> kept = {}) {
  for (bool ended = false; !ended;) {
    const std::optional<Fragment> heard = co_await control.receive();
    ended = !heard || heard->op == op::listing_end;
  }
  wire::Room room;
  room.set_compared(compared);
  for (const std::uint64_t index : kept) room.add_kept(index);
  co_await send_message(control, op::room, room);
}

awaitable<void> say_want_now(Circuit& control, std::uint64_t index) {
  wire::Want want;
  want.add_files()->set_index(index);
  co_await send_message(control, op::want, want);
}

TEST_CASE("hostile taker: what cannot be wanted ends the sync") {
  struct Row {
    Script script;
    const char* words;
  };
  static constexpr auto say_want = [](Circuit& control, std::uint64_t index, int times = 1) -> awaitable<void> {
    co_await hear_listing_end(control); // the tree is three entries
    wire::Want want;
    for (int i = 0; i < times; ++i) want.add_files()->set_index(index);
    co_await send_message(control, op::want, want);
  };
  static constexpr auto say_compare = [](Circuit& control, std::vector<std::int64_t> differences,
                                         std::size_t digests_bytes, bool compare_only) -> awaitable<void> {
    co_await hear_listing_end(control);
    wire::Compare compare;
    compare.set_compare_only(compare_only);
    for (const std::int64_t difference : differences) compare.add_indices(difference);
    compare.set_digests(std::string(digests_bytes, 'x'));
    co_await send_message(control, op::compare, compare);
  };
  static const std::vector<std::int64_t> the_file = {2};
  static const std::vector<std::int64_t> the_file_twice = {2, 0};
  static const std::vector<std::int64_t> a_directory = {2, -1};
  static const std::vector<std::int64_t> before_all = {-1};
  const Row rows[] = {
      {[](Circuit& control) { return say_want(control, 3); }, "entry 3 is wanted of a listing of 3"},
      {[](Circuit& control) { return say_want(control, ~std::uint64_t{0}); }, "is wanted of a listing of 3"},
      {[](Circuit& control) { return say_want(control, 1); }, "entry 1 is wanted and is no file"},
      {[](Circuit& control) { return say_want(control, 2, 2); }, "entry 2 is wanted twice"},
      {[](Circuit& control) { return say_compare(control, the_file, 64, false); }, "digests of 1 files in 64 bytes"},
      {[](Circuit& control) { return say_compare(control, the_file, 5, true); }, "digests of 1 files in 5 bytes"},
      {[](Circuit& control) { return say_compare(control, the_file, 0, true); }, "digests of 1 files in 0 bytes"},
      {[](Circuit& control) { return say_compare(control, the_file_twice, 32, true); }, "entry 2 is wanted twice"},
      {[](Circuit& control) { return say_compare(control, a_directory, 32, false); }, "entry 1 is wanted and is no file"},
      {[](Circuit& control) { return say_compare(control, before_all, 16, false); }, "is wanted of a listing of 3"},
      {[](Circuit& control) { return say_room(control, 4); }, "4 entries of 3 are compared"},
      {[](Circuit& control) -> awaitable<void> {
         co_await say_room(control, 3);
         co_await say_want_now(control, 2);
       },
       "entry 2 is wanted and is no file, or was not wanted before"},
      {[](Circuit& control) -> awaitable<void> {
         const std::vector<std::uint64_t> beyond = {1, ~std::uint64_t{0}, 7};
         co_await say_room(control, 3, beyond);
         co_await say_want_now(control, 2);
       },
       "entry 2 is wanted and is no file, or was not wanted before"},
      {[](Circuit& control) -> awaitable<void> {
         co_await say_room(control, 3);
         wire::Room less;
         less.set_compared(2);
         co_await send_message(control, op::room, less);
       },
       "2 entries of 3 are compared, and 3 were before"},
      {[](Circuit& control) -> awaitable<void> {
         Fragment unknown(op::listing);
         co_await control.send(std::move(unknown));
       },
       "a Taker does not say 2"},
      {[](Circuit& control) -> awaitable<void> {
         wire::Failed failed;
         failed.set_text("no\nway\x1b[2J");
         co_await send_message(control, op::failed, failed);
       },
       "no\\nway\\x1b[2J (says the far side)"},
  };

  for (const Row& row : rows) {
    const test::Scratch scratch;
    scratch.write("d/file", "content");
    Scene scene(row.script);
    scene.real_takes = false;

    const Ended outcome = play(scene, scratch.path());

    CHECK_MESSAGE(contains(outcome.failure, row.words), outcome.failure, " instead of ", row.words);
  }
}

TEST_CASE("hostile asker: syncs beyond answered_max are refused in words, and one that ends makes room") {
  const test::Scratch scratch;
  scratch.write("file", "content");

  test::run_coroutine(ask_too_often(scratch.path()));
}

TEST_CASE("hostile asker: what several syncs list is charged to one budget, and given back when they end") {
  const test::Scratch scratch;
  for (int i = 0; i < 100; ++i) scratch.write(std::string(100, 'n') + std::to_string(i), "");

  test::run_coroutine(ask_for_listings(scratch.path()));
}

TEST_CASE("hostile asker: one that does not listen to what is done has to wait with its listing, however it is cut") {
  const test::Scratch scratch;

  test::run_coroutine(push_and_not_listen(scratch.path()));
}

TEST_CASE("hostile asker: a sync whose patterns leave everything out does not hold up another one") {
  const test::Scratch scratch;
  for (int i = 0; i < 5000; ++i) scratch.write("much/" + std::to_string(i) + ".o", "");
  scratch.write("little/file", "");

  std::vector<std::string> order;
  test::run_coroutine(ask_for_much_and_little(scratch.path(), &order));

  CHECK(order == std::vector<std::string>{"little listed", "much listed"});
}

TEST_CASE("hostile asker: one remote gets no more than its share of the syncs that are answered") {
  const test::Scratch scratch;
  scratch.write("file", "content");

  test::run_coroutine(ask_as_two_remotes(scratch.path()));
}

TEST_CASE("hostile asker: a sync of which the far side says nothing more is given up, with or without a request") {
  const test::Scratch scratch;
  scratch.write("file", "content");

  test::run_coroutine(ask_and_say_nothing(scratch.path()));
}

TEST_CASE("hostile asker: what it says at the end stays one line of the log, without codes") {
  const test::Scratch scratch;
  scratch.write("file", "content");

  std::vector<std::string> log;
  test::run_coroutine(end_in_words_of_its_own(scratch.path(), &log));

  REQUIRE(log.size() == 1);
  CHECK_MESSAGE(contains(log[0], "pulls \"\": failed: x\\n2026-01-01 node://good"), log[0]);
  CHECK_MESSAGE(contains(log[0], "\\x1b[2J"), log[0]);
  for (const char letter : log[0]) CHECK(static_cast<unsigned char>(letter) >= 0x20);
  CHECK_FALSE(contains(log[0], "trunkline:"));
}

TEST_CASE("hostile asker: notes beyond notes_max are counted and not heard") {
  const test::Scratch scratch;

  std::vector<Note> heard;
  test::run_coroutine(say_many_notes(scratch.path(), &heard));

  REQUIRE(heard.size() == 44);
  CHECK(contains(heard[20].text, "more than 10 errors of one sync"));
  CHECK(contains(heard[21].text, "more than 10 notes of one sync"));
}

TEST_CASE("hostile giver: a delta that does not fit ends the sync, and the old version stays") {
  struct Row {
    InboxScript script;
    const char* words;
  };
  const Row rows[] = {
      {[](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
         co_await say_changed(control, circuits);
         Circuit circuit = open_delta(control, 1, 50'000);
         co_await say_copy(circuit, 0, old_bytes - 100, 1000);
         circuit.finish();
       },
       "of a basis of 99840"},
      {[](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
         co_await say_changed(control, circuits);
         Circuit circuit = open_delta(control, 1, 50'000);
         co_await say_copy(circuit, 0, ~std::uint64_t{0} - 10, 100);
         circuit.finish();
       },
       "of a basis of 99840"},
      {[](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
         co_await say_changed(control, circuits);
         Circuit circuit = open_delta(control, 1, 50'000);
         co_await say_copy(circuit, 0, 0, 50'001);
         circuit.finish();
       },
       "gets 50001 bytes at 0"},
      {[](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
         co_await say_changed(control, circuits);
         Circuit circuit = open_delta(control, 1, 50'000);
         co_await say_copy(circuit, 100, 0, 512);
         circuit.finish();
       },
       "has a gap in front of 100"},
      {[](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
         co_await say_changed(control, circuits);
         Circuit circuit = open_file(control, 1, 50'000);
         co_await say_copy(circuit, 0, 0, 512);
         circuit.finish();
       },
       "of a basis of 0"},
      {[](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
         co_await say_changed(control, circuits);
         Circuit circuit = open_delta(control, 2, 50'000);
         circuit.finish();
       },
       "a basis that nobody has named"},
      {[](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
         co_await say_changed(control, circuits);
         Circuit circuit = open_delta(control, 1, 50'000);
         co_await say_digest(circuit, "short");
         circuit.finish();
       },
       "a digest of 5 bytes"},
      {[](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
         co_await say_changed(control, circuits);
         Circuit circuit = open_delta(control, 1, 50'000);
         co_await say_digest(circuit, std::string(16, 'x'));
         co_await say_data(circuit, 0, "more");
         circuit.finish();
       },
       "goes on behind its digest"},
      {[](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
         co_await say_changed(control, circuits);
         Circuit circuit = open_delta(control, 1, 50'000);
         co_await say_copy(circuit, 0, 0, 512);
         circuit.finish();
       },
       "ends before it is whole"},
      {[](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
         co_await say_changed(control, circuits);
         Circuit circuit = open_file(control, 1, 50'000);
         Fragment packed(op::packed_data, Payload("nothing that zstd has made"));
         co_await circuit.send(std::move(packed));
         circuit.finish();
       },
       "cannot be unpacked"},
  };

  for (const Row& row : rows) {
    const test::Scratch scratch;
    const std::string old(old_bytes, 'o');
    scratch.write("a", old);

    const Ended outcome = play(Scene(row.script), scratch.path());

    CHECK_MESSAGE(contains(outcome.failure, row.words), outcome.failure, " instead of ", row.words);
    CHECK(scratch.read("a") == old);
    CHECK(scratch.picture().size() == 1);
  }
}

TEST_CASE("hostile giver: a digest that is wrong brings the whole file, and only once") {
  const test::Scratch scratch;
  scratch.write("a", std::string(old_bytes, 'o'));

  const Ended outcome = play(Scene([](Circuit& control, CircuitInbox& circuits) -> awaitable<void> {
                               co_await say_listing(control, entries(directory(""), file("a", 50'000)));
                               co_await hear_basis(circuits);
                               Circuit circuit = open_delta(control, 1, 50'000);
                               co_await say_copy(circuit, 0, 0, 50'000);
                               co_await say_digest(circuit, std::string(16, 'x'));
                               circuit.finish();
                               co_await wait_for_want(control);
                               co_await say_file(control, 1, std::string(50'000, 'n'));
                             }),
                             scratch.path());

  CHECK(outcome.failure == "");
  CHECK(scratch.read("a") == std::string(50'000, 'n'));
  CHECK(outcome.report.bytes_matched == 0);
}

TEST_CASE("hostile taker: a basis that cannot be one ends the sync") {
  struct Row {
    Script script;
    const char* words;
  };
  const Row rows[] = {
      {[](Circuit& control) -> awaitable<void> {
         co_await hear_listing_end(control);
         co_await say_basis(control, 7, 1024, std::string(24, 's'));
       },
       "is no file that is listed"},
      {[](Circuit& control) -> awaitable<void> {
         co_await hear_listing_end(control);
         co_await say_basis(control, 0, 1024, std::string(24, 's'));
       },
       "is no file that is listed"},
      {[](Circuit& control) -> awaitable<void> {
         co_await hear_listing_end(control);
         co_await say_basis(control, 1, 1000, std::string(24, 's'));
       },
       "a basis in blocks of 1000 bytes"},
      {[](Circuit& control) -> awaitable<void> {
         co_await hear_listing_end(control);
         co_await say_basis(control, 1, 1024, std::string(20, 's'), 1);
       },
       "a basis in blocks of 1024 bytes with sums of 1"},
      {[](Circuit& control) -> awaitable<void> {
         co_await hear_listing_end(control);
         co_await say_basis(control, 1, 1024, std::string(26, 's'), 9);
       },
       "a basis in blocks of 1024 bytes with sums of 9"},
      {[](Circuit& control) -> awaitable<void> {
         co_await hear_listing_end(control);
         co_await say_basis(control, 1, 1024, std::string(25, 's'));
       },
       "sums of a basis in 25 bytes"},
      {[](Circuit& control) -> awaitable<void> {
         co_await hear_listing_end(control);
         co_await say_basis(control, 1, 1024, std::string(24, 's'));
         co_await say_basis(control, 1, 1024, std::string(24, 's'));
       },
       "is wanted twice"},
      {[](Circuit& control) -> awaitable<void> {
         co_await hear_listing_end(control);
         wire::Want want;
         want.add_files()->set_index(1);
         want.mutable_files(0)->set_again(true);
         co_await send_message(control, op::want, want);
       },
       "is wanted again"},
  };

  for (const Row& row : rows) {
    const test::Scratch scratch;
    scratch.write("a", std::string(100'000, 'a'));
    Scene scene(row.script);
    scene.real_takes = false;

    const Ended outcome = play(scene, scratch.path());

    CHECK_MESSAGE(contains(outcome.failure, row.words), outcome.failure, " instead of ", row.words);
  }
}
