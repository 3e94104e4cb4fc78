// Patterns 2 to 4 of docs/hazards/gcc12-coroutines.md: -DPATTERN=2, 3 or 4. Exit code 0: this compiler is sound.

#include <coroutine>
#include <cstdio>
#include <cstdlib>

namespace {

int constructed_minus_destroyed = 0;

struct Counted {
  Counted() { ++constructed_minus_destroyed; }
  Counted(const Counted&) { ++constructed_minus_destroyed; }
  ~Counted() { --constructed_minus_destroyed; }
};

struct Coroutine {
  struct promise_type {
    Coroutine get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::abort(); }
  };
};

#if PATTERN == 2

struct Aggregate {
  int id;
  Counted counted;
};
std::suspend_never send(Aggregate) { return {}; }

Coroutine run() {
  Counted counted;
  co_await send(Aggregate{7, counted}); // lint-allow: this is the bug to be shown
}

#elif PATTERN == 4

std::suspend_never send(Counted) { return {}; }

Coroutine run() {
  Counted counted;
  const Counted* const known = &counted;
  co_await send(known ? *known : Counted()); // lint-allow: this is the bug to be shown
}

#else

template <class Function> std::suspend_never call(Function function) {
  function();
  return {};
}

Coroutine run() {
  Counted counted;
  co_await call([counted] { (void)counted; }); // lint-allow: this is the bug to be shown
}

#endif

} // namespace

int main() {
  run();
  bool sound = constructed_minus_destroyed == 0;
  std::puts(sound ? "sound" : "miscompiled: an object was destroyed twice");
  return sound ? 0 : 1;
}
