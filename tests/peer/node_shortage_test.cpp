// A listener that has no descriptors for connections, as its node sees it: a medium of the test says so.
#include "tests/peer/node_pair.hpp"

#include <boost/system/error_code.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

using namespace trunkline;
using namespace trunkline::test;

namespace {

/// Accepts nothing, and lets the test say what it lacks.
class Lacking final : public Medium {
 public:
  std::string_view scheme() const noexcept override { return "lack"; }
  std::string_view form() const noexcept override { return "lack://name"; }
  bool has_hosts() const noexcept override { return false; }
  bool has_ports() const noexcept override { return false; }
  bool is_local() const noexcept override { return true; }
  awaitable<std::unique_ptr<Transport>> dial(std::string) override { co_return nullptr; }
  std::unique_ptr<Listener> listen(const Executor&, std::string_view address) override {
    return std::make_unique<Hearing>(*this, std::string(address));
  }
  void say(const Shortage& shortage) const { heard_(shortage); }

 private:
  class Hearing final : public Listener {
   public:
    Hearing(Lacking& medium, std::string address) : medium_(medium), address_(std::move(address)) {}
    awaitable<std::unique_ptr<Transport>> accept() override {
      while (!closed_) co_await changed_.wait();
      throw boost::system::system_error(asio::error::operation_aborted);
    }
    void on_shortage(std::function<void(const Shortage&)> callback) override { medium_.heard_ = std::move(callback); }
    void close() noexcept override {
      closed_ = true;
      changed_.notify_all();
    }
    std::string address() const override { return address_; }

   private:
    Lacking& medium_;
    std::string address_;
    bool closed_ = false;
    Signal changed_;
  };

  std::function<void(const Shortage&)> heard_;
};

Shortage shortage(bool began, std::uint64_t turned_away) {
  Shortage now;
  now.reason = make_error_code(boost::system::errc::too_many_files_open);
  now.began = began;
  now.turned_one_away = true;
  now.turned_away = turned_away;
  return now;
}

} // namespace

TEST_CASE("node: running out of descriptors is logged once, counted, and logged when it is over") {
  asio::io_context io(1);
  LogLines log;
  const auto medium = std::make_shared<Lacking>();
  NodeOptions options;
  options.media["lack"] = medium;
  options.log = log.sink();
  Node node(io.get_executor(), std::move(options));
  node.listen("lack://here");
  for (std::uint64_t i = 1; i <= 1000; ++i) medium->say(shortage(i == 1, i));
  CHECK(log.count("no descriptor") == 1);
  CHECK(log.has_line("for connections to lack://here: Too many open files"));
  CHECK(node.counters().connections_turned_away == 1000);

  Shortage over;
  over.turned_away = 1000;
  medium->say(over);
  CHECK(log.has_line("connections to lack://here are accepted again; 1000 were closed meanwhile"));
  CHECK(node.counters().connections_turned_away == 1000);
  run_coroutine(io, node.close());
}
