// Pattern 1 of docs/hazards/gcc12-coroutines.md in one file. Exit code 0: this compiler is sound.

#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace {

// A coroutine that can be awaited and ends with a bool.
class Step {
 public:
  struct promise_type {
    std::coroutine_handle<> awaiting = std::noop_coroutine();
    bool value = false;

    Step get_return_object() { return Step(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      struct Resume {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept {
          return self.promise().awaiting;
        }
        void await_resume() noexcept {}
      };
      return Resume();
    }
    void return_value(bool with) { value = with; }
    void unhandled_exception() { std::abort(); }
  };

  explicit Step(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
  Step(Step&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  ~Step() {
    if (frame_) frame_.destroy();
  }

  void start() { frame_.resume(); }
  bool ended_with_true() const { return frame_.done() && frame_.promise().value; }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) {
    frame_.promise().awaiting = awaiting;
    return frame_;
  }
  bool await_resume() const { return frame_.promise().value; }

 private:
  std::coroutine_handle<promise_type> frame_;
};

int left = 3;
Step take() { co_return left-- > 0; }

Step take_all() {
  while (co_await take()) {} // lint-allow: this is the bug to be shown
  co_return true;
}

} // namespace

int main() {
  Step all = take_all();
  all.start();
  bool sound = all.ended_with_true() && left == -1;
  std::puts(sound ? "sound" : "miscompiled: the loop did not run");
  return sound ? 0 : 1;
}
