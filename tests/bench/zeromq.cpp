// ZeroMQ at its best: one DEALER at each end, one I/O thread, queues deep enough that batches form by themselves, and
// 64 KiB payloads sent from where they lie. ZeroMQ has no streams: the stream is the id that every message is stamped
// with, and the workloads about opening and holding streams do not apply.

#include "bench.hpp"

#include <zmq.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace bench;

constexpr std::size_t end_bytes = 1;  // a message of this size says: that was all
constexpr int small_queue = 100000;
constexpr int bulk_queue = 64;

int succeeded(int result) {
  if (result < 0) throw std::runtime_error(zmq_strerror(zmq_errno()));
  return result;
}

struct Close {
  void operator()(void* socket) const { zmq_close(socket); }
};
struct Terminate {
  void operator()(void* context) const { zmq_ctx_term(context); }
};
using Context = std::unique_ptr<void, Terminate>;
using Socket = std::unique_ptr<void, Close>;

Context make_context() { return Context(zmq_ctx_new()); }

Socket make_socket(const Context& context, const Options& options, int type) {
  Socket socket(zmq_socket(context.get(), type));
  if (!socket) succeeded(-1);
  const int queue = options.bulk() ? bulk_queue : small_queue;
  const int linger = options.serving ? 10000 : 0;
  succeeded(zmq_setsockopt(socket.get(), ZMQ_SNDHWM, &queue, sizeof queue));
  succeeded(zmq_setsockopt(socket.get(), ZMQ_RCVHWM, &queue, sizeof queue));
  succeeded(zmq_setsockopt(socket.get(), ZMQ_LINGER, &linger, sizeof linger));
  return socket;
}

void listen(const Socket& socket) {
  succeeded(zmq_bind(socket.get(), "tcp://127.0.0.1:*"));
  std::array<char, 256> address{};
  std::size_t size = address.size();
  succeeded(zmq_getsockopt(socket.get(), ZMQ_LAST_ENDPOINT, address.data(), &size));
  const std::string_view text(address.data());
  say_listening(static_cast<std::uint16_t>(std::atoi(text.substr(text.rfind(':') + 1).data())));
}

void dial(const Socket& socket, const Options& options) {
  succeeded(zmq_connect(socket.get(), ("tcp://127.0.0.1:" + std::to_string(options.port)).c_str()));
}

void send(const Socket& socket, const void* data, std::size_t bytes, int flags = 0) {
  while (zmq_send(socket.get(), data, bytes, flags) < 0)
    if (zmq_errno() != EINTR) succeeded(-1);
}

/// One message, valid until the next is received.
class Inbox {
 public:
  explicit Inbox(const Socket& socket) : socket_(socket) { zmq_msg_init(&message_); }
  Inbox(const Inbox&) = delete;
  ~Inbox() { zmq_msg_close(&message_); }

  std::string_view receive() {
    while (zmq_msg_recv(&message_, socket_.get(), 0) < 0)
      if (zmq_errno() != EINTR) succeeded(-1);
    return {static_cast<const char*>(zmq_msg_data(&message_)), zmq_msg_size(&message_)};
  }

 private:
  const Socket& socket_;
  zmq_msg_t message_;
};

void serve_one_way(const Options& options, const Socket& socket) {
  Checks checks(options);
  Inbox inbox(socket);
  for (;;) {
    const std::string_view message = inbox.receive();
    if (message.size() == end_bytes) break;
    const bool stamped = message.size() >= small_bytes;
    checks.check(message.data(), message.size(), stamped ? stamped_stream(message.data()) : 0);
  }
  const std::uint64_t received = checks.received();
  send(socket, &received, sizeof received);
}

void serve_round_trip(const Options& options, const Socket& socket) {
  Checks checks(options);
  Inbox inbox(socket);
  for (;;) {
    const std::string_view message = inbox.receive();
    if (message.size() == end_bytes) return;
    checks.check(message.data(), message.size(), 0);
    send(socket, message.data(), message.size());
  }
}

// Every connection says one message, and gets it back over the one that it came from.
void serve_idle_connections(const Options& options, const Context& context) {
  const Socket socket = make_socket(context, options, ZMQ_ROUTER);
  listen(socket);
  Inbox inbox(socket);
  for (;;) {
    const std::string from(inbox.receive());
    const std::string message(inbox.receive());
    if (message.size() == end_bytes) return;
    if (message.size() != small_bytes)
      throw std::runtime_error("message of " + std::to_string(message.size()) + " bytes");
    send(socket, from.data(), from.size(), ZMQ_SNDMORE);
    send(socket, message.data(), message.size());
  }
}

void serve(const Options& options) {
  if (options.workload == Workload::opens) throw Unsupported("ZeroMQ has no streams to open: no opens row");
  if (options.workload == Workload::idle_circuit_bytes)
    throw Unsupported("ZeroMQ has no streams to leave idle: no idle_circuit_bytes row");

  const Context context = make_context();
  if (options.workload == Workload::idle_connection_bytes) return serve_idle_connections(options, context);
  const Socket socket = make_socket(context, options, ZMQ_DEALER);
  listen(socket);
  if (options.one_way()) return serve_one_way(options, socket);
  return serve_round_trip(options, socket);
}

/// 64 KiB payloads that the I/O thread gives back when they were written. More of them than both queues can hold.
class Payloads {
 public:
  explicit Payloads(std::size_t count) : payloads_(count) {
    for (Payload& payload : payloads_) payload.bytes.resize(bulk_bytes);
  }

  /// The next in turn; waits for the I/O thread where it is still out.
  char* take() {
    Payload& payload = payloads_[next_];
    payload.out.wait(true, std::memory_order_acquire);
    return payload.bytes.data();
  }

  void send(const Socket& socket) {
    Payload& payload = payloads_[next_];
    next_ = (next_ + 1) % payloads_.size();
    payload.out.store(true, std::memory_order_relaxed);
    zmq_msg_t message;
    succeeded(zmq_msg_init_data(&message, payload.bytes.data(), bulk_bytes, give_back, &payload));
    while (zmq_msg_send(&message, socket.get(), 0) < 0)
      if (zmq_errno() != EINTR) succeeded(-1);
  }

 private:
  struct Payload {
    std::vector<char> bytes;
    std::atomic<bool> out = false;
  };

  static void give_back(void*, void* hint) {
    auto& payload = *static_cast<Payload*>(hint);
    payload.out.store(false, std::memory_order_release);
    payload.out.notify_one();
  }

  std::vector<Payload> payloads_;
  std::size_t next_ = 0;
};

Result drive_one_way(const Options& options, const Context& context) {
  // The I/O thread may hold payloads until the context ends, so they live longer than that.
  static Payloads payloads(options.bulk() ? 2 * bulk_queue : 0);
  const Socket socket = make_socket(context, options, ZMQ_DEALER);
  dial(socket, options);

  Stamps stamps(options);
  std::array<char, small_bytes> small{};
  std::uint32_t stream = 0;
  const Goal goal(options);
  while (const std::uint64_t more = goal.more(stamps.sent(), options.bulk() ? 8 : 64)) {
    for (std::uint64_t i = 0; i < more; ++i) {
      if (options.bulk()) {
        stamps.stamp(payloads.take(), stream);
        payloads.send(socket);
      } else {
        stamps.stamp(small.data(), stream);
        send(socket, small.data(), small.size());
      }
      if (++stream == options.streams()) stream = 0;
    }
  }
  send(socket, "", end_bytes);

  Inbox inbox(socket);
  const std::string_view reply = inbox.receive();
  if (reply.size() != sizeof(std::uint64_t)) throw std::runtime_error("no count came back");
  return one_way_result(options, stamps.sent(), stamped_sequence(reply.data()), goal.elapsed());
}

Result drive_round_trip(const Options& options, const Context& context) {
  const Socket socket = make_socket(context, options, ZMQ_DEALER);
  dial(socket, options);
  Inbox inbox(socket);
  Stamps stamps(options);
  Checks checks(options);
  RoundTrips round_trips;
  std::array<char, small_bytes> message{};
  const Goal goal(options);
  while (goal.more(round_trips.count(), 1) != 0) {
    round_trips.begin();
    stamps.stamp(message.data(), 0);
    send(socket, message.data(), message.size());
    const std::string_view reply = inbox.receive();
    round_trips.end();
    checks.check(reply.data(), reply.size(), 0);
  }
  const int linger = 10000;
  succeeded(zmq_setsockopt(socket.get(), ZMQ_LINGER, &linger, sizeof linger));
  send(socket, "", end_bytes);
  return round_trips.result();
}

// One DEALER with many connections, over each of which it sends in turn. It would take a second connection to the same
// address for the first; what differs here is the address that they come from.
Result drive_idle_connections(const Options& options, const Context& context) {
  const Socket socket = make_socket(context, options, ZMQ_DEALER);
  Inbox inbox(socket);
  std::array<char, small_bytes> message{};
  std::uint64_t opened = 0;
  const auto open = [&](std::uint64_t connections) {
    for (std::uint64_t i = 0; i < connections; ++i, ++opened) {
      const std::string from = "127.1." + std::to_string(opened / 200) + "." + std::to_string(opened % 200 + 1);
      const std::string to = "127.0.0.1:" + std::to_string(options.port);
      succeeded(zmq_connect(socket.get(), ("tcp://" + from + ":0;" + to).c_str()));
    }
  };
  const auto use = [&](std::uint64_t connections) {
    for (std::uint64_t i = 0; i < connections; ++i) send(socket, message.data(), message.size());
    for (std::uint64_t i = 0; i < connections; ++i) inbox.receive();
  };
  open(1);
  use(1);
  const Footprint footprint(options);
  open(options.count);
  use(options.count + 1);
  const Result result = footprint.per(options.count);
  const int linger = 10000;
  succeeded(zmq_setsockopt(socket.get(), ZMQ_LINGER, &linger, sizeof linger));
  send(socket, "", end_bytes);
  return result;
}

Result drive(const Options& options) {
  const Context context = make_context();
  if (options.workload == Workload::idle_connection_bytes) return drive_idle_connections(options, context);
  if (options.one_way()) return drive_one_way(options, context);
  return drive_round_trip(options, context);
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, serve, drive); }
