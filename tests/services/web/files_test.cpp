// The service "files", asked by a node that stands for a page: `here` asks, `there` serves a directory.
#include "services/web/files.hpp"

#include "async/tasks.hpp"
#include "tests/peer/node_pair.hpp"
#include "tests/services/sync/scratch.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::test {
namespace {

enum Op : std::int32_t { list = 1, get, put, entry = 16, listed, gone, header, data, stored };

/// A directory that one of two nodes serves, and a peer of the other one that asks.
class Page {
 public:
  explicit Page(web::FilesOptions options = web::FilesOptions(), std::string service = "asker")
      : pair(NodePair::Dialler::here) {
    options.root = sync::Root::open(scratch.path());
    options.random = seeded_random();
    options.watch_interval = std::chrono::milliseconds(1);
    web::serve_files(pair.there, std::move(options));
    if (service == "page") pair.here.register_service("page", pages.service());
    peer = service == "page" ? pair.here.start_local_peer("page") : pair.here.new_peer(std::move(service));
  }

  Circuit ask(Fragment request) const {
    return peer->new_circuit(PeerUrl::parse(pair.there_address + "/files"), std::move(request));
  }

  Scratch scratch;
  NodePair pair;
  Keeper pages;
  std::shared_ptr<LocalPeer> peer;
};

Fragment request(Op op, std::string path, std::int64_t part = 0) {
  Fragment fragment(op);
  fragment.subject = std::move(path);
  fragment.part = part;
  return fragment;
}

struct Answer {
  std::vector<Fragment> fragments;
  std::string content; // of all data, in order
  std::string failure; // "kind: words"
};

/// Everything that an asked circuit gives.
awaitable<Answer> answer(Circuit circuit) {
  Answer all;
  for (;;) {
    std::optional<Fragment> fragment = co_await circuit.receive_any();
    if (!fragment) break;
    if (!fragment->err.empty()) all.failure = std::string(fragment->args.find("kind").value_or("?")) + ": " + fragment->err;
    if (fragment->op == data) {
      CHECK(fragment->part == static_cast<std::int64_t>(all.content.size()));
      all.content += fragment->payload.text();
    }
    all.fragments.push_back(std::move(*fragment));
  }
  co_return all;
}

awaitable<Answer> ask_all(const Page& page, Fragment what) {
  Circuit circuit = page.ask(std::move(what));
  circuit.finish();
  Answer all = co_await answer(std::move(circuit));
  co_return all;
}

awaitable<Answer> send_file(const Page& page, Fragment what, std::string content) {
  Circuit circuit = page.ask(std::move(what));
  std::int64_t at = 0;
  while (at < static_cast<std::int64_t>(content.size())) {
    Fragment piece(data, std::string_view(content).substr(static_cast<std::size_t>(at), 100'000));
    piece.part = at;
    at += static_cast<std::int64_t>(piece.payload.size());
    const auto failure = co_await failure_of(circuit.send(std::move(piece)));
    if (failure) break; // it is refused; the answer says why
  }
  circuit.finish();
  Answer all = co_await answer(std::move(circuit));
  co_return all;
}

void run(Page& page, awaitable<void> (*scenario)(Page&)) {
  auto all = [](Page& of, awaitable<void> (*what)(Page&)) -> awaitable<void> {
    co_await of.pair.meet();
    co_await what(of);
    of.peer.reset();
    co_await of.pair.here.close();
    co_await of.pair.there.close();
  };
  run_coroutine(page.pair.io, all(page, scenario));
}

std::string text(std::size_t size) {
  std::string all(size, ' ');
  for (std::size_t i = 0; i < size; ++i) all[i] = static_cast<char>((i * 2654435761u) >> 13);
  return all;
}

} // namespace

static awaitable<void> list_once(Page& page);
TEST_CASE("files: a list that is finished gives every name once, with its kind, and ends") {
  Page page;
  page.scratch.write("a file", "12345");
  page.scratch.write("sub/x", "");
  page.scratch.make_symlink("link", "/etc/passwd");
  page.scratch.write(".a.trunkline-aaaaaaaa", "a temporary file of a sync");
  run(page, list_once);
}
static awaitable<void> list_once(Page& page) {
  const Answer all = co_await ask_all(page, request(list, ""));
  std::map<std::string, std::string> seen;
  for (const Fragment& fragment : all.fragments)
    if (fragment.op == entry) seen[fragment.subject] = std::string(fragment.args.find("type").value_or(""));
  CHECK(seen == std::map<std::string, std::string>{{"a file", "file"}, {"sub", "directory"}, {"link", "symlink"}});
  CHECK(all.fragments.back().op == listed);
  CHECK(all.fragments.front().part == 5);
  CHECK(all.failure.empty());
}

static awaitable<void> list_live(Page& page);
TEST_CASE("files: a list that stays open tells what comes, changes and goes, and ends with its directory") {
  Page page;
  page.scratch.write("sub/old", "1");
  run(page, list_live);
}
static awaitable<void> list_live(Page& page) {
  Circuit circuit = page.ask(request(list, "sub"));
  const auto next = [](Circuit& of) -> awaitable<std::string> {
    const std::optional<Fragment> word = co_await of.receive_any();
    if (!word) co_return "end";
    if (!word->err.empty()) co_return std::string(word->args.find("kind").value_or("?"));
    co_return std::to_string(word->op) + " " + word->subject + " " + std::to_string(word->part);
  };
  CHECK(co_await next(circuit) == "16 old 1");
  CHECK(co_await next(circuit) == "17  0");
  page.scratch.write("sub/new", "12");
  CHECK(co_await next(circuit) == "16 new 2");
  page.scratch.write("sub/old", "123");
  CHECK(co_await next(circuit) == "16 old 3");
  page.scratch.remove("sub/new");
  CHECK(co_await next(circuit) == "18 new 0");
  std::filesystem::remove_all(page.scratch.path("sub"));
  std::string last;
  for (int i = 0; i < 3 && last != "missing"; ++i) last = co_await next(circuit); // "old" may be seen to go first
  CHECK(last == "missing");
}

static awaitable<void> get_whole_and_rest(Page& page);
TEST_CASE("files: a file is got whole, from an offset, and with nothing left of it") {
  Page page;
  page.scratch.write("sub/large", text(1'000'000));
  page.scratch.write("empty", "");
  run(page, get_whole_and_rest);
}
static awaitable<void> get_whole_and_rest(Page& page) {
  const Answer whole = co_await ask_all(page, request(get, "sub/large"));
  CHECK(whole.fragments.front().op == header);
  CHECK(whole.fragments.front().part == 1'000'000);
  CHECK(whole.content == text(1'000'000));
  const Answer empty = co_await ask_all(page, request(get, "empty"));
  CHECK(empty.fragments.size() == 1);
  Circuit rest = page.ask(request(get, "sub/large", 999'990));
  const std::optional<Fragment> first = co_await rest.receive();
  const std::optional<Fragment> second = co_await rest.receive();
  const std::optional<Fragment> end = co_await rest.receive();
  CHECK(first->op == header);
  CHECK(second->part == 999'990);
  CHECK(second->payload.text() == std::string_view(text(1'000'000)).substr(999'990));
  CHECK_FALSE(end);
}

static awaitable<void> refusals(Page& page);
TEST_CASE("files: nothing outside of the directory, and nothing that is no file, is got, put or listed") {
  Page page;
  page.scratch.write("file", "1");
  page.scratch.make_directory("sub");
  page.scratch.make_symlink("out", "/etc");
  page.scratch.make_symlink("passwd", "/etc/passwd");
  run(page, refusals);
}
static awaitable<void> refusals(Page& page) {
  struct Row {
    Op op;
    const char* path;
    std::string_view kind;
  };
  const Row rows[] = {
      {get, "../x", "invalid"}, {get, "/etc/passwd", "invalid"}, {get, "", "invalid"},     {get, "a//b", "invalid"},
      {get, "none", "missing"}, {get, "none/x", "missing"},      {get, "sub", "type"},     {list, "file", "missing"},
      {get, "file/x", "missing"}, {put, "none/x", "missing"},    {put, "sub", "type"},     {put, "../x", "invalid"},
      {put, ".x.trunkline-aaaaaaaa", "denied"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.path);
    const Answer all = co_await ask_all(page, request(row.op, row.path));
    CHECK(all.failure.substr(0, all.failure.find(':')) == row.kind);
  }
  for (const Row& row : {Row{get, "out/passwd", ""}, Row{get, "passwd", ""}, Row{list, "out", ""}, Row{put, "out/x", ""}}) {
    CAPTURE(row.path);
    const Answer all = co_await ask_all(page, request(row.op, row.path));
    CHECK_FALSE(all.failure.empty());
    CHECK(all.content.empty());
  }
  const Answer unknown = co_await ask_all(page, request(static_cast<Op>(99), "file"));
  CHECK(unknown.failure == "invalid: op 99 is no request");
  const Answer beyond = co_await ask_all(page, request(get, "file", 2));
  CHECK(beyond.failure == "invalid: the offset 2 is not within the 1 bytes of the file");
}

static awaitable<void> put_new(Page& page);
TEST_CASE("files: a file is put whole, with its time, or not at all") {
  Page page;
  page.scratch.make_directory("sub");
  run(page, put_new);
}
static awaitable<void> put_new(Page& page) {
  Fragment what = request(put, "sub/new", 700'000);
  what.args.set("modified", "1600000000123");
  const Answer all = co_await send_file(page, std::move(what), text(700'000));
  CHECK(all.failure.empty());
  CHECK(all.fragments.size() == 1);
  CHECK(all.fragments.front().op == stored);
  CHECK(page.scratch.read("sub/new") == text(700'000));
  CHECK(page.scratch.status("sub/new").st_mtime == 1'600'000'000);

  const Answer less = co_await send_file(page, request(put, "less", 10), "123");
  CHECK(less.failure == "invalid: 3 bytes, expected 10");
  const Answer more = co_await send_file(page, request(put, "more", 2), "123");
  CHECK(more.failure == "invalid: 3 bytes at 0, expected 2 more at 0");
  const Answer negative = co_await send_file(page, request(put, "less", -1), "");
  CHECK(negative.failure == "invalid: a file of -1 bytes");
  {
    Circuit left = page.ask(request(put, "left", 1000));
    Fragment piece(data, "12345");
    co_await left.send(std::move(piece));
    left.reset();
  }
  co_await settle();
  CHECK(page.scratch.picture("", false).size() == 2); // sub and sub/new: no temporary file either
}

namespace {

/// A disk that says what it was told to keep.
struct Disk {
  struct Kept {
    bool is_directory = false;
    bool has_name = false; // the file "new" is there

    friend bool operator==(const Kept&, const Kept&) = default;
  };
  int keep(int descriptor) {
    struct stat what{};
    CHECK(::fstat(descriptor, &what) == 0);
    kept.push_back({S_ISDIR(what.st_mode), std::filesystem::exists(root + "/new")});
    return answer;
  }

  std::string root;
  std::vector<Kept> kept;
  int answer = 0;
};

awaitable<void> put_one(Page& page) {
  const Answer all = co_await send_file(page, request(put, "new", 5), "12345");
  const bool is_stored = all.failure.empty() && all.fragments.back().op == stored;
  CHECK((is_stored || all.failure == "failed: cannot write \"new\": Input/output error"));
  CHECK(page.scratch.picture("", false).size() == (is_stored ? 1 : 0));
}

} // namespace

TEST_CASE("files: the disk keeps a file before it has its name, and one that it cannot keep gets none") {
  for (const int answer : {0, -EIO}) {
    const auto disk = std::make_shared<Disk>();
    disk->answer = answer;
    web::FilesOptions options;
    options.keep = [disk](int descriptor) { return disk->keep(descriptor); };
    Page page(std::move(options));
    disk->root = page.scratch.path();
    run(page, put_one);
    REQUIRE_FALSE(disk->kept.empty());
    CHECK(disk->kept.front() == Disk::Kept{false, false});
    CHECK(disk->kept.size() == (answer == 0 ? 2 : 1));
    CHECK(disk->kept.back() == (answer == 0 ? Disk::Kept{true, true} : Disk::Kept{false, false}));
  }
}

static awaitable<void> put_again(Page& page);
TEST_CASE("files: what exists is replaced when the request says so, or the page does when it is asked") {
  web::FilesOptions options;
  Page page(std::move(options), "page");
  page.scratch.write("file", "old", 0600);
  run(page, put_again);
}
static awaitable<void> put_again(Page& page) {
  Fragment sure = request(put, "file", 3);
  sure.args.set("replace", "1");
  const Answer replaced = co_await send_file(page, std::move(sure), "new");
  CHECK(replaced.failure.empty());
  CHECK(page.scratch.read("file") == "new");
  CHECK((page.scratch.status("file").st_mode & 0777) == 0600);

  for (const std::int64_t says : {0, 1}) {
    auto reply = [](Keeper& pages, std::int64_t part) -> awaitable<void> {
      Circuit question = co_await pages.next();
      const std::optional<Fragment> asked = co_await question.receive();
      CHECK(asked->op == 1);
      CHECK(asked->subject == "Replace file?");
      CHECK(question.deadline());
      Fragment word(2);
      word.part = part;
      co_await question.send(std::move(word));
      question.finish();
    };
    Tasks tasks(page.pair.io.get_executor());
    tasks.spawn(reply(page.pages, says));
    const Answer all = co_await send_file(page, request(put, "file", 5), "asked");
    co_await tasks.join();
    CHECK(all.failure == (says ? "" : "exists: there is a file of this name"));
    CHECK(page.scratch.read("file") == (says ? "asked" : "new"));
  }
}

static awaitable<void> put_unasked(Page& page);
TEST_CASE("files: one that is no page is not asked whether a file may be replaced") {
  Page page;
  page.scratch.write("file", "old");
  run(page, put_unasked);
}
static awaitable<void> put_unasked(Page& page) {
  const Answer all = co_await send_file(page, request(put, "file", 3), "new");
  CHECK(all.failure == "exists: there is a file of this name");
  CHECK(page.scratch.read("file") == "old");
}

static awaitable<void> read_only_and_busy(Page& page);
TEST_CASE("files: a directory that is read-only takes nothing, and requests beyond requests_max are refused") {
  web::FilesOptions options;
  options.read_only = true;
  options.requests_max = 2;
  Page page(std::move(options));
  run(page, read_only_and_busy);
}
static awaitable<void> read_only_and_busy(Page& page) {
  const Answer denied = co_await send_file(page, request(put, "new", 1), "1");
  CHECK(denied.failure == "denied: nothing may be written here");
  Circuit one = page.ask(request(list, ""));
  Circuit two = page.ask(request(list, ""));
  co_await one.receive();
  co_await two.receive();
  const Answer third = co_await ask_all(page, request(list, ""));
  CHECK(third.failure == "busy: 2 requests are answered now, no more than requests_max");
  one.close();
  two.close();
}

} // namespace trunkline::test
