// The ceiling: POSIX sockets, blocking, one thread per end, nothing but frames. What trunkline and the other peers
// reach is read as a share of this. Small messages leave in batches of 64 KiB per write, 64 KiB messages eight per
// gathering write; the receiver reads as much as there is and checks the frames in place.

#include "bench.hpp"
#include "socket.hpp"

#include <array>
#include <vector>

namespace {

using namespace bench;

enum Kind : std::uint32_t { kind_message, kind_open, kind_close, kind_end };

struct Header {
  std::uint32_t stream;
  std::uint32_t bytes : 24;
  std::uint32_t kind : 8;
};
static_assert(sizeof(Header) == 8);

constexpr std::size_t batch_bytes = 65536;
constexpr std::size_t bulk_per_write = 8;
constexpr std::size_t read_bytes = 256 * 1024;

Header header_of(Kind kind, std::uint32_t stream, std::size_t bytes) {
  return {stream, static_cast<std::uint32_t>(bytes) & 0xffffffu, kind};
}

char* append(char* at, Header header) {
  std::memcpy(at, &header, sizeof header);
  return at + sizeof header;
}

/// Whole frames out of large reads; a frame cut by the end of a read is completed by the next one.
class Frames {
 public:
  explicit Frames(const Socket& socket) : socket_(socket), buffer_(read_bytes + sizeof(Header)) {}

  /// Reads once and calls `on_frame(header, payload)` for each whole frame. False at the end of the connection.
  template <class OnFrame> bool read(OnFrame&& on_frame) {
    const std::size_t got = socket_.read_some(buffer_.data() + held_, buffer_.size() - held_);
    if (got == 0) return false;
    held_ += got;

    const char* at = buffer_.data();
    const char* end = at + held_;
    while (static_cast<std::size_t>(end - at) >= sizeof(Header)) {
      Header header;
      std::memcpy(&header, at, sizeof header);
      if (header.bytes > bulk_bytes) throw std::runtime_error("frame of " + std::to_string(header.bytes) + " bytes");
      if (static_cast<std::size_t>(end - at) < sizeof header + header.bytes) break;
      on_frame(header, at + sizeof header);
      at += sizeof header + header.bytes;
    }
    held_ = static_cast<std::size_t>(end - at);
    std::memmove(buffer_.data(), at, held_);
    return true;
  }

 private:
  const Socket& socket_;
  std::vector<char> buffer_;
  std::size_t held_ = 0;
};

void serve_one_way(const Options& options, const Socket& socket) {
  Checks checks(options);
  Frames frames(socket);
  const auto on_frame = [&](Header header, const char* payload) {
    if (header.kind == kind_message) {
      checks.check(payload, header.bytes, header.stream);
    } else {
      const std::uint64_t received = checks.received();
      socket.write_all(reinterpret_cast<const char*>(&received), sizeof received);
    }
  };
  while (frames.read(on_frame)) {}
}

void serve_round_trip(const Options& options, const Socket& socket) {
  Checks checks(options);
  std::array<char, sizeof(Header) + small_bytes> frame;
  for (;;) {
    const std::size_t got = socket.read_some(frame.data(), frame.size());
    if (got == 0) return;
    socket.read_exactly(frame.data() + got, frame.size() - got);
    checks.check(frame.data() + sizeof(Header), small_bytes, 0);
    socket.write_all(frame.data(), frame.size());
  }
}

void serve_opens(const Options& options, const Socket& socket) {
  Checks checks(options);
  Frames frames(socket);
  std::vector<char> replies;
  const auto on_frame = [&](Header header, const char* payload) {
    if (header.kind == kind_message) {
      checks.check(payload, header.bytes, 0);
      if (header.stream != checks.received() - 1) throw std::runtime_error("message on a stream that is not open");
    } else if (header.kind == kind_close) {
      const Header reply = header_of(kind_close, header.stream, 0);
      replies.insert(replies.end(), reinterpret_cast<const char*>(&reply), reinterpret_cast<const char*>(&reply + 1));
    }
  };
  while (frames.read(on_frame)) {
    socket.write_all(replies.data(), replies.size());
    replies.clear();
  }
}

// Connections come one after the other, each says one message and gets it back; all stay until the driver ends.
void serve_idle_connections(const Options& options, const Socket& listener) {
  allow_descriptors(options.count + 1);
  std::vector<Socket> sockets;
  std::array<char, small_bytes> message;
  while (sockets.size() < options.count + 1) {
    sockets.push_back(listener.accept());
    sockets.back().read_exactly(message.data(), message.size());
    Checks(options).check(message.data(), message.size(), 0);
    sockets.back().write_all(message.data(), message.size());
  }
  while (sockets.back().read_some(message.data(), message.size()) > 0) {}
}

/// Until one connection says something: the driver has had enough.
void serve_handshakes(const Socket& listener) {
  for (;;) {
    const Socket socket = listener.accept();
    char end = 0;
    if (socket.read_some(&end, 1) > 0) return;
  }
}

void serve(const Options& options) {
  if (options.workload == Workload::idle_circuit_bytes)
    throw Unsupported("raw sockets have no circuits to leave idle: no idle_circuit_bytes row");

  const Socket listener = Socket::listen();
  say_listening(listener.port());
  if (options.workload == Workload::idle_connection_bytes) return serve_idle_connections(options, listener);
  if (options.workload == Workload::handshakes) return serve_handshakes(listener);
  const Socket socket = listener.accept();
  if (options.one_way()) return serve_one_way(options, socket);
  if (options.workload == Workload::round_trip) return serve_round_trip(options, socket);
  return serve_opens(options, socket);
}

// Messages are built frame by frame into one buffer and leave in one write.
void drive_small(const Options& options, const Goal& goal, Stamps& stamps, const Socket& socket) {
  constexpr std::size_t frame_bytes = sizeof(Header) + small_bytes;
  std::vector<char> batch(batch_bytes);
  const std::array<char, small_bytes> message{};
  std::uint32_t stream = 0;
  while (const std::uint64_t more = goal.more(stamps.sent(), batch_bytes / frame_bytes)) {
    char* at = batch.data();
    for (std::uint64_t i = 0; i < more; ++i) {
      at = append(at, header_of(kind_message, stream, small_bytes));
      std::memcpy(at, message.data(), message.size());
      stamps.stamp(at, stream);
      at += small_bytes;
      if (++stream == options.streams()) stream = 0;
    }
    socket.write_all(batch.data(), static_cast<std::size_t>(at - batch.data()));
  }
}

// Payloads are gathered from where they lie.
void drive_bulk(const Options& options, const Goal& goal, Stamps& stamps, const Socket& socket) {
  std::vector<char> payloads(bulk_per_write * bulk_bytes, 'x');
  std::array<Header, bulk_per_write> headers;
  std::array<iovec, 2 * bulk_per_write> pieces;
  std::uint32_t stream = 0;
  while (const std::uint64_t more = goal.more(stamps.sent(), bulk_per_write)) {
    for (std::size_t i = 0; i < more; ++i) {
      char* payload = payloads.data() + i * bulk_bytes;
      stamps.stamp(payload, stream);
      headers[i] = header_of(kind_message, stream, bulk_bytes);
      pieces[2 * i] = {&headers[i], sizeof headers[i]};
      pieces[2 * i + 1] = {payload, bulk_bytes};
      if (++stream == options.streams()) stream = 0;
    }
    socket.write_all(pieces.data(), 2 * more);
  }
}

Result drive_one_way(const Options& options, const Socket& socket) {
  Stamps stamps(options);
  const Goal goal(options);
  if (options.bulk()) drive_bulk(options, goal, stamps, socket);
  else drive_small(options, goal, stamps, socket);

  const Header end = header_of(kind_end, 0, 0);
  socket.write_all(reinterpret_cast<const char*>(&end), sizeof end);
  std::uint64_t confirmed = 0;
  socket.read_exactly(reinterpret_cast<char*>(&confirmed), sizeof confirmed);
  return one_way_result(options, stamps.sent(), confirmed, goal.elapsed());
}

Result drive_round_trip(const Options& options, const Socket& socket) {
  Stamps stamps(options);
  Checks checks(options);
  RoundTrips round_trips;
  const Goal goal(options);
  std::array<char, sizeof(Header) + small_bytes> frame{};
  append(frame.data(), header_of(kind_message, 0, small_bytes));
  while (goal.more(round_trips.count(), 1) != 0) {
    round_trips.begin();
    stamps.stamp(frame.data() + sizeof(Header), 0);
    socket.write_all(frame.data(), frame.size());
    socket.read_exactly(frame.data(), frame.size());
    round_trips.end();
    checks.check(frame.data() + sizeof(Header), small_bytes, 0);
  }
  return round_trips.result();
}

// Open, message and close are three frames each; a close comes back for each.
Result drive_opens(const Options& options, const Socket& socket) {
  constexpr std::size_t open_bytes = 3 * sizeof(Header) + small_bytes;
  Stamps stamps(options);
  Frames frames(socket);
  std::vector<char> batch(opens_outstanding * open_bytes);
  std::uint64_t closed = 0;
  const Goal goal(options);
  const auto on_frame = [&](Header header, const char*) {
    if (header.kind != kind_close || header.stream != closed) throw std::runtime_error("reply out of order");
    ++closed;
  };
  for (;;) {
    const std::uint64_t room = opens_outstanding - (stamps.sent() - closed);
    const std::uint64_t more = goal.more(stamps.sent(), room);
    if (more == 0 && closed == stamps.sent()) break;
    char* at = batch.data();
    for (std::uint64_t i = 0; i < more; ++i) {
      const auto stream = static_cast<std::uint32_t>(stamps.sent());
      at = append(at, header_of(kind_open, stream, 0));
      at = append(at, header_of(kind_message, stream, small_bytes));
      stamps.stamp(at, 0);
      at = append(at + small_bytes, header_of(kind_close, stream, 0));
    }
    socket.write_all(batch.data(), static_cast<std::size_t>(at - batch.data()));
    if (!frames.read(on_frame)) throw std::runtime_error("connection ended before all opens were answered");
  }
  return {static_cast<double>(closed) / goal.elapsed(), "opens/s"};
}

Result drive_idle_connections(const Options& options) {
  allow_descriptors(options.count + 1);
  std::vector<Socket> sockets;
  const auto open_one = [&] {
    std::array<char, small_bytes> message{};
    Stamps(options).stamp(message.data(), 0);
    sockets.push_back(Socket::dial(options.port));
    sockets.back().write_all(message.data(), message.size());
    sockets.back().read_exactly(message.data(), message.size());
  };
  open_one();
  const Footprint footprint(options);
  for (std::uint64_t i = 0; i < options.count; ++i) open_one();
  return footprint.per(options.count);
}

Result drive_handshakes(const Options& options) {
  const Goal goal(options);
  std::uint64_t done = 0;
  for (; goal.more(done, 1) != 0; ++done) Socket::dial(options.port);
  const Result result{static_cast<double>(done) / goal.elapsed(), "handshakes/s"};
  Socket::dial(options.port).write_all("x", 1);
  return result;
}

Result drive(const Options& options) {
  if (options.workload == Workload::handshakes) return drive_handshakes(options);
  if (options.workload == Workload::idle_connection_bytes) return drive_idle_connections(options);
  const Socket socket = Socket::dial(options.port);
  if (options.one_way()) return drive_one_way(options, socket);
  if (options.workload == Workload::round_trip) return drive_round_trip(options, socket);
  return drive_opens(options, socket);
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, serve, drive); }
