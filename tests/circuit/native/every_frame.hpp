// One long thing to say to a machine, for tests that cut it, damage it, or run out of memory in the middle of it.
#pragma once

#include <string>

#include "tests/circuit/native/wire_writer.hpp"

namespace trunkline::test {

/// A dialogue with every kind of frame in it, as one far side could say it.
inline std::string every_frame() {
  say::Said rich;
  rich.op = -5;
  rich.part = 1'000'000'000'000;
  rich.subject = "subject";
  rich.args = {{"key", "value"}, {"#system", ""}};
  say::Said failed;
  failed.err = "it failed";
  say::Open named;
  named.name = "a name";
  named.user_string = "a string";
  named.wants_answer = true;
  std::string bytes = say::introduction() + say::open(1) + say::data(1, "first") + say::open(3, named) +
                      say::data(3, "", rich) + say::data(1, "", failed) + say::credit(0, 5000) + say::credit(1, 70) +
                      say::ping(77) + say::frame(0x99, "skip me") +
                      say::peer_metadata("peer-of-far-side", {{"region", "north"}, {"role", ""}});
  for (const say::Bytes& frame : say::fragment(1, std::string(150, 'x'), rich, 40)) bytes += frame;
  bytes += say::open(5) + say::first_of_more(5, 100, "cut short") + say::reset(5, 9, "gave up") + say::finish(1);
  bytes += say::open(7) + say::data(7, "last") + say::close(7, 8, "too slow") + say::open(9) + say::finish(9);
  bytes += say::data(5, "late") + say::peer_ended("peer-of-far-side", 4, "it returned") + say::drain() + say::finish(3);
  return bytes;
}

} // namespace trunkline::test
