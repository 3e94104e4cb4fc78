// HTTP/2 at its best: libnghttp2 directly on blocking POSIX sockets, one thread per end, windows so large that they
// never close. A circuit is a stream, a message is one DATA frame, so a message keeps its bounds. Small messages
// leave in writes of 64 KiB; 64 KiB messages are frames of 64 KiB, gathered without a copy, 1 MiB per write.

#include "bench.hpp"
#include "socket.hpp"

#include <nghttp2/nghttp2.h>

#include <array>
#include <exception>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace bench;

constexpr std::size_t copied_bytes_per_write = 65536;
constexpr std::size_t gathered_per_write = 16;
constexpr std::size_t frame_header_bytes = 9;
constexpr std::size_t read_bytes = 256 * 1024;
constexpr std::size_t frame_bytes_max = 1024 * 1024;
constexpr std::int32_t window = 0x7fffffff;

nghttp2_nv header(std::string_view name, std::string_view value) {
  return {const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(name.data())),
          const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

int succeeded(int result) {
  if (result < 0) throw std::runtime_error(nghttp2_strerror(result));
  return result;
}

/// One end of one HTTP/2 connection. What comes in goes to the virtual functions; an exception in one of them is
/// carried past the C library and thrown by receive() or flush().
class Connection {
 public:
  Connection(Socket socket, const Options& options)
      : socket_(std::move(socket)), options_(options), message_bytes_(options.message_bytes()) {
    start();
  }
  Connection(const Connection&) = delete;
  virtual ~Connection() { nghttp2_session_del(session_); }

  /// Sends all there is to send.
  void flush() {
    for (;;) {
      const std::uint8_t* data = nullptr;
      const ssize_t bytes = nghttp2_session_mem_send(session_, &data);
      rethrow();
      succeeded(static_cast<int>(bytes));
      const bool gathered_full = gathered_count_ == gathered_per_write;
      if (gathered_count_ > 0) flush_gathered();
      if (bytes == 0 && !gathered_full) return flush_copied();
      std::memcpy(out_buffer() + out_bytes_, data, static_cast<std::size_t>(bytes));
      out_bytes_ += static_cast<std::size_t>(bytes);
      if (gathered_full || out_bytes_ >= copied_bytes_per_write) {
        flush_copied();
        take_ready();
      }
    }
  }

  /// Waits for what one read brings and handles it. False at the end of the connection.
  bool receive() {
    const std::size_t got = socket_.read_some(read_buffer(), read_bytes);
    return got != 0 && take(got);
  }

  /// Waits until the far side has opened its windows.
  void await_windows() {
    flush();
    while (nghttp2_session_get_remote_window_size(session_) != window)
      if (!receive()) throw std::runtime_error("connection ended before it was set up");
  }

 protected:
  virtual void on_header(std::string_view, std::string_view) {}
  /// A header block has ended: a request at the answering end, a response at the asking one.
  virtual void on_headers(std::int32_t) {}
  virtual void on_piece(std::int32_t stream, const char* data, std::size_t bytes) = 0;
  virtual void on_end(std::int32_t stream) = 0;
  virtual void on_pong() {}
  /// The next body bytes of a stream: NGHTTP2_ERR_DEFERRED, or bytes at `to` (unless `flags` say not to copy).
  virtual ssize_t produce(std::int32_t stream, char* to, std::size_t bytes, std::uint32_t* flags) = 0;
  /// The payload for a DATA frame that produce() has promised without copying.
  virtual char* gather(std::int32_t) { throw std::logic_error("nothing to gather"); }

  nghttp2_data_provider provider() {
    nghttp2_data_provider provider{};
    provider.source.ptr = this;
    provider.read_callback = [](nghttp2_session*, std::int32_t stream, std::uint8_t* to, std::size_t bytes,
                                std::uint32_t* flags, nghttp2_data_source* source, void*) -> ssize_t {
      auto& self = *static_cast<Connection*>(source->ptr);
      return self.produce(stream, reinterpret_cast<char*>(to), bytes, flags);
    };
    return provider;
  }

  std::int32_t request() {
    static const std::array headers{header(":method", "POST"), header(":scheme", "http"), header(":authority", "bench"),
                                    header(":path", "/")};
    const nghttp2_data_provider body = provider();
    return succeeded(nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(), &body, nullptr));
  }

  void respond_and_stay_open(std::int32_t stream) {
    const std::array headers{header(":status", "200")};
    const nghttp2_data_provider body = provider();
    succeeded(nghttp2_submit_response(session_, stream, headers.data(), headers.size(), &body));
  }

  void respond_and_end(std::int32_t stream) {
    const std::array headers{header(":status", "200")};
    succeeded(nghttp2_submit_response(session_, stream, headers.data(), headers.size(), nullptr));
  }

  void respond_received(std::int32_t stream, std::uint64_t received) {
    const std::string digits = std::to_string(received);
    std::array headers{header(":status", "200"), header("received", digits)};
    headers[1].flags = NGHTTP2_NV_FLAG_NONE;
    succeeded(nghttp2_submit_response(session_, stream, headers.data(), headers.size(), nullptr));
  }

  /// Has produce() asked again; nothing happens where it has not deferred yet.
  void resume(std::int32_t stream) {
    const int result = nghttp2_session_resume_data(session_, stream);
    if (result != NGHTTP2_ERR_INVALID_ARGUMENT) succeeded(result);
  }
  void ping() { succeeded(nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr)); }

  /// How many frames are gathered and not yet sent: their payloads must stay as they are.
  std::size_t gathered_count() const { return gathered_count_; }

 private:
  void start() {
    nghttp2_session_callbacks* callbacks = nullptr;
    succeeded(nghttp2_session_callbacks_new(&callbacks));
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, begin_frame);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, header_field);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, frame_length);
    nghttp2_option* option = nullptr;
    succeeded(nghttp2_option_new(&option));
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1);
    if (options_.serving) succeeded(nghttp2_session_server_new2(&session_, callbacks, this, option));
    else succeeded(nghttp2_session_client_new2(&session_, callbacks, this, option));
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);

    const std::array<nghttp2_settings_entry, 3> settings{
        {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<std::uint32_t>(window)},
         {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1u << 30},
         {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, frame_bytes_max}}};
    succeeded(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()));
    succeeded(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, window));
  }

  // Buffers that several connections of a process can share: nothing stays in them between two calls.
  static char* read_buffer() {
    static std::vector<char> buffer(read_bytes);
    return buffer.data();
  }
  static char* out_buffer() {
    static std::vector<char> buffer(copied_bytes_per_write + frame_bytes_max);
    return buffer.data();
  }

  bool take(std::size_t bytes) {
    const ssize_t taken =
        nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(read_buffer()), bytes);
    rethrow();
    succeeded(static_cast<int>(taken));
    return true;
  }

  // Between two writes: window updates and resets must not pile up unread.
  void take_ready() {
    std::size_t got = 0;
    if (!socket_.read_ready(read_buffer(), read_bytes, got)) return;
    if (got == 0) throw std::runtime_error("connection ended while sending");
    take(got);
  }

  void flush_copied() { socket_.write_all(out_buffer(), std::exchange(out_bytes_, 0)); }

  // What was copied before the gathered frames goes out in front of them.
  void flush_gathered() {
    std::array<iovec, 2 * gathered_per_write + 1> pieces;
    std::size_t count = 0;
    if (out_bytes_ > 0) pieces[count++] = {out_buffer(), out_bytes_};
    for (std::size_t i = 0; i < gathered_count_; ++i) {
      pieces[count++] = {gathered_headers_[i].data(), frame_header_bytes};
      pieces[count++] = {gathered_[i], message_bytes_};
    }
    socket_.write_all(pieces.data(), count);
    gathered_count_ = 0;
    out_bytes_ = 0;
  }

  void rethrow() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  template <class Act> static int guarded(void* user, Act&& act) {
    auto& self = *static_cast<Connection*>(user);
    try {
      act(self);
      return 0;
    } catch (...) {
      self.error_ = std::current_exception();
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
  }

  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
    return guarded(user, [&](Connection& self) {
      if (head->type == NGHTTP2_DATA && head->length != 0 && head->length != self.message_bytes_)
        throw std::runtime_error("message of " + std::to_string(head->length) + " bytes on stream " +
                                 std::to_string(head->stream_id) + ", expected " + std::to_string(self.message_bytes_));
    });
  }

  static int header_field(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_bytes,
                          const std::uint8_t* value, std::size_t value_bytes, std::uint8_t, void* user) {
    return guarded(user, [&](Connection& self) {
      self.on_header({reinterpret_cast<const char*>(name), name_bytes},
                     {reinterpret_cast<const char*>(value), value_bytes});
    });
  }

  static int data_chunk(nghttp2_session*, std::uint8_t, std::int32_t stream, const std::uint8_t* data,
                        std::size_t bytes, void* user) {
    return guarded(user, [&](Connection& self) { self.on_piece(stream, reinterpret_cast<const char*>(data), bytes); });
  }

  static int frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    return guarded(user, [&](Connection& self) {
      if (frame->hd.type == NGHTTP2_HEADERS) self.on_headers(frame->hd.stream_id);
      if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) self.on_pong();
      const bool carries_end = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
      if (carries_end && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) self.on_end(frame->hd.stream_id);
      if (frame->hd.type == NGHTTP2_GOAWAY || frame->hd.type == NGHTTP2_RST_STREAM)
        throw std::runtime_error("the far side gave up");
    });
  }

  static int send_data(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* head, std::size_t,
                       nghttp2_data_source*, void* user) {
    auto& self = *static_cast<Connection*>(user);
    if (self.gathered_count_ == gathered_per_write) return NGHTTP2_ERR_WOULDBLOCK;
    std::memcpy(self.gathered_headers_[self.gathered_count_].data(), head, frame_header_bytes);
    self.gathered_[self.gathered_count_] = self.gather(frame->hd.stream_id);
    ++self.gathered_count_;
    return 0;
  }

  static ssize_t frame_length(nghttp2_session*, std::uint8_t, std::int32_t, std::int32_t session_window,
                              std::int32_t stream_window, std::uint32_t frame_allowed, void* user) {
    const auto message = static_cast<ssize_t>(static_cast<Connection*>(user)->message_bytes_);
    const bool fits =
        message <= session_window && message <= stream_window && message <= static_cast<ssize_t>(frame_allowed);
    return fits ? message : static_cast<ssize_t>(NGHTTP2_ERR_CALLBACK_FAILURE);
  }

  Socket socket_;
  Options options_;
  std::size_t message_bytes_;
  nghttp2_session* session_ = nullptr;
  std::size_t out_bytes_ = 0;
  std::size_t gathered_count_ = 0;
  std::array<std::array<char, frame_header_bytes>, gathered_per_write> gathered_headers_;
  std::array<char*, gathered_per_write> gathered_;
  std::exception_ptr error_;
};

/// A message per DATA frame, which may come in several pieces; only its first and last bytes are looked at.
class Piecewise {
 public:
  explicit Piecewise(const Options& options) : checks_(options), message_bytes_(options.message_bytes()) {}

  /// True when the message is complete. A DATA frame is never mixed with another, so one partial message is enough.
  bool take(const char* data, std::size_t bytes, std::uint32_t stream) {
    if (at_ == 0 && bytes == message_bytes_) {
      std::memcpy(first_, data, sizeof first_);
      std::memcpy(last_, data + bytes - sizeof last_, sizeof last_);
    } else {
      for (std::size_t i = 0; i < std::min(bytes, sizeof first_ - std::min(at_, sizeof first_)); ++i)
        first_[at_ + i] = data[i];
      const std::size_t last_at = message_bytes_ - sizeof last_;
      for (std::size_t i = at_ < last_at ? std::min(bytes, last_at - at_) : 0; i < bytes; ++i)
        last_[at_ + i - last_at] = data[i];
      at_ += bytes;
      if (at_ < message_bytes_) return false;
    }
    at_ = 0;
    checks_.check_ends(first_, last_, stream);
    return true;
  }

  const Checks& checks() const { return checks_; }

 private:
  Checks checks_;
  std::size_t message_bytes_;
  std::size_t at_ = 0;
  char first_[12] = {};
  char last_[8] = {};
};

/// HTTP/2 numbers the streams of the asking end 1, 3, 5 ...; only one-way runs stamp more than one.
std::uint32_t stamped_for(const Options& options, std::int32_t stream) {
  return options.one_way() ? static_cast<std::uint32_t>(stream - 1) / 2 : 0;
}

class Serving : public Connection {
 public:
  Serving(Socket socket, const Options& options)
      : Connection(std::move(socket), options), options_(options), messages_(options), echoes_(options) {}

  bool answered() const { return answered_; }

 protected:
  void on_headers(std::int32_t stream) override {
    if (options_.workload == Workload::round_trip) respond_and_stay_open(stream);
  }

  void on_piece(std::int32_t stream, const char* data, std::size_t bytes) override {
    const bool whole = messages_.take(data, bytes, stamped_for(options_, stream));
    if (whole && options_.workload == Workload::round_trip) resume(stream);
  }

  void on_end(std::int32_t stream) override {
    if (options_.one_way()) respond_received(stream, messages_.checks().received(stamped_for(options_, stream)));
    else respond_and_end(stream);
    answered_ = true;
  }

  ssize_t produce(std::int32_t, char* to, std::size_t, std::uint32_t*) override {
    if (echoes_.sent() == messages_.checks().received()) return NGHTTP2_ERR_DEFERRED;
    std::memset(to, 0, small_bytes);
    echoes_.stamp(to, 0);
    return small_bytes;
  }

 private:
  Options options_;
  Piecewise messages_;
  Stamps echoes_;
  bool answered_ = false;
};

// Connections come one after the other, each asks once; all stay until the driver ends.
void serve_idle_connections(const Options& options, const Socket& listener) {
  allow_descriptors(options.count + 1);
  std::vector<std::unique_ptr<Serving>> connections;
  while (connections.size() < options.count + 1) {
    connections.push_back(std::make_unique<Serving>(listener.accept(), options));
    connections.back()->flush();
    while (!connections.back()->answered() && connections.back()->receive()) connections.back()->flush();
  }
  while (connections.back()->receive()) {}
}

void serve(const Options& options) {
  const Socket listener = Socket::listen();
  say_listening(listener.port());
  if (options.workload == Workload::idle_connection_bytes) return serve_idle_connections(options, listener);
  Serving connection(listener.accept(), options);
  connection.flush();
  while (connection.receive()) connection.flush();
}

class Driving : public Connection {
 public:
  explicit Driving(const Options& options)
      : Connection(Socket::dial(options.port), options), options_(options), stamps_(options), replies_(options),
        payloads_(options.bulk() ? gathered_per_write * bulk_bytes : 0), goal_(options) {
    await_windows();
    goal_ = Goal(options);
  }

  Result one_way() {
    for (std::uint32_t i = 0; i < options_.streams(); ++i) request();
    flush();
    wait([&] { return ended_ == options_.streams(); });
    return one_way_result(options_, stamps_.sent(), confirmed_, goal_.elapsed());
  }

  Result round_trip() {
    RoundTrips round_trips;
    const std::int32_t stream = request();
    while (goal_.more(round_trips.count(), 1) != 0) {
      round_trips.begin();
      allowed_ = round_trips.count() + 1;
      if (round_trips.count() > 0) resume(stream);
      flush();
      wait([&] { return replies_.checks().received() == allowed_; });
      round_trips.end();
    }
    return round_trips.result();
  }

  Result opens() {
    std::uint64_t opened = 0;
    for (;;) {
      const std::uint64_t more = goal_.more(opened, opens_outstanding - (opened - ended_));
      if (more == 0 && opened == ended_) break;
      for (std::uint64_t i = 0; i < more; ++i) request();
      opened += more;
      flush();
      if (!receive()) throw std::runtime_error("connection ended before all opens were answered");
    }
    return {static_cast<double>(ended_) / goal_.elapsed(), "opens/s"};
  }

  /// Opens a stream, says one message on it and leaves it open.
  void open_idle() {
    allowed_ = stamps_.sent() + 1;
    request();
    flush();
  }

  /// Waits until the far side has handled all that was sent.
  void settle() {
    ponged_ = false;
    ping();
    flush();
    wait([&] { return ponged_; });
  }

  void ask_once() {
    request();
    flush();
    wait([&] { return ended_ == 1; });
  }

 protected:
  void on_header(std::string_view name, std::string_view value) override {
    if (name == "received") confirmed_ += std::strtoull(value.data(), nullptr, 10);
  }
  void on_piece(std::int32_t, const char* data, std::size_t bytes) override { replies_.take(data, bytes, 0); }
  void on_end(std::int32_t) override { ++ended_; }
  void on_pong() override { ponged_ = true; }

  ssize_t produce(std::int32_t stream, char* to, std::size_t, std::uint32_t* flags) override {
    switch (options_.workload) {
      case Workload::one_way_64:
      case Workload::one_way_64_x100:
      case Workload::bulk_64k:
      case Workload::bulk_64k_x16: return produce_one_way(stream, to, flags);
      case Workload::opens:
      case Workload::idle_connection_bytes: *flags |= NGHTTP2_DATA_FLAG_EOF; break;
      case Workload::quarkchain_root_block:
      case Workload::calls_64: break; // not asked of it
      case Workload::round_trip:
      case Workload::idle_circuit_bytes:
        if (stamps_.sent() == allowed_) return NGHTTP2_ERR_DEFERRED;
        break;
    }
    std::memset(to, 0, small_bytes);
    stamps_.stamp(to, 0);
    return small_bytes;
  }

  char* gather(std::int32_t stream) override {
    char* payload = payloads_.data() + gathered_count() * bulk_bytes;
    stamps_.stamp(payload, stamped_for(options_, stream));
    return payload;
  }

 private:
  // The clock is read for one message in `batch`. `granted_` counts the frames that may still be promised.
  ssize_t produce_one_way(std::int32_t stream, char* to, std::uint32_t* flags) {
    constexpr std::uint64_t batch = 64;
    if (granted_ == 0) granted_ = goal_.more(promised_, options_.bulk() ? gathered_per_write : batch);
    if (granted_ == 0) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      return 0;
    }
    --granted_;
    ++promised_;
    if (options_.bulk()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
      return bulk_bytes;
    }
    std::memset(to, 0, small_bytes);
    stamps_.stamp(to, stamped_for(options_, stream));
    return small_bytes;
  }

  template <class Done> void wait(Done&& done) {
    while (!done()) {
      if (!receive()) throw std::runtime_error("connection ended while waiting for the far side");
      flush();
    }
  }

  Options options_;
  Stamps stamps_;
  Piecewise replies_;
  std::vector<char> payloads_;
  Goal goal_;
  std::uint64_t promised_ = 0;
  std::uint64_t granted_ = 0;
  std::uint64_t allowed_ = 0;
  std::uint64_t ended_ = 0;
  std::uint64_t confirmed_ = 0;
  bool ponged_ = false;
};

Result drive_idle_circuits(const Options& options) {
  Driving connection(options);
  connection.open_idle();
  connection.settle();
  const Footprint footprint(options);
  for (std::uint64_t i = 0; i < options.count; ++i) connection.open_idle();
  connection.settle();
  return footprint.per(options.count);
}

Result drive_idle_connections(const Options& options) {
  allow_descriptors(options.count + 1);
  std::vector<std::unique_ptr<Driving>> connections;
  const auto open_one = [&] {
    connections.push_back(std::make_unique<Driving>(options));
    connections.back()->ask_once();
  };
  open_one();
  const Footprint footprint(options);
  for (std::uint64_t i = 0; i < options.count; ++i) open_one();
  return footprint.per(options.count);
}

Result drive(const Options& options) {
  if (options.workload == Workload::idle_circuit_bytes) return drive_idle_circuits(options);
  if (options.workload == Workload::idle_connection_bytes) return drive_idle_connections(options);
  Driving connection(options);
  if (options.one_way()) return connection.one_way();
  if (options.workload == Workload::round_trip) return connection.round_trip();
  return connection.opens();
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, serve, drive); }
