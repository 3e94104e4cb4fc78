// Golden frames: what client.py, written from docs/wire.md alone, made of some values (frames.py says which) must be
// what the C++ side makes of them, and must be read back as them.
#include "circuit/native/frame.hpp"
#include "fragment/error.hpp"
#include "proto/trunk.pb.h"

#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <limits>
#include <map>
#include <regex>
#include <span>
#include <string>
#include <vector>

using namespace trunkline;
using wire::FrameType;

namespace {

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

/// One frame a line: all of JSON that frames.py writes.
std::map<std::string, std::string> golden_frames() {
  std::map<std::string, std::string> frames;
  std::ifstream file(TRUNKLINE_FRAMES);
  const std::regex entry("\\s*\"(\\w+)\": \"([0-9a-f]*)\",?");
  std::smatch match;
  for (std::string line; std::getline(file, line);)
    if (std::regex_match(line, match, entry)) frames[match[1]] = bytes_of_hex(match[2]);
  return frames;
}

std::string id(char first) {
  std::string bytes;
  for (char i = 0; i < 16; ++i) bytes += static_cast<char>(first + i);
  return bytes;
}

std::string framed(FrameType type, const google::protobuf::MessageLite& message) {
  std::byte header[wire::header_bytes];
  wire::put_header(header, message.ByteSizeLong(), type, 0);
  return std::string(reinterpret_cast<const char*>(header), sizeof header) + message.SerializeAsString();
}

/// A data frame on circuit 1 with the payload's bytes from `from` to `to`.
std::string framed(const Fragment& fragment, std::uint8_t flags, std::size_t from, std::size_t to) {
  std::vector<std::byte> metadata;
  if (flags & wire::flag_metadata) wire::put_metadata(metadata, fragment);
  wire::DataHead head;
  head.circuit = 1;
  head.flags = flags;
  head.op = fragment.op;
  head.part = fragment.part;
  head.total = fragment.payload.size();
  head.metadata = metadata;
  head.payload_bytes = to - from;
  std::vector<std::byte> bytes(wire::data_head_bytes_max + metadata.size());
  bytes.resize(static_cast<std::size_t>(wire::put_data_head(bytes.data(), head) - bytes.data()));
  std::string frame(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return frame.append(fragment.payload.text().substr(from, to - from));
}

Fragment small_fragment() {
  Fragment fragment(7, "hello");
  fragment.part = -1;
  return fragment;
}

Fragment full_fragment() {
  Fragment fragment(std::numeric_limits<std::int32_t>::min(), "about", "x");
  fragment.part = std::numeric_limits<std::int64_t>::max();
  fragment.args.set("key", "value");
  fragment.args.set_system("trace", std::string_view("\x00\xff", 2));
  fragment.err = "only a note";
  return fragment;
}

Fragment cut_fragment() {
  Fragment fragment(300, "cut", "abcdefg");
  fragment.part = std::int64_t{1} << 40;
  return fragment;
}

Fragment call_fragment() {
  Fragment fragment(7, "call", "hello");
  fragment.part = 12;
  fragment.set_deadline(std::chrono::steady_clock::time_point() + std::chrono::milliseconds(250));
  return fragment;
}

/// What the C++ side makes of the values that frames.py names.
std::map<std::string, std::string> our_frames() {
  std::map<std::string, std::string> frames;
  frames["preface"] = std::string(reinterpret_cast<const char*>(wire::preface.data()), wire::preface.size());

  wire::Hello hello;
  hello.set_version_min(1);
  hello.set_version_max(1);
  hello.set_node_id(id(0x00));
  hello.set_node_name("golden");
  hello.add_addresses("tcp://0.0.0.0:7000");
  hello.set_fragment_bytes_max(4 << 20);
  frames["hello"] = framed(FrameType::hello, hello);

  wire::Hello telling = hello;
  telling.clear_addresses();
  telling.add_features("calls");
  telling.add_features("shares");
  telling.set_circuits_max(4096);
  telling.set_name_bytes_max(64);
  telling.set_user_string_bytes_max(512);
  telling.set_metadata_bytes_max(2048);
  telling.set_remote_peers_max(100);
  telling.set_remote_metadata_bytes_max(1 << 20);
  telling.set_control_frames_per_second_max(500);
  frames["hello_with_features_and_limits"] = framed(FrameType::hello, telling);

  wire::Open late;
  late.set_circuit(3);
  late.set_mode(wire::Open::JOIN_OR_START);
  late.set_from_peer(id(0x10));
  late.set_from_service("client");
  late.set_to_service("echo");
  late.set_remaining_ms(1500);
  frames["open_with_deadline"] = framed(FrameType::open, late);

  wire::Open open;
  open.set_circuit(1);
  open.set_mode(wire::Open::JOIN_OR_START);
  open.set_from_peer(id(0x10));
  open.set_from_service("client");
  open.set_to_service("echo");
  open.set_name("name");
  open.set_user_string("user");
  open.set_wants_answer(true);
  frames["open"] = framed(FrameType::open, open);

  wire::Accept accept;
  accept.set_circuit(1);
  accept.set_peer(id(0x20));
  accept.set_service("echo");
  frames["accept"] = framed(FrameType::accept, accept);

  wire::Refuse refuse;
  refuse.set_circuit(1);
  refuse.set_reason(static_cast<std::uint32_t>(error::no_service));
  refuse.set_text("no service");
  refuse.set_existing_url("tcp://10.0.0.7:7000/echo/" + PeerId::from_bytes(id(0x20))->to_string());
  frames["refuse"] = framed(FrameType::refuse, refuse);

  const Fragment cut = cut_fragment();
  frames["data"] = framed(small_fragment(), 0, 0, 5);
  frames["data_with_metadata"] = framed(full_fragment(), wire::flag_metadata, 0, 1);
  frames["data_empty"] = framed(Fragment(), 0, 0, 0);
  frames["data_with_deadline"] = framed(call_fragment(), wire::flag_metadata, 0, 5);
  frames["data_that_cancels"] = framed(Fragment::cancelling(12), wire::flag_metadata, 0, 0);
  frames["data_first_of_more"] = framed(cut, wire::flag_metadata | wire::flag_first_of_more, 0, 3);
  frames["data_continues"] = framed(cut, wire::flag_continues, 3, 5);
  frames["data_last"] = framed(cut, wire::flag_continues | wire::flag_last, 5, 7);

  wire::Credit credit;
  credit.set_bytes(7340032);
  frames["credit_of_trunk"] = framed(FrameType::credit, credit);
  credit.set_circuit(1);
  credit.set_bytes(131072);
  frames["credit_of_circuit"] = framed(FrameType::credit, credit);

  credit.set_bytes(393216);
  credit.set_growth(262144);
  frames["credit_that_widens"] = framed(FrameType::credit, credit);
  credit.clear_circuit();
  credit.clear_growth();
  credit.set_bytes(1048576);
  credit.set_completes(1);
  frames["credit_that_completes"] = framed(FrameType::credit, credit);

  wire::Finish finish;
  finish.set_circuit(1);
  frames["finish"] = framed(FrameType::finish, finish);
  frames["finish_acknowledged"] = framed(FrameType::finish_acknowledged, finish);
  frames["close"] = framed(FrameType::close, finish);
  frames["close_received"] = framed(FrameType::close_received, finish);

  wire::Close close;
  close.set_circuit(1);
  close.set_reason(static_cast<std::uint32_t>(error::access_denied));
  close.set_text("not yours");
  frames["close_with_reason"] = framed(FrameType::close, close);

  wire::Reset reset;
  reset.set_circuit(1);
  reset.set_reason(static_cast<std::uint32_t>(error::circuit_abandoned));
  reset.set_text("dropped");
  frames["reset"] = framed(FrameType::reset, reset);

  wire::PeerMetadata metadata;
  metadata.set_peer(id(0x10));
  auto* item = metadata.add_items();
  item->set_key("role");
  item->set_value("leader");
  frames["peer_metadata"] = framed(FrameType::peer_metadata, metadata);

  wire::PeerEnded ended;
  ended.set_peer(id(0x10));
  ended.set_reason(static_cast<std::uint32_t>(error::peer_ended));
  frames["peer_ended"] = framed(FrameType::peer_ended, ended);

  wire::Ping ping;
  ping.set_number(4711);
  frames["ping"] = framed(FrameType::ping, ping);
  frames["pong"] = framed(FrameType::pong, ping);
  frames["drain"] = framed(FrameType::drain, wire::Drain());

  wire::Goodbye goodbye;
  goodbye.set_reason(static_cast<std::uint32_t>(error::protocol_error));
  goodbye.set_text("why");
  frames["goodbye"] = framed(FrameType::goodbye, goodbye);
  return frames;
}

/// Reads a golden data frame and returns its head; sets the fragment's op, part, metadata and payload.
wire::DataHead read_data(const std::string& frame, Fragment& fragment) {
  const auto body = std::as_bytes(std::span(frame)).subspan(wire::header_bytes);
  const auto flags = static_cast<std::uint8_t>(frame.at(4));
  wire::DataHead head;
  std::size_t consumed = 0;
  const char* why = "";
  REQUIRE(wire::get_data_head(body, body.size(), flags, head, consumed, why) == wire::Parsed::complete);
  CHECK(head.circuit == 1);
  CHECK(head.payload_bytes == body.size() - consumed);
  fragment.op = head.op;
  fragment.part = head.part;
  if (!head.metadata.empty()) REQUIRE(wire::get_metadata(head.metadata, fragment));
  fragment.payload = Payload(body.subspan(consumed));
  return head;
}

} // namespace

TEST_CASE("wire: every kind of frame is, byte for byte, what an outsider makes of the page") {
  const auto golden = golden_frames();
  REQUIRE(golden.size() == 31);

  const auto ours = our_frames();

  for (const auto& [name, bytes] : golden) {
    CAPTURE(name);
    REQUIRE(ours.contains(name));
    CHECK(ours.at(name) == bytes);
  }
}

TEST_CASE("wire: an outsider's data frames are read as the fragments they were") {
  const auto golden = golden_frames();

  for (const auto& [name, expected] :
       {std::pair("data", small_fragment()), std::pair("data_with_metadata", full_fragment()),
        std::pair("data_empty", Fragment())}) {
    CAPTURE(name);
    Fragment fragment;
    read_data(golden.at(name), fragment);
    CHECK(fragment.op == expected.op);
    CHECK(fragment.part == expected.part);
    CHECK(fragment.subject == expected.subject);
    CHECK(fragment.args == expected.args);
    CHECK(fragment.payload == expected.payload);
    CHECK(fragment.err == expected.err);
  }
  Fragment call;
  read_data(golden.at("data_with_deadline"), call);
  CHECK(call.subject == "call");
  CHECK(call.deadline() == std::chrono::steady_clock::time_point() + std::chrono::milliseconds(250));
  CHECK_FALSE(call.cancels());
  Fragment word;
  read_data(golden.at("data_that_cancels"), word);
  CHECK(word.cancels());
  CHECK(word.part == 12);
  Fragment first;
  Fragment middle;
  Fragment last;
  CHECK(read_data(golden.at("data_first_of_more"), first).total == 7);
  CHECK(first.op == 300);
  CHECK(first.part == std::int64_t{1} << 40);
  CHECK(first.subject == "cut");
  CHECK(read_data(golden.at("data_continues"), middle).flags == wire::flag_continues);
  CHECK(read_data(golden.at("data_last"), last).flags == (wire::flag_continues | wire::flag_last));
  CHECK(std::string(first.payload.text()) + std::string(middle.payload.text()) + std::string(last.payload.text()) ==
        "abcdefg");
}
