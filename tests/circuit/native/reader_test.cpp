// Bytes into frames: bytes that are not what docs/wire.md says and what becomes of them, bytes cut anywhere, and bytes
// that are read straight to where they belong. Rows F01 to F11, F38 to F40.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/circuit/native/machine_under_test.hpp"
#include "tests/circuit/native/every_frame.hpp"
#include "tests/support/breakpoints.hpp"

namespace {

using namespace trunkline;
using namespace trunkline::test;

std::string various_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t at = 0; at < size; ++at) bytes[at] = static_cast<char>((at * 2654435761u) >> 11);
  return bytes;
}

TEST_CASE("flow: bytes may be read straight to where they belong, in pieces of any size") {
  const std::string payload = various_bytes(200'000);
  std::string packet;
  for (const std::string& frame : say::fragment(1, payload)) packet += frame;
  packet += say::data(1, payload.substr(0, 20'000));
  for (const std::size_t piece : {1u, 10u, 4'096u, 50'000u, 65'536u, 300'000u}) {
    Joined dialogue;
    std::size_t direct = 0;
    for (std::size_t at = 0; at < packet.size(); at += piece) {
      direct += std::min(piece, dialogue.machine().read_space().size());
      receive_directly(dialogue.machine(), std::string_view(packet).substr(at, piece), dialogue.now);
    }
    dialogue.settle();

    CAPTURE(piece);
    const std::optional<Fragment> first = dialogue.takes_one(1);
    REQUIRE(first);
    CHECK((first->payload.text() == payload));
    const std::optional<Fragment> second = dialogue.takes_one(1);
    REQUIRE(second);
    CHECK((second->payload.text() == payload.substr(0, 20'000)));
    if (piece <= 10) CHECK(direct > 200'000);
  }
}

TEST_CASE("flow: a read that is under way keeps its memory when its circuit goes") {
  const std::string payload(65'536, 'p');
  const std::vector<std::string> whole = {say::data(1, payload)};
  const std::vector<std::string> cut = say::fragment(1, payload + payload + payload);
  for (const auto& frames : {whole, cut}) {
    for (const bool is_reset : {false, true}) {
      Joined dialogue(Limits(), 2);
      std::string packet;
      for (const std::string& frame : frames) packet += frame;
      dialogue.hears(packet.substr(0, packet.size() - 40'000));
      const std::span<std::byte> space = dialogue.machine().read_space();
      REQUIRE(space.size() == 40'000);

      if (is_reset) dialogue.resets(1);
      else dialogue.releases(1);
      CHECK(dialogue.machine().memory_bytes() >= 40'000);
      std::ranges::fill(space, std::byte{'p'}); // the read ends only now
      dialogue.machine().feed(space, dialogue.now);
      dialogue.settle();
      CHECK(dialogue.machine().memory_bytes() == 0);

      CHECK(dialogue.machine().read_space().empty());
      dialogue.hears(say::data(3, "next"));
      CHECK(dialogue.takes(3).find("next") != std::string::npos);
      CHECK(dialogue.state() == "open");
    }
  }
}

TEST_CASE("flow: once the trunk is over nothing holds the memory of a read that was under way") {
  for (const bool is_shut : {false, true}) {
    Joined dialogue(Limits(), 1);
    Machine& machine = dialogue.machine();
    std::string packet;
    for (const std::string& frame : say::fragment(1, std::string(200'000, 'p'))) packet += frame;
    dialogue.hears(packet.substr(0, packet.size() - 40'000));
    REQUIRE_FALSE(machine.read_space().empty());
    CHECK(machine.memory_bytes() > 0);

    if (is_shut) {
      machine.close(End(error::node_closed));
      CHECK(machine.memory_bytes() > 0); // the read may still end
    }
    machine.disconnected(End(error::trunk_lost, "gone"));

    CHECK(machine.memory_bytes() == 0);
  }
}

TEST_CASE("framing: a length beyond frame_bytes_max breaks the trunk before any allocation (F01)") {
  Joined dialogue;

  dialogue.hears(say::header(frame_bytes_max + 1, say::DATA));

  CHECK(dialogue.state() == "frame too large");
  CHECK(dialogue.says() == "GOODBYE reason 41");
  CHECK(dialogue.machine().memory_bytes() == 0);
  CAPTURE(dialogue.end().text);
  CHECK(contains(dialogue.end().text, "73729"));
  CHECK(contains(dialogue.end().text, "73728"));
}

/// How the trunk ended when it heard this, said with a goodbye of the same reason; or "open".
std::string after(std::string_view bytes, const Limits& limits = Limits()) {
  Joined dialogue(limits);
  dialogue.hears(bytes);
  if (!dialogue.closed()) return "open";
  const std::string said = dialogue.says();
  const std::string expected = "GOODBYE reason " + std::to_string(dialogue.end().code.value());
  return said == expected ? dialogue.state() : dialogue.state() + ", but it said " + said;
}

TEST_CASE("framing: a control frame beyond control_bytes_max breaks the trunk at its header (F01)") {
  for (unsigned type = say::HELLO; type <= say::GOODBYE; ++type) {
    CAPTURE(type);
    CHECK(after(say::header(control_bytes_max + 1, type)) == "frame too large");
  }
}

TEST_CASE("framing: a frame of exactly frame_bytes_max is taken (F01)") {
  const std::string payload(chunk_bytes_max, 'p');
  say::Said said;
  const std::size_t head = say::data_head(1, said, false, 0).size() + 5;
  said.subject = std::string(frame_bytes_max - chunk_bytes_max - head, 's');
  const std::string frame = say::data(1, payload, said);
  Joined dialogue;

  dialogue.hears(frame);

  REQUIRE(frame.size() == 5 + frame_bytes_max);
  REQUIRE(dialogue.state() == "open");
  const auto fragment = dialogue.takes_one(1);
  REQUIRE(fragment.has_value());
  CHECK(fragment->payload.text() == payload);
  CHECK(fragment->subject == said.subject);
}

TEST_CASE("framing: metadata of exactly control_bytes_max is taken (F01)") {
  say::Said said;
  said.subject = std::string(control_bytes_max - 3, 's');
  Joined dialogue;

  dialogue.hears(say::data(1, "payload", said));

  REQUIRE(said.metadata().size() == control_bytes_max);
  REQUIRE(dialogue.state() == "open");
  CHECK(dialogue.takes(1) == "payload");
}

TEST_CASE("framing: payload or metadata beyond its own limit breaks the trunk though the frame is small enough (F01)") {
  say::Said said;
  said.subject = std::string(control_bytes_max - 2, 's');

  CHECK(after(say::data(1, std::string(chunk_bytes_max + 1, 'p'))) == "frame too large");
  CHECK(after(say::data(1, "", said)) == "frame too large");
}

TEST_CASE("framing: a length of all ones breaks the trunk at once (F02)") {
  Joined dialogue;

  dialogue.hears("\xFF\xFF\xFF");
  dialogue.hears(std::string("\x01\x00", 2));

  CHECK(dialogue.state() == "frame too large");
  CHECK(contains(dialogue.end().text, "16777215"));
}

TEST_CASE("framing: a body that never arrives ends as silence and holds at most one frame (F02)") {
  Joined dialogue;
  const std::string whole = say::data(1, std::string(chunk_bytes_max, 'p'));

  dialogue.hears(whole.substr(0, whole.size() - 1));
  CHECK(dialogue.machine().memory_bytes() <= frame_bytes_max + fragment_credit_overhead);
  dialogue.passes(40s);

  CHECK(dialogue.state() == "keepalive timeout");
  CHECK(dialogue.events() == "ended 1: trunk lost; closed: keepalive timeout");
}

TEST_CASE("framing: half a frame in the handshake ends with the handshake deadline (F02)") {
  Dialogue dialogue;

  dialogue.hears(say::preface() + say::header(100, say::HELLO));
  dialogue.passes(5001ms);

  CHECK(dialogue.state() == "handshake timeout");
}

TEST_CASE("framing: a varint longer than it must be breaks the trunk (F03)") {
  const say::Bytes one_padded("\x81\x00", 2);
  const say::Bytes zero_padded("\x80\x00", 2);
  const say::Bytes head = say::varint(1) + say::svarint(1) + say::svarint(0);

  CHECK(after(say::frame(say::DATA, head)) == "open");
  CHECK(after(say::frame(say::DATA, one_padded + say::svarint(1) + say::svarint(0))) == "protocol error");
  CHECK(after(say::frame(say::DATA, say::varint(1) + zero_padded + say::svarint(0))) == "protocol error");
  CHECK(after(say::frame(say::DATA, say::varint(1) + say::svarint(1) + zero_padded)) == "protocol error");
  CHECK(after(say::frame(say::DATA,
                         say::varint(1) + say::svarint(1) + say::svarint(0) + "\xC0\x80" + say::Bytes("\x00x", 2),
                         say::FIRST_OF_MORE)) == "protocol error");
  CHECK(after(say::frame(say::DATA, head + say::Bytes("\x83\x00", 2) + "\x0A\x01s", say::METADATA)) ==
        "protocol error");
  CHECK(after(say::frame(say::DATA, say::Bytes("\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11))) ==
        "protocol error");
}

TEST_CASE("framing: a number beyond its bits breaks the trunk (F03)") {
  const say::Bytes beyond_64_bits("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 10);

  CHECK(after(say::frame(say::DATA, say::varint(1) + say::varint(0x1'0000'0000) + say::svarint(0))) ==
        "protocol error");
  CHECK(after(say::frame(say::DATA, say::varint(1) + beyond_64_bits + say::svarint(0))) == "protocol error");
  CHECK(after(say::frame(say::DATA, say::varint(1) + say::svarint(0) + beyond_64_bits)) == "protocol error");
  CHECK(after(say::frame(say::DATA, beyond_64_bits)) == "protocol error");
}

TEST_CASE("framing: the ends of the range of op and part arrive as they are (F03)") {
  Joined dialogue;
  say::Said lowest;
  lowest.op = std::numeric_limits<std::int32_t>::min();
  lowest.part = std::numeric_limits<std::int64_t>::min();
  say::Said highest;
  highest.op = std::numeric_limits<std::int32_t>::max();
  highest.part = std::numeric_limits<std::int64_t>::max();

  dialogue.hears(say::data(1, "low", lowest) + say::data(1, "high", highest));
  const auto low = dialogue.takes_one(1);
  const auto high = dialogue.takes_one(1);

  REQUIRE(low.has_value());
  REQUIRE(high.has_value());
  CHECK(low->op == lowest.op);
  CHECK(low->part == lowest.part);
  CHECK(high->op == highest.op);
  CHECK(high->part == highest.part);
}

TEST_CASE("framing: a head that its frame cuts off breaks the trunk (F03)") {
  const say::Bytes body = say::varint(300) + say::svarint(-70000) + say::svarint(-1) + say::varint(5) + "\x0A\x03sub";
  for (std::size_t size = 0; size < body.size(); ++size) {
    CAPTURE(size);
    CHECK(after(say::frame(say::DATA, body.substr(0, size), say::METADATA)) == "protocol error");
  }
}

/// Everything that an application could notice of such a dialogue, as text.
std::string noticed(Dialogue& dialogue) {
  std::string text;
  for (const CircuitId id : {1, 3, 5, 7, 9}) {
    text += "\n" + std::to_string(id) + (dialogue.knows(id) ? ":" : " is not there");
    if (!dialogue.knows(id)) continue;
    dialogue.accepts(id);
    while (const auto fragment = dialogue.takes_one(id)) {
      text += " " + std::to_string(fragment->serial()) + "/" + std::to_string(fragment->op) + "/" +
              std::to_string(fragment->part) + "/" + fragment->subject + "/" + std::to_string(fragment->args.size()) +
              "/" + std::string(fragment->payload.text());
    }
    while (const auto fragment = dialogue.machine().take_error(dialogue.circuit(id))) text += " error " + fragment->err;
    const TrunkCircuit& circuit = dialogue.circuit(id);
    text += circuit.finished_there() ? " finished" : "";
    text += circuit.ended ? " ended " + phrase(circuit.end.get()) : "";
  }
  dialogue.settle();
  const TrunkCounters& counters = dialogue.machine().counters();
  text += "\nforgotten " + std::to_string(counters.frames_for_forgotten_circuits) + ", unknown " +
          std::to_string(counters.unknown_frames) + ", bytes " + std::to_string(counters.bytes_received) + ", state " +
          dialogue.state();
  return text;
}

TEST_CASE("framing: bytes cut at any position cause the same events, answers and fragments (F04)") {
  const std::string bytes = every_frame();
  Dialogue whole;
  whole.hears(bytes);
  const std::string whole_events = whole.events();
  const std::string whole_noticed = noticed(whole);
  const std::string whole_said = whole.says();
  REQUIRE(contains(whole_events, "opened 7"));
  REQUIRE(whole.state() == "open");

  const std::size_t cuts = split_at_each(as_bytes(bytes), [&](auto first, auto second) {
    Dialogue cut;
    cut.clogged = true;  // what is said in which order depends on when the output is taken
    for (const auto piece : {first, second}) cut.hears({reinterpret_cast<const char*>(piece.data()), piece.size()});
    cut.clogged = false;
    cut.settle();
    CAPTURE(first.size());
    REQUIRE(cut.events() == whole_events);
    REQUIRE(noticed(cut) == whole_noticed);
    REQUIRE(cut.says() == whole_said);
  });
  CHECK(cuts == bytes.size() + 1);
}

TEST_CASE("framing: pieces of 1, 2, 3 and 7 bytes cause the same events, answers and fragments (F04)") {
  const std::string bytes = every_frame();
  Dialogue whole;
  whole.hears(bytes);
  const std::string whole_events = whole.events();
  const std::string whole_noticed = noticed(whole);

  for (const std::size_t size : {1, 2, 3, 7}) {
    Dialogue cut;
    split_into(as_bytes(bytes), size,
               [&](auto piece) { cut.hears({reinterpret_cast<const char*>(piece.data()), piece.size()}); });

    CAPTURE(size);
    CHECK(cut.events() == whole_events);
    CHECK(noticed(cut) == whole_noticed);
  }
}

TEST_CASE("framing: an unknown optional frame is skipped and counted, whatever its size (F05)") {
  Joined dialogue;

  for (const unsigned type : {0x80, 0xAB, 0xFF})
    dialogue.hears(say::frame(type, std::string(type == 0xAB ? frame_bytes_max : 5, '?')));
  dialogue.hears(say::frame(0x80) + say::data(1, "after"));

  CHECK(dialogue.state() == "open");
  CHECK(dialogue.machine().counters().unknown_frames == 4);
  CHECK(dialogue.takes(1) == "after");
}

TEST_CASE(
    "framing: more unknown optional frames in a minute than unknown_frames_per_minute_max break the trunk (F05)") {
  Joined dialogue;
  for (int minute = 0; minute < 3; ++minute) {
    for (int frame = 0; frame < 100; ++frame) dialogue.hears(say::frame(0x90, "new"));
    CHECK(dialogue.state() == "open");
    for (int quarter = 0; quarter < 4; ++quarter) {
      dialogue.passes(15s);
      dialogue.hears(say::pong(1));
    }
  }

  for (int frame = 0; frame < 101; ++frame) dialogue.hears(say::frame(0x90, "new"));

  CHECK(dialogue.state() == "too many control frames");
  CAPTURE(dialogue.end().text);
  CHECK(contains(dialogue.end().text, "unknown_frames_per_minute_max"));
  CHECK(contains(dialogue.end().text, "100"));
}

TEST_CASE("framing: any other unknown type breaks the trunk and is named (F05)") {
  for (const auto& [type, name] : {std::pair(0x00, "0x00"), {0x12, "0x12"}, {0x13, "0x13"}, {0x7F, "0x7f"}}) {
    Joined dialogue;

    dialogue.hears(say::frame(static_cast<unsigned>(type), "?"));

    CAPTURE(dialogue.end().text);
    CHECK(dialogue.state() == "protocol error");
    CHECK(contains(dialogue.end().text, name));
  }
}

TEST_CASE("framing: a flag that the type does not have breaks the trunk (F06)") {
  const std::vector<say::Bytes> frames{say::data(1, "x"),
                                       say::open(3),
                                       say::accept(1),
                                       say::refuse(1, 20),
                                       say::credit(1, 1),
                                       say::finish(1),
                                       say::finish_acknowledged(1),
                                       say::close(1),
                                       say::close_received(1),
                                       say::reset(1),
                                       say::ping(1),
                                       say::pong(1),
                                       say::drain(),
                                       say::goodbye(),
                                       say::peer_ended("peer-of-far-side"),
                                       say::peer_metadata("peer-of-far-side", {})};
  for (const say::Bytes& frame : frames) {
    for (unsigned flag = 1; flag <= 0x80; flag <<= 1) {
      if (frame[3] == say::DATA && flag < 0x10) continue;
      say::Bytes flagged = frame;
      flagged[4] = static_cast<char>(flag);
      CAPTURE(std::string(say::type_name(static_cast<unsigned>(frame[3]))));
      CAPTURE(flag);
      CHECK(after(flagged) == "protocol error");
    }
  }
}

TEST_CASE("framing: flags of a data frame that contradict each other break the trunk (F06)") {
  const say::Bytes head = say::varint(1) + say::svarint(1) + say::svarint(0);

  CHECK(after(say::frame(say::DATA, head + "x", say::LAST)) == "protocol error");
  CHECK(after(say::frame(say::DATA, head + say::varint(9) + "x", say::FIRST_OF_MORE | say::LAST)) == "protocol error");
  const say::Bytes begun = say::first_of_more(1, 100, "begun");
  CHECK(after(begun) == "open");
  CHECK(after(begun + say::frame(say::DATA, say::varint(1) + "x", say::CONTINUES | say::METADATA)) == "protocol error");
  CHECK(after(begun + say::frame(say::DATA, say::varint(1) + "x", say::CONTINUES | say::FIRST_OF_MORE)) ==
        "protocol error");
}

TEST_CASE("framing: METADATA without metadata breaks the trunk or is an empty one, never garbage (F06)") {
  Joined dialogue;

  dialogue.hears(
      say::frame(say::DATA, say::varint(1) + say::svarint(1) + say::svarint(0) + say::varint(0) + "x", say::METADATA));

  if (!dialogue.closed()) CHECK(dialogue.takes(1) == "x");
}

TEST_CASE("framing: chunks that do not make up their fragment break the trunk (F06)") {
  const say::Bytes begun = say::first_of_more(1, 10, "12345");

  CHECK(after(begun + say::continues_last(1, "67890")) == "open");
  CHECK(after(begun + say::continues(1, "67") + say::continues_last(1, "890")) == "open");
  CHECK(after(begun + say::continues_last(1, "6789")) == "protocol error");
  CHECK(after(begun + say::continues_last(1, "678901")) == "protocol error");
  CHECK(after(begun + say::continues(1, "678901")) == "protocol error");
  CHECK(after(begun + say::continues(1, "67890")) == "protocol error");
  CHECK(after(begun + say::continues(1, "")) == "protocol error");
  CHECK(after(begun + say::continues_last(1, "")) == "protocol error");
  CHECK(after(begun + say::data(1, "another")) == "protocol error");
  CHECK(after(begun + say::first_of_more(1, 10, "again")) == "protocol error");
  CHECK(after(say::continues(1, "nothing begun")) == "protocol error");
  CHECK(after(say::continues_last(1, "nothing begun")) == "protocol error");
  CHECK(after(say::first_of_more(1, 10, "")) == "protocol error");
  CHECK(after(say::first_of_more(1, 5, "12345")) == "protocol error");
  CHECK(after(say::first_of_more(1, 4, "12345")) == "protocol error");
  CHECK(after(say::first_of_more(1, 0, "12345")) == "protocol error");
}

TEST_CASE("framing: a finish or a close inside a fragment resets its circuit (F06)") {
  for (const say::Bytes& end : {say::finish(1), say::close(1)}) {
    Joined dialogue;

    dialogue.hears(say::first_of_more(1, 10, "12345") + end);

    CHECK(dialogue.events() == "ended 1: protocol violation on circuit");
    CHECK(dialogue.says() == "RESET 1 reason 10");
    CHECK(dialogue.machine().memory_bytes() == 0);
  }
}

TEST_CASE("framing: more data frames in a row that carry nothing than empty_frames_max reset their circuit (F07)") {
  Joined dialogue;
  dialogue.hears(say::open(3));
  dialogue.accepts(3);
  say::Said nothing;
  nothing.op = 0;
  dialogue.events();

  for (int frame = 0; frame < 10; ++frame) dialogue.hears(say::data(1, "", nothing));
  CHECK(dialogue.says() == "");
  dialogue.hears(say::data(1, "", nothing));

  CHECK(contains(dialogue.says(), "RESET 1 reason 10"));
  CHECK(dialogue.state() == "open");
  dialogue.hears(say::data(3, "the other lives"));
  CHECK(dialogue.takes(3) == "the other lives");
}

TEST_CASE("framing: a fragment that carries something begins the count of empty ones anew (F07)") {
  Joined dialogue;
  say::Said nothing;
  nothing.op = 0;

  for (int round = 0; round < 5; ++round) {
    for (int frame = 0; frame < 10; ++frame) dialogue.hears(say::data(1, "", nothing));
    dialogue.hears(say::data(1, "x"));
    dialogue.takes(1);
  }

  CHECK(dialogue.events().find("ended") == std::string::npos);
  CHECK_FALSE(dialogue.circuit(1).ended);
}

TEST_CASE("framing: each empty data frame costs credit, so a reader that takes none is never flooded (F07)") {
  Joined dialogue;
  say::Said nothing;
  nothing.op = 0;

  int frames = 0;
  while (!dialogue.closed() && !dialogue.circuit(1).ended && frames < 100'000) {
    dialogue.hears(frames % 10 == 9 ? say::data(1, "x") : say::data(1, "", nothing));
    ++frames;
  }

  CHECK(dialogue.state() == "flow control violated");
  CHECK(frames == 1 + say::circuit_window / say::fragment_overhead - 1);
}

TEST_CASE("framing: a flipped bit never delivers more than was sent and never hurts (F08)") {
  // Version 1 has no checksum: the transport's is trusted, TLS's where it matters. What must hold without one is that
  // any damage ends in an ordinary break, or in a value of the same size.
  const std::string bytes = every_frame();
  int broken = 0;
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    Dialogue dialogue;
    dialogue.hears(damaged);

    CAPTURE(bit);
    REQUIRE(dialogue.machine().memory_bytes() <= Limits().trunk_memory_bytes_max);
    noticed(dialogue);
    broken += dialogue.closed();
  }
  CHECK(broken > 1000);
}

/// What the machine makes of a connection that begins with this.
std::string heard_first(std::string_view bytes) {
  Dialogue dialogue;
  dialogue.says();
  dialogue.hears(bytes);
  if (const std::string said = dialogue.says(); !said.empty()) return "it answered " + said;
  if (!dialogue.closed()) return "it waits";
  if (!dialogue.machine().over()) return "it keeps the connection";
  return dialogue.state() + ": " + dialogue.end().text;
}

TEST_CASE("framing: a TLS hello, an HTTP request, an SSH banner and noise are named and get no answer (F09)") {
  const std::string tls = heard_first(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));
  const std::string http = heard_first("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string ssh = heard_first("SSH-2.0-OpenSSH_9.2p1 Debian\r\n");
  const std::string noise = heard_first("\x01\x02\x03\x04\x05\x06\x07\x08");

  for (const std::string& text : {tls, http, ssh, noise}) {
    CAPTURE(text);
    CHECK(text.starts_with("not trunkline: "));
  }
  CAPTURE(tls);
  CHECK(contains(tls, "TLS"));
  CAPTURE(http);
  CHECK(contains(http, "HTTP"));
  CAPTURE(ssh);
  CHECK(contains(ssh, "SSH"));
}

TEST_CASE("framing: other methods of HTTP are recognised, too (F09)") {
  for (const char* request :
       {"POST /x HTTP/1.1\r\n", "HEAD / HTTP/1.0\r\n", "OPTIONS * HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\n"}) {
    CAPTURE(request);
    CHECK(contains(heard_first(request), "HTTP"));
  }
}

TEST_CASE("framing: another wire generation is told from garbage (F09)") {
  const std::string text = heard_first(std::string("\x89TRNK\r\n\x02", 8));

  CAPTURE(text);
  CHECK(text.starts_with("version mismatch: "));
  CHECK(contains(text, "2"));
}

TEST_CASE("framing: a preface whose line end was translated is refused (F09)") {
  CHECK(heard_first(std::string("\x89TRNK\n\x01\x00", 8)).starts_with("not trunkline: "));
}

TEST_CASE("framing: a preface byte by byte is a preface, and its first wrong byte is enough (F09)") {
  Dialogue dialogue;
  for (const char byte : say::introduction()) dialogue.hears(std::string(1, byte));
  CHECK(dialogue.events() == "hello");

  Dialogue other;
  for (const char byte : std::string("\x89TRNX\r\n\x01", 8)) other.hears(std::string(1, byte));
  CHECK(other.state() == "not trunkline");
}

TEST_CASE("framing: text from a stranger is made printable before it is shown (F09)") {
  const std::string text = heard_first("\x1B[2J\x07<b>\n");

  for (const char c : text) CHECK((c >= 0x20 && c < 0x7F));
}

TEST_CASE("framing: a stream that breaks within a frame ends its circuits as trunk_lost, unlike a clean end (F10)") {
  Joined dialogue;
  dialogue.hears(say::open(3) + say::data(3, "whole") + say::finish(3));
  dialogue.accepts(3);
  dialogue.hears(say::data(1, "whole") + say::first_of_more(1, 100, "half of it"));
  dialogue.events();

  dialogue.loses();

  CHECK(dialogue.state() == "trunk lost");
  CHECK(phrase(dialogue.circuit(1).end.get()) == "trunk lost");
  CHECK_FALSE(dialogue.circuit(1).finished_there());
  CHECK(dialogue.circuit(3).finished_there());
  CHECK(contains(dialogue.circuit(1).end->text, "connection reset by peer"));
  CHECK(dialogue.takes(1) == "whole");
  CHECK(dialogue.takes(3) == "whole");
}

TEST_CASE("flood: limits are said once, in the hello, and a second hello breaks the trunk (F38)") {
  Introduced dialogue;

  dialogue.hears(say::hello());

  CHECK(dialogue.state() == "protocol error");
  CHECK(contains(dialogue.end().text, "hello"));
}

TEST_CASE("flood: the metadata of a fragment is one frame; it cannot be continued (F39)") {
  Introduced dialogue;
  dialogue.hears(say::open(1));
  dialogue.accepts(1);
  say::Said said;
  said.subject = "s";
  dialogue.hears(say::first_of_more(1, 100, "begun", said));

  dialogue.hears(
      say::frame(say::DATA, say::varint(1) + say::varint(3) + "\x0A\x01s" + "more", say::CONTINUES | say::METADATA));

  CHECK(dialogue.state() == "protocol error");
}

TEST_CASE("flood: the metadata of a fragment that is not what it says breaks the trunk (F39)") {
  const auto after = [](const say::Bytes& metadata) {
    Introduced dialogue;
    dialogue.hears(say::open(1));
    dialogue.accepts(1);
    dialogue.hears(say::frame(
        say::DATA, say::varint(1) + say::svarint(1) + say::svarint(0) + say::varint(metadata.size()) + metadata,
        say::METADATA));
    return dialogue.state();
  };

  CHECK(after("\x0A\x03sub") == "open");
  CHECK(after("\x0A\x04sub") == "protocol error");
  CHECK(after("\x12\x05\x0A\x03k") == "protocol error");
  CHECK(after(say::Bytes("\x00\x00", 2)) == "protocol error");
  CHECK(after("\x0B") == "protocol error");
  CHECK(after(say::Bytes("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 12)) == "protocol error");
}

TEST_CASE("flood: empty args, which occupy far more than they cost, are taken up to 128 (F39)") {
  const auto after = [](int args) {
    Introduced dialogue;
    dialogue.hears(say::open(1));
    dialogue.accepts(1);
    say::Said said;
    said.args.resize(static_cast<std::size_t>(args));
    dialogue.hears(say::data(1, "", said));
    return dialogue.state();
  };

  CHECK(after(128) == "open");
  CHECK(after(129) == "protocol error");
  CHECK(after(4000) == "protocol error");
}

TEST_CASE("flood: unknown fields of any wire type are ignored in metadata and in control frames (F39)") {
  Introduced dialogue;
  const say::Bytes unknown = say::varint(30 << 3) + say::varint(5) + say::varint(31 << 3 | 2) + "\x03new" +
                             say::varint(29 << 3 | 1) + "12345678" + say::varint(28 << 3 | 5) + "1234";
  dialogue.hears(say::frame(say::OPEN, say::open(1).substr(5) + unknown));
  REQUIRE(dialogue.events() == "opened 1");
  dialogue.accepts(1);
  const say::Bytes metadata = "\x0A\x03sub" + unknown;

  dialogue.hears(
      say::frame(say::DATA,
                 say::varint(1) + say::svarint(1) + say::svarint(0) + say::varint(metadata.size()) + metadata + "p",
                 say::METADATA) +
      say::frame(say::FINISH, say::finish(1).substr(5) + unknown) + say::frame(say::DRAIN, unknown));

  REQUIRE(dialogue.state() == "open");
  const auto fragment = dialogue.takes_one(1);
  REQUIRE(fragment.has_value());
  CHECK(fragment->subject == "sub");
  CHECK(fragment->payload.text() == "p");
  CHECK(dialogue.circuit(1).finished_there());
}

TEST_CASE("flood: a control frame that is not its message breaks the trunk and is named (F39)") {
  for (unsigned type = say::OPEN; type <= say::GOODBYE; ++type) {
    Introduced dialogue;

    dialogue.hears(say::frame(type, "\x0A\x7Ftoo short"));

    CAPTURE(std::string(say::type_name(type)));
    CHECK(dialogue.state() == "protocol error");
  }
}

TEST_CASE("flood: there is no frame that changes priorities: its type is unknown (F40)") {
  Introduced mandatory;
  mandatory.hears(say::frame(0x12, "priority of 1 is 200"));
  CHECK(mandatory.state() == "protocol error");

  Introduced optional;
  for (int frame = 0; frame < 100; ++frame) optional.hears(say::frame(0x92, "priority of 1 is 200"));
  CHECK(optional.state() == "open");
  optional.hears(say::frame(0x92, "priority of 1 is 200"));
  CHECK(optional.state() == "too many control frames");
}

} // namespace
