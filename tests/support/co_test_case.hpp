// A test case whose body is a coroutine, with the body under its sentence.
//
//   CO_TEST_CASE("peer: a circuit carries its first fragment first", both_ways, NodePair& pair) {
//     Circuit circuit = pair.here.new_peer("me")->new_circuit(pair.there_url, Fragment(0, "first"));
//     ...
//   }
//
// The second argument is the function that runs the body, called with it; what follows are the body's parameters. A
// case that gives the runner further arguments declares its body, is a plain TEST_CASE, and has the body right below.
#pragma once

#include <doctest/doctest.h>

#define TRUNKLINE_CO_TEST_CASE(body, sentence, runner, ...) \
  static awaitable<void> body(__VA_ARGS__);                 \
  TEST_CASE(sentence) { runner(body); }                     \
  static awaitable<void> body(__VA_ARGS__)

#define CO_TEST_CASE(sentence, runner, ...) \
  TRUNKLINE_CO_TEST_CASE(DOCTEST_ANONYMOUS(co_test_case_), sentence, runner, __VA_ARGS__)
