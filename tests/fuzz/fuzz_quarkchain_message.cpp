// Every message and structure of QuarkChain. An input is either a golden vector and edits of it, so that what is tried
// is nearly right in places that random bytes never reach, or a type and raw bytes. What must hold of anything that is
// accepted: written again it is accepted as the same value, which is written as the same bytes, and its JSON tells the
// same bytes, too.

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/evm_transaction.hpp"
#include "services/quarkchain/protocol/frame_json.hpp"
#include "services/quarkchain/protocol/types.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/services/quarkchain/vectors.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace trunkline;
using namespace trunkline::quarkchain;

using Bytes = std::vector<std::byte>;

constexpr std::size_t edited_bytes_max = 1 << 16;

void demand(bool good, const char* what, std::string_view about) {
  if (good) return;
  std::fprintf(stderr, "%s: %.*s\n", what, static_cast<int>(about.size()), about.data());
  std::abort();
}

bool equal(const ByteBuffer& a, const ByteBuffer& b) {
  return a.size() == b.size() && std::equal(a.data(), a.data() + a.size(), b.data());
}

std::ptrdiff_t offset(std::size_t place) { return static_cast<std::ptrdiff_t>(place); }

void edit(Bytes& bytes, test::FuzzInput& choices) {
  const auto& samples = test::samples();
  const std::uint8_t how = choices.byte();
  const std::size_t place = choices.below(bytes.size() + 1);
  const std::size_t left = bytes.size() - place;
  switch (how % 9) {
    case 0: // a byte
      if (left > 0) bytes[place] = static_cast<std::byte>(choices.byte());
      break;
    case 1: // a bit
      if (left > 0) bytes[place] ^= static_cast<std::byte>(1u << (choices.byte() & 7));
      break;
    case 2: // a count, a length
      if (left >= 4) {
        constexpr std::uint32_t hostile[] = {0, 1, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
        const std::size_t which = choices.below(std::size(hostile) + 2);
        const std::uint32_t now = get_big<std::uint32_t>(&bytes[place]);
        put_big(&bytes[place], which < std::size(hostile)    ? hostile[which]
                               : which == std::size(hostile) ? now + 1
                                                             : now - 1);
      }
      break;
    case 3: bytes.resize(place); break;
    case 4: // out
      bytes.erase(bytes.begin() + offset(place), bytes.begin() + offset(place + std::min(left, choices.below(300))));
      break;
    case 5: // twice
      if (left > 0 && bytes.size() < edited_bytes_max) {
        const Bytes again(bytes.begin() + offset(place),
                          bytes.begin() + offset(place + std::min(left, choices.below(600) + 1)));
        bytes.insert(bytes.begin() + offset(place), again.begin(), again.end());
      }
      break;
    case 6: // in
      bytes.insert(bytes.begin() + offset(place), choices.below(64), static_cast<std::byte>(choices.byte()));
      break;
    case 7: { // a piece of another
      const Bytes& from = samples[choices.below(samples.size())].bytes;
      const std::size_t begin = choices.below(from.size() + 1);
      const std::size_t count = std::min(from.size() - begin, choices.below(600));
      if (bytes.size() < edited_bytes_max)
        bytes.insert(bytes.begin() + offset(place), from.begin() + offset(begin), from.begin() + offset(begin + count));
      break;
    }
    default: // all of it one byte
      std::fill(bytes.begin() + offset(place), bytes.begin() + offset(place + std::min(left, choices.below(64))),
                static_cast<std::byte>(choices.byte()));
  }
}

void check(const TypeInfo& type, const Bytes& bytes) {
  DecodeError error;
  std::string fields;
  ByteBuffer once;
  const bool accepted = type.to_json(bytes, fields, once, error);
  demand(type.check(bytes, error) == accepted, "checked otherwise than decoded", type.name);
  if (!accepted) {
    demand(error.path.starts_with(type.name) && !error.reason.empty() && error.offset <= bytes.size(), "no good reason",
           error.text());
    return;
  }
  std::string fields_again;
  ByteBuffer twice;
  demand(type.to_json(once, fields_again, twice, error), "does not read what it wrote", error.text());
  demand(equal(once, twice) && fields == fields_again, "writes otherwise what it wrote", type.name);
  std::string why;
  ByteBuffer told;
  demand(type.from_json(Json::parse(fields), told, why), "does not read the JSON that it wrote", why);
  demand(equal(once, told), "JSON tells another value", type.name);
  if (once.size() > 0) { // what it wrote has no shorter form
    const Bytes prefix(once.data(), once.data() + once.size() - 1);
    demand(!type.check(prefix, error), "accepts less than it wrote", type.name);
  }
}

/// A payload in a frame, with the opcode that the input wants.
void check_frame(const Bytes& payload, test::FuzzInput& choices) {
  const Framing framing = static_cast<Framing>(choices.byte() % 3);
  FrameHeader header;
  header.opcode = choices.byte();
  header.rpc_id = choices.byte();
  header.cluster_peer_id = framing == Framing::cluster ? choices.byte() : 0;
  header.branch = framing == Framing::slave ? 0 : choices.byte();
  header.length = static_cast<std::uint32_t>(payload.size());
  ByteBuffer frame;
  append_frame_header(frame, framing, header);
  frame.append(payload);
  FrameHeader seen;
  demand(parse_frame_header(frame, framing, payload.size(), seen) == FrameParsed::complete && seen == header,
         "frame header", "");
  std::string line = "{";
  append_frame_json(line, framing, header, payload);
  ByteBuffer told;
  std::string why;
  demand(frame_from_json(Json::parse(line + "}"), framing, told, why), "does not read the frame that it told", why);
  demand(equal(frame, told), "tells another frame", line);
}

/// The RLP of a transaction: what is read is written as the same bytes, for there is only one way.
void check_transaction(const Bytes& bytes) {
  try {
    const EvmTransaction tx = EvmTransaction::from_rlp(text_of(bytes));
    demand(tx.to_rlp() == text_of(bytes), "writes another transaction", to_hex(bytes));
    tx.sender();
  } catch (const TransactionFailure&) {}
}

/// Text that may be JSON: refused, or told to every type that a byte chooses.
void check_text(const TypeInfo& type, const Bytes& bytes) {
  try {
    const Json json = Json::parse(text_of(bytes));
    ByteBuffer into;
    std::string why;
    if (type.from_json(json, into, why)) check(type, Bytes(into.data(), into.data() + into.size()));
    else demand(!why.empty() && into.empty(), "no good reason", type.name);
  } catch (const JsonError&) {}
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::FuzzInput choices({data, size});
  const std::uint8_t mode = choices.byte() % 8;
  const auto all = types();
  if (mode == 0 || mode == 1) {
    const TypeInfo& type = all[choices.below(all.size())];
    const Bytes bytes = choices.rest();
    mode == 0 ? check(type, bytes) : check_text(type, bytes);
    return 0;
  }
  const test::Sample& sample = test::samples()[choices.below(test::samples().size())];
  Bytes bytes = sample.bytes;
  if (mode == 2) {
    const std::uint8_t edits = choices.byte() % 4;
    for (int i = 0; i < edits; ++i) edit(bytes, choices);
    check_frame(bytes, choices);
    return 0;
  }
  if (mode == 3 && sample.type == "SerializedEvmTransaction" && bytes.size() > 5)
    bytes.erase(bytes.begin(), bytes.begin() + 5);
  while (choices.more()) edit(bytes, choices);
  if (mode == 3) check_transaction(bytes);
  else check(*find_type(sample.type), bytes);
  return 0;
}
