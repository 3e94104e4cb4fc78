// What every transport must do, stated once and run against each of them.
//
// A MediumUnderTest is one transport under test: a context to run on, a medium for either side, addresses, and a way to
// run until nothing is left to do. Each check opens its own connections, ends with everything closed, and is over only
// when the context has run out of work by itself. No check sleeps: a "turn" lets everything that is ready run up to
// where it waits.
//
//   TRUNKLINE_TRANSPORT_CONFORMS("tcp", TcpUnderTest)     in the test file of a transport makes one test case of each
#pragma once

#include "transport/medium.hpp"

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <string>

namespace trunkline::test {

class MediumUnderTest {
 public:
  virtual ~MediumUnderTest() = default;
  virtual asio::io_context& io() = 0;
  virtual Medium& dialling() = 0;
  virtual Medium& listening() = 0;
  /// An address that can be listened on, also "tcp://127.0.0.1:0".
  virtual std::string address() = 0;
  /// An address of the right form where nobody listens.
  virtual std::string address_of_nobody() = 0;
  /// Whether an end without a word for it is told from one with it.
  virtual bool tells_a_cut() const { return false; }
  /// Whether both ends know each other then.
  virtual bool proves_identity() { return listening().proves_identity(); }
  /// Runs until nothing is left to do; returning is a part of every check.
  virtual void run() { io().run(); }
  /// Runs something of what is left to do.
  virtual void run_some() { io().run_one(); }
};

// Bytes.
void check_order(MediumUnderTest& kit);
void check_reads_of_one_byte(MediumUnderTest& kit);
void check_scattered_reads(MediumUnderTest& kit);
void check_cancelled_scattered_read(MediumUnderTest& kit);
void check_many_pieces(MediumUnderTest& kit);
void check_empty_pieces(MediumUnderTest& kit);
void check_both_directions(MediumUnderTest& kit);
void check_backpressure(MediumUnderTest& kit);

// Ends.
void check_end_is_seen_after_the_bytes(MediumUnderTest& kit);
void check_write_to_closed_fails(MediumUnderTest& kit);
void check_finish_ends_one_direction(MediumUnderTest& kit);
void check_close_wakes_read(MediumUnderTest& kit);
void check_close_wakes_write(MediumUnderTest& kit);
void check_use_after_close(MediumUnderTest& kit);
void check_destroyed_while_waiting(MediumUnderTest& kit);
void check_cancelled_read(MediumUnderTest& kit);
void check_cancelled_reads_lose_nothing(MediumUnderTest& kit);
void check_cancelled_write(MediumUnderTest& kit);

// Connections.
void check_what_it_says_of_itself(MediumUnderTest& kit);
void check_names(MediumUnderTest& kit);
void check_dial_nobody(MediumUnderTest& kit);
void check_bad_address(MediumUnderTest& kit);
void check_listen_twice(MediumUnderTest& kit);
void check_address_is_free_after_close(MediumUnderTest& kit);
void check_parallel_accepts(MediumUnderTest& kit);
void check_close_wakes_accept(MediumUnderTest& kit);
void check_listener_destroyed_while_waiting(MediumUnderTest& kit);
void check_cancelled_accept(MediumUnderTest& kit);
void check_context_destroyed_first(MediumUnderTest& kit);

} // namespace trunkline::test

#define TRUNKLINE_TRANSPORT_CHECK(subject, Type, sentence, check) \
  TEST_CASE(subject ": " sentence) {                              \
    Type kit;                                                     \
    trunkline::test::check(kit);                                  \
  }

#define TRUNKLINE_TRANSPORT_CONFORMS(subject, Type)                                                                \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "every byte arrives once and in order", check_order)                    \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "a reader may take one byte at a time", check_reads_of_one_byte)        \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "a read may have two places", check_scattered_reads)                    \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "a cancelled read with two places takes nothing",                       \
                            check_cancelled_scattered_read)                                                        \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "a write takes any number of pieces", check_many_pieces)                \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "pieces without bytes are no bytes", check_empty_pieces)                \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "both directions flow at once", check_both_directions)                  \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "a write waits for a reader that falls behind", check_backpressure)     \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "the end is seen after every byte before it",                           \
                            check_end_is_seen_after_the_bytes)                                                     \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "writing to a closed far side fails", check_write_to_closed_fails)      \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "finish ends one direction and leaves the other",                       \
                            check_finish_ends_one_direction)                                                       \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "close wakes a waiting read", check_close_wakes_read)                   \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "close wakes a waiting write", check_close_wakes_write)                 \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "after close every operation is aborted", check_use_after_close)        \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "may be destroyed while a read and a write wait",                       \
                            check_destroyed_while_waiting)                                                         \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "a cancelled read takes nothing", check_cancelled_read)                 \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "reads cancelled at any moment lose no byte",                           \
                            check_cancelled_reads_lose_nothing)                                                    \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "a cancelled write is aborted", check_cancelled_write)                  \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "its addresses are what it says of them", check_what_it_says_of_itself) \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "both ends can name the far one", check_names)                          \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "dialling nobody fails with the address", check_dial_nobody)            \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "an address of another form is refused with what was expected",         \
                            check_bad_address)                                                                     \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "an address is listened on once", check_listen_twice)                   \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "an address is free when its listener has closed",                      \
                            check_address_is_free_after_close)                                                     \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "accepts that wait together get one connection each",                   \
                            check_parallel_accepts)                                                                \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "close wakes a waiting accept", check_close_wakes_accept)               \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "a listener may be destroyed while accepts wait",                       \
                            check_listener_destroyed_while_waiting)                                                \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "a cancelled accept is aborted and the next one works",                 \
                            check_cancelled_accept)                                                                \
  TRUNKLINE_TRANSPORT_CHECK(subject, Type, "may outlive what waits when its context goes",                         \
                            check_context_destroyed_first)
