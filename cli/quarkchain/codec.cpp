// trunkline quarkchain decode and encode: bytes of the protocol as lines of JSON, and back.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/quarkchain/capture.hpp"
#include "fragment/input_file.hpp"
#include "fragment/json_line.hpp"
#include "services/quarkchain/protocol/frame_json.hpp"
#include "services/quarkchain/protocol/types.hpp"
#include "services/sync/disk.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

using namespace quarkchain;

struct CodecOptions {
  std::string file;
  std::string framing = "cluster";
  bool json = false;
  std::vector<std::uint16_t> ports;
  std::size_t payload_bytes_max = 134217728;
};

/// A file, or the standard input.
class Input {
 public:
  explicit Input(const std::string& path) : path_(path) {
    if (!named()) return;
    file_.open(path);
    if (!file_) throw sync::FileError("read", path, errno);
  }

  std::istream& stream() { return named() ? file_ : std::cin; }
  bool line(std::string& into) { return static_cast<bool>(std::getline(stream(), into)); }
  /// Directories open and cannot be read, for one.
  void check() {
    if (stream().bad()) throw sync::FileError("read", named() ? path_ : "standard input", errno);
  }

 private:
  bool named() const { return !path_.empty() && path_ != "-"; }

  std::string path_;
  InputFile file_;
};

void print(const std::string& line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
}

/// Somebody may wait for each line before writing the next.
void flush() {
  if (std::fflush(stdout) != 0) throw sync::FileError("write", "standard output", errno);
}

int ended(bool good) {
  flush();
  return static_cast<int>(good ? ExitCode::equal : ExitCode::usage);
}

// Lines of {"type", ...}.

bool refuse(const std::string* type, const std::string& why) {
  JsonLine line;
  if (type) line.add("type", *type);
  print(line.add("error", why).take());
  return false;
}

const std::string* text_member(const Json& json, std::string_view name) {
  const Json* member = json.find(name);
  return member && member->kind == Json::Kind::text ? &member->text : nullptr;
}

/// {"type", "fields", "hex"} for bytes of a known type.
bool print_value(const TypeInfo& type, std::span<const std::byte> bytes) {
  std::string fields;
  ByteBuffer again;
  DecodeError error;
  const std::string name(type.name);
  if (!type.to_json(bytes, fields, again, error)) return refuse(&name, error.text());
  print(JsonLine().add("type", name).add_json("fields", fields).add("hex", to_hex(again)).take());
  return true;
}

bool decode_value(const TypeInfo& type, const Json& json) {
  const std::string name(type.name);
  const std::string* const hex = text_member(json, "hex");
  const auto bytes = hex ? from_hex(*hex) : std::nullopt;
  if (!bytes)
    return refuse(&name,
                  hex ? "hex: expected an even number of hexadecimal digits" : "hex: expected a text, seen none");
  return print_value(type, bytes_of(*bytes));
}

bool encode_value(const TypeInfo& type, const Json& json) {
  const std::string name(type.name);
  const Json* const fields = json.find("fields");
  if (!fields) return refuse(&name, "fields: expected an object, seen nothing");
  ByteBuffer bytes;
  std::string why;
  if (!type.from_json(*fields, bytes, why)) return refuse(&name, why);
  return print_value(type, bytes);
}

bool convert_line(const std::string& line, bool (*convert)(const TypeInfo&, const Json&)) {
  Json json;
  try {
    json = Json::parse(line);
  } catch (const JsonError& error) {
    return refuse(nullptr, error.what());
  }
  const std::string* const name = text_member(json, "type");
  if (!name) return refuse(nullptr, "type: expected the name of a structure or message, seen none");
  const TypeInfo* const type = find_type(*name);
  return type ? convert(*type, json) : refuse(name, "no structure or message has this name");
}

int convert_lines(const CodecOptions& options, bool (*convert)(const TypeInfo&, const Json&)) {
  Input input(options.file);
  bool good = true;
  for (std::string line; input.line(line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    good = convert_line(line, convert) && good;
    flush();
  }
  input.check();
  return ended(good);
}

// Frames.

/// Cuts what arrives into frames and prints each.
class FramePrinter {
 public:
  /// `about`: what each line begins with.
  FramePrinter(Framing framing, std::size_t payload_bytes_max, JsonLine about)
      : framing_(framing), payload_bytes_max_(payload_bytes_max), about_(std::move(about)) {}

  void add(std::span<const std::byte> bytes) {
    if (broken_) return;
    waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
    std::size_t done = 0;
    while (!broken_ && print_next(std::span<const std::byte>(waiting_).subspan(done), done)) {}
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(done));
  }
  /// Nothing more comes.
  void end() {
    if (!broken_ && !waiting_.empty())
      fail(fmt::format("{} bytes are left, which are no whole frame", waiting_.size()));
  }
  /// What comes could not be understood.
  void fail(const std::string& why) {
    JsonLine line = about_;
    print(line.add("error", why).take());
    broken_ = true;
    good_ = false;
  }
  bool good() const noexcept { return good_; }

 private:
  bool print_next(std::span<const std::byte> bytes, std::size_t& done) {
    FrameHeader header;
    const FrameParsed parsed = parse_frame_header(bytes, framing_, payload_bytes_max_, header);
    if (parsed == FrameParsed::too_large) fail(too_large_text(header, payload_bytes_max_));
    const std::size_t head = frame_header_bytes(framing_);
    if (parsed != FrameParsed::complete || bytes.size() - head < header.length) return false;
    std::string members;
    const std::string why = append_frame_json(members, framing_, header, bytes.subspan(head, header.length));
    JsonLine line = about_;
    line.add_members(members);
    if (!why.empty()) line.add("error", why);
    good_ = good_ && why.empty();
    print(line.take());
    done += head + header.length;
    return true;
  }

  const Framing framing_;
  const std::size_t payload_bytes_max_;
  const JsonLine about_;
  std::vector<std::byte> waiting_;
  bool broken_ = false;
  bool good_ = true;
};

/// Digits with anything white and | between them; from # to the end of the line is a remark.
bool append_hex_line(std::string_view line, std::string& digits, char& wrong) {
  for (const char letter : line.substr(0, line.find('#'))) {
    if (std::string_view(" \t\r\n|").find(letter) != std::string_view::npos) continue;
    if (std::string_view("0123456789abcdefABCDEF").find(letter) == std::string_view::npos) {
      wrong = letter;
      return false;
    }
    digits += letter;
  }
  return true;
}

int decode_hex(const CodecOptions& options, Framing framing, std::string first, Input& input) {
  FramePrinter frames(framing, options.payload_bytes_max, {});
  std::string digits;
  std::size_t number = 0;
  std::string rest;
  // What was read to see of what kind the input is may hold ends of lines.
  std::vector<std::string> lines;
  for (std::size_t end = first.find('\n'); end != std::string::npos; end = first.find('\n')) {
    lines.push_back(first.substr(0, end));
    first.erase(0, end + 1);
  }
  if (input.line(rest) || !first.empty()) lines.push_back(first + rest);
  for (std::size_t i = 0;; ++i) {
    std::string line;
    if (i < lines.size()) line = std::move(lines[i]);
    else if (!input.line(line)) break;
    ++number;
    char wrong = 0;
    if (!append_hex_line(line, digits, wrong)) {
      frames.fail(fmt::format("line {}: \"{}\" is no hexadecimal digit", number, wrong));
      return ended(false);
    }
    const std::size_t whole = digits.size() / 2 * 2;
    frames.add(bytes_of(*from_hex(std::string_view(digits).substr(0, whole))));
    digits.erase(0, whole);
  }
  input.check();
  frames.end();
  if (frames.good() && !digits.empty()) frames.fail("the last byte has one digit");
  return ended(frames.good());
}

struct Direction {
  TcpStream stream;
  std::unique_ptr<FramePrinter> frames;
};

bool wanted(const CodecOptions& options, const TcpSegment& segment) {
  return options.ports.empty() || std::any_of(options.ports.begin(), options.ports.end(), [&](std::uint16_t port) {
           return port == segment.from_port || port == segment.to_port;
         });
}

int decode_capture(const CodecOptions& options, Framing framing, const std::string& first, Input& input) {
  CaptureReader capture(bytes_of(first), input.stream());
  std::map<std::pair<std::string, std::string>, Direction> directions;
  bool good = true;
  const auto end = [&](Direction& direction) {
    if (direction.stream.early_bytes() > 0) direction.frames->fail("bytes are missing from the recording");
    direction.frames->end();
    good = good && direction.frames->good();
  };
  for (TcpSegment segment; capture.next(segment);) {
    if (!wanted(options, segment)) continue;
    Direction& direction = directions[{segment.from, segment.to}];
    if (segment.begins && direction.frames) { // the same addresses again
      end(direction);
      direction = Direction();
    }
    if (!direction.frames)
      direction.frames = std::make_unique<FramePrinter>(framing, options.payload_bytes_max,
                                                        JsonLine().add("from", segment.from).add("to", segment.to));
    ByteBuffer bytes;
    const bool whole = direction.stream.add(segment, bytes);
    direction.frames->add(bytes);
    if (!whole) direction.frames->fail("bytes are missing from the recording");
  }
  input.check();
  for (auto& [addresses, direction] : directions) end(direction);
  return ended(good);
}

Framing framing_of(const CodecOptions& options) {
  const auto framing = framing_named(options.framing);
  if (!framing) throw UsageError("--framing: expected cluster, slave or p2p, seen " + options.framing);
  return *framing;
}

int decode(const CodecOptions& options) {
  if (options.json) return convert_lines(options, &decode_value);
  const Framing framing = framing_of(options);
  Input input(options.file);
  std::string first(4, '\0');
  input.stream().read(first.data(), 4);
  first.resize(static_cast<std::size_t>(input.stream().gcount()));
  input.check();
  if (CaptureReader::recognizes(bytes_of(first))) return decode_capture(options, framing, first, input);
  return decode_hex(options, framing, std::move(first), input);
}

int encode(const CodecOptions& options) {
  if (options.json) return convert_lines(options, &encode_value);
  const Framing framing = framing_of(options);
  Input input(options.file);
  bool good = true;
  std::size_t number = 0;
  for (std::string line; input.line(line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    ByteBuffer frame;
    std::string why;
    bool told = false;
    try {
      told = frame_from_json(Json::parse(line), framing, frame, why);
    } catch (const JsonError& error) {
      why = error.what();
    }
    if (told) print(to_hex(frame));
    else std::fprintf(stderr, "trunkline: line %zu: %s\n", number, why.c_str());
    good = good && told;
    flush();
  }
  input.check();
  return ended(good);
}

void add_common(CLI::App& command, CodecOptions& options) {
  command.add_option("FILE", options.file, "Instead of the standard input")->type_name(" ");
  command
      .add_option("--framing", options.framing, "cluster (master and slave), slave (two slaves) or p2p (two clusters)")
      ->capture_default_str();
}

} // namespace

Command add_quarkchain_decode(CLI::App& quarkchain) {
  const auto options = std::make_shared<CodecOptions>();
  CLI::App* const command = quarkchain.add_subcommand("decode", "Print frames as lines of JSON");
  add_common(*command, *options);
  command->add_flag("--json", options->json, "Read lines of {\"type\", \"hex\"} instead, for any structure or message");
  command
      ->add_option("--port", options->ports,
                   "Of a pcap: only connections with this port at either end; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--payload-bytes-max", options->payload_bytes_max, "The largest payload to believe in")
      ->capture_default_str();
  command->footer(
      "Reads hexadecimal digits (white space and | between them, # begins a remark), or a pcap.\n"
      "Exit codes: 0 all was understood; 1 something was not, and says so; 11 the file cannot be read.\n\n"
      "Example:\n"
      "  echo 00000009 00000000 0000000000000000 81 0000000000000001 000000000000000000 | trunkline quarkchain decode");
  return {command, [options] { return decode(*options); }};
}

Command add_quarkchain_encode(CLI::App& quarkchain) {
  const auto options = std::make_shared<CodecOptions>();
  CLI::App* const command =
      quarkchain.add_subcommand("encode", "Print the frames that lines of JSON tell, in hexadecimal");
  add_common(*command, *options);
  command->add_flag("--json", options->json,
                    "Read lines of {\"type\", \"fields\"} instead, for any structure or message");
  command->footer(
      "Reads what decode prints. A payload_hex goes before fields; other members are left alone.\n"
      "Exit codes: 0 all was encoded; 1 a line was not, and says why; 11 the file cannot be read.\n\n"
      "Example:\n"
      "  echo '{\"op_name\": \"MINE_RESPONSE\", \"rpc_id\": 7, \"fields\": {\"error_code\": 0}}' | trunkline "
      "quarkchain encode");
  return {command, [options] { return encode(*options); }};
}

} // namespace trunkline::cli
