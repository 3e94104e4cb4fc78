// One thread for the nodes, any others for the program: they put questions into a mailbox, from which a task on the
// nodes' thread takes them, and wait for the answers.
#include "async/signal.hpp"
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <deque>
#include <future>
#include <iostream>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace trunkline;

namespace {

struct Question {
  std::string text;
  std::promise<std::string> answer;
};

// Bounded, because the threads that ask may be faster than the network.
class Mailbox : public std::enable_shared_from_this<Mailbox> {
 public:
  Mailbox(Executor executor, std::size_t questions_max)
      : executor_(std::move(executor)), questions_max_(questions_max) {}

  // From any thread.
  std::future<std::string> ask(std::string text) {
    Question question{std::move(text), {}};
    std::future<std::string> answer = question.answer.get_future();
    {
      const std::lock_guard lock(mutex_);
      if (is_closed_) throw std::runtime_error("the mailbox is closed");
      if (questions_.size() >= questions_max_) throw std::runtime_error("the mailbox is full");
      questions_.push_back(std::move(question));
    }
    wake();
    return answer;
  }

  // From any thread. What is in it is still answered.
  void close() {
    {
      const std::lock_guard lock(mutex_);
      is_closed_ = true;
    }
    wake();
  }

  // On the executor's thread: the next question, or nullopt when there is none any more.
  awaitable<std::optional<Question>> next() {
    std::optional<Question> question;
    while (!take(question)) co_await arrived_.wait();
    co_return question;
  }

 private:
  // A post is what crosses threads. A Signal is for coroutines of one executor.
  void wake() {
    asio::post(executor_, [self = shared_from_this()] { self->arrived_.notify_all(); });
  }
  bool take(std::optional<Question>& into) {
    const std::lock_guard lock(mutex_); // never held across a co_await
    if (questions_.empty()) return is_closed_;
    into = std::move(questions_.front());
    questions_.pop_front();
    return true;
  }

  Executor executor_;
  std::size_t questions_max_;
  std::mutex mutex_;
  std::deque<Question> questions_;
  bool is_closed_ = false;
  Signal arrived_;
};

awaitable<void> shout(Circuit circuit) {
  while (auto fragment = co_await circuit.receive()) {
    std::string text(fragment->payload.text());
    std::ranges::transform(text, text.begin(), [](unsigned char letter) { return std::toupper(letter); });
    co_await circuit.send(Fragment(0, text));
  }
}

awaitable<void> answer_all(std::shared_ptr<Mailbox> mailbox, Node& here, Node& there, std::string address) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("asker");
  while (auto question = co_await mailbox->next()) {
    try {
      const Fragment reply =
          co_await me->request(address, "shout", Fragment(0, question->text), std::chrono::seconds(5));
      question->answer.set_value(std::string(reply.payload.text()));
    } catch (...) {
      question->answer.set_exception(std::current_exception());
    }
  }
  co_await here.close();
  co_await there.close();
}

} // namespace

int main() {
  asio::io_context io(1);
  Node here(io.get_executor());
  Node there(io.get_executor());
  there.serve("shout", shout);
  const std::string address = there.listen("tcp://127.0.0.1:0"); // nothing runs yet: this thread may set things up
  const auto mailbox = std::make_shared<Mailbox>(io.get_executor(), 100);

  int code = 0;
  std::thread node_thread([&] { code = run(io, answer_all(mailbox, here, there, address)); });
  // From here until the join the nodes belong to that thread. The others have the mailbox.
  std::vector<std::string> heard(3);
  std::vector<std::thread> workers;
  const std::vector<std::string> texts{"one", "two", "three"};
  for (std::size_t i = 0; i < texts.size(); ++i)
    workers.emplace_back([&, i] { heard[i] = mailbox->ask(texts[i]).get(); });
  for (std::thread& worker : workers) worker.join();
  mailbox->close();
  node_thread.join();

  for (std::size_t i = 0; i < heard.size(); ++i) std::cout << "worker " << i << " heard " << heard[i] << "\n";
  try {
    mailbox->ask("four");
  } catch (const std::exception& refusal) {
    std::cout << "after the end: " << refusal.what() << "\n";
  }
  return code;
}
