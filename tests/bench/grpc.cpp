// gRPC C++ at its best: callback streams with buffer hints for one-way runs, callbacks for opens; for round trips the
// synchronous interface at one end and a polled queue at the other; large windows and frames. A circuit is a stream of
// one channel.

#include "bench.hpp"

#include "bench.grpc.pb.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace {

using namespace bench;
using wire::Bench;
using wire::Message;
using wire::Received;

// A stream costs about 40 kB here: 100,000 of them would be more than the machine has.
constexpr std::uint64_t idle_circuits_max = 10000;
constexpr int window_bytes = 64 * 1024 * 1024;
constexpr int frame_bytes = 1024 * 1024;
constexpr int write_buffer_bytes = 1024 * 1024;

grpc::Status mismatch(const std::exception& error) { return {grpc::StatusCode::DATA_LOSS, error.what()}; }

void require(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error("call failed: " + status.error_message());
}

/// Counts down or up between gRPC's threads and ours.
class Tally {
 public:
  void add() {
    const std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  void fail(std::string why) {
    const std::lock_guard lock(mutex_);
    if (why_.empty()) why_ = std::move(why);
    changed_.notify_all();
  }
  void await(std::uint64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return count_ >= count || !why_.empty(); });
    if (!why_.empty()) throw std::runtime_error(why_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t count_ = 0;
  std::string why_;
};

/// The messages of unary calls, which may overtake each other: each must come once, and at the end none be missing.
class OpenChecks {
 public:
  void check(const std::string& data) {
    if (data.size() != small_bytes) throw std::runtime_error("message of " + std::to_string(data.size()) + " bytes");
    const std::uint64_t sequence = stamped_sequence(data.data());
    if (stamped_sequence(data.data() + small_bytes - sizeof sequence) != ~sequence)
      throw std::runtime_error("end of message " + std::to_string(sequence) + " does not match its beginning");
    const std::lock_guard lock(mutex_);
    if (seen_.size() <= sequence) seen_.resize(2 * sequence + 1024, false);
    if (seen_[sequence]) throw std::runtime_error("sequence " + std::to_string(sequence) + " came twice");
    seen_[sequence] = true;
  }

  void check_all(std::uint64_t count) {
    const std::lock_guard lock(mutex_);
    const auto missing = static_cast<std::uint64_t>(std::find(seen_.begin(), seen_.end(), false) - seen_.begin());
    if (missing < count)
      throw std::runtime_error("sequence " + std::to_string(missing + 1) + " on stream 0, expected " +
                               std::to_string(missing));
  }

 private:
  std::mutex mutex_;
  std::vector<bool> seen_;
};

/// What all calls of the serving end share. `finished` fails with the first mismatch that any of them has seen.
struct Run {
  explicit Run(const Options& given) : options(given) {}
  const Options options;
  OpenChecks opens;
  Tally finished;
};

/// A stream is checked by itself: its first message says which it is.
class StreamChecks {
 public:
  explicit StreamChecks(const Options& options) : checks_(options) {}
  void check(const Message& message) {
    const std::string& data = message.data();
    if (first_ && data.size() >= small_bytes) stream_ = stamped_stream(data.data());
    first_ = false;
    checks_.check(data.data(), data.size(), stream_);
  }
  std::uint64_t received() const { return checks_.received(); }

 private:
  Checks checks_;
  bool first_ = true;
  std::uint32_t stream_ = 0;
};

class Receiving : public grpc::ServerReadReactor<Message> {
 public:
  Receiving(Run& run, Received* received) : run_(run), checks_(run.options), received_(received) {
    StartRead(&message_);
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) {
      received_->set_messages(checks_.received());
      return Finish(grpc::Status::OK);
    }
    try {
      checks_.check(message_);
      StartRead(&message_);
    } catch (const std::exception& error) {
      run_.finished.fail(error.what());
      Finish(mismatch(error));
    }
  }
  void OnDone() override { delete this; }

  Run& run_;
  StreamChecks checks_;
  Received* received_;
  Message message_;
};

class BudgetShare : public grpc::ServerBidiReactor<Message, Message> {
 public:
  BudgetShare() : message_(std::make_unique<Message>()) { StartRead(message_.get()); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    if (message_->data().size() == small_bytes) StartWrite(message_.get());
    else Finish({grpc::StatusCode::DATA_LOSS, "message of the wrong size"});
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return;
    message_->Clear();
    StartRead(message_.get());
  }
  void OnDone() override { delete this; }

  std::unique_ptr<Message> message_;
};

using Callbacks = Bench::WithCallbackMethod_Receive<
    Bench::WithCallbackMethod_Hold<Bench::WithCallbackMethod_Open<Bench::WithCallbackMethod_Finish<Bench::Service>>>>;

class Serving : public Callbacks {
 public:
  explicit Serving(Run& run) : run_(run) {}

  grpc::ServerReadReactor<Message>* Receive(grpc::CallbackServerContext*, Received* received) override {
    return new Receiving(run_, received);
  }

  grpc::ServerBidiReactor<Message, Message>* Hold(grpc::CallbackServerContext*) override { return new BudgetShare; }

  grpc::ServerUnaryReactor* Open(grpc::CallbackServerContext* context, const Message* message,
                                 Message* reply) override {
    auto* reactor = context->DefaultReactor();
    try {
      if (run_.options.workload == Workload::opens) run_.opens.check(message->data());
      reply->set_data(message->data());
      reactor->Finish(grpc::Status::OK);
    } catch (const std::exception& error) {
      run_.finished.fail(error.what());
      reactor->Finish(mismatch(error));
    }
    return reactor;
  }

  grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context, const Received* sent, Received*) override {
    auto* reactor = context->DefaultReactor();
    try {
      if (run_.options.workload == Workload::opens) run_.opens.check_all(sent->messages());
      run_.finished.add();
      reactor->Finish(grpc::Status::OK);
    } catch (const std::exception& error) {
      run_.finished.fail(error.what());
      reactor->Finish(mismatch(error));
    }
    return reactor;
  }

 private:
  Run& run_;
};

// Round trips: one thread that both polls and answers. With the synchronous interface, or with callbacks, one
// thread polls and has to wake another that answers, which takes longer.
void serve_round_trip(const Options& options, Bench::AsyncService& service, grpc::ServerCompletionQueue& queue) {
  const auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  StreamChecks checks(options);
  Message message;
  grpc::ServerContext context;
  grpc::ServerAsyncReaderWriter<Message, Message> stream(&context);
  service.RequestEcho(&context, &stream, &queue, &queue, nullptr);
  if (!next()) throw std::runtime_error("no stream was opened");
  grpc::Status status = grpc::Status::OK;
  std::exception_ptr error;
  try {
    for (;;) {
      stream.Read(&message, nullptr);
      if (!next()) break;
      checks.check(message);
      stream.Write(message, nullptr);
      if (!next()) break;
    }
  } catch (const std::exception& failure) {
    status = mismatch(failure);
    error = std::current_exception();
  }
  stream.Finish(status, nullptr);
  next();
  if (error) std::rethrow_exception(error);

  Received received;
  grpc::ServerContext finish_context;
  grpc::ServerAsyncResponseWriter<Received> finish(&finish_context);
  service.RequestFinish(&finish_context, &received, &finish, &queue, &queue, nullptr);
  if (!next()) throw std::runtime_error("the run was not finished");
  finish.Finish(received, grpc::Status::OK, nullptr);
  next();
}

void serve(const Options& options) {
  Run run(options);
  Serving calling_back(run);
  Bench::AsyncService polled;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, window_bytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, frame_bytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, write_buffer_bytes);
  if (options.workload == Workload::round_trip) {
    builder.RegisterService(&polled);
    queue = builder.AddCompletionQueue();
  } else {
    builder.RegisterService(&calling_back);
  }
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) throw std::runtime_error("server did not start");
  say_listening(static_cast<std::uint16_t>(port));

  const auto shut_down = [&] {
    server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
    if (!queue) return;
    queue->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue->Next(&tag, &ok)) {}
  };
  try {
    if (queue) serve_round_trip(options, polled, *queue);
    else run.finished.await(1);
  } catch (...) {
    shut_down();
    throw;
  }
  shut_down();
}

std::shared_ptr<grpc::Channel> dial(const Options& options) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, window_bytes);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, frame_bytes);
  arguments.SetInt(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, write_buffer_bytes);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(options.port), grpc::InsecureChannelCredentials(),
                                   arguments);
}

void finish(Bench::Stub& stub, std::uint64_t sent) {
  grpc::ClientContext context;
  Received received;
  Received reply;
  received.set_messages(sent);
  require(stub.Finish(&context, received, &reply));
}

/// The messages of all streams of a one-way run, from any of gRPC's threads.
class Supply {
 public:
  explicit Supply(const Options& options) : stamps_(options), goal_(options) {}

  bool next(std::uint32_t stream, std::string& data) {
    const std::lock_guard lock(mutex_);
    if (granted_ == 0) granted_ = goal_.more(stamps_.sent(), 16);
    if (granted_ == 0) return false;
    --granted_;
    stamps_.stamp(data.data(), stream);
    return true;
  }
  std::uint64_t sent() const { return stamps_.sent(); }
  double elapsed() const { return goal_.elapsed(); }

 private:
  std::mutex mutex_;
  Stamps stamps_;
  Goal goal_;
  std::uint64_t granted_ = 0;
};

class Sending : public grpc::ClientWriteReactor<Message> {
 public:
  Sending(Bench::Stub& stub, Supply& supply, Tally& done, const Options& options, std::uint32_t stream)
      : supply_(supply), done_(done), stream_(stream), hint_(grpc::WriteOptions().set_buffer_hint()) {
    message_.mutable_data()->resize(options.message_bytes());
    stub.async()->Receive(&context_, &received_, this);
  }

  void start() {
    AddHold();
    StartCall();
    write();
    RemoveHold();
  }
  std::uint64_t received() const { return received_.messages(); }

 private:
  void write() {
    if (supply_.next(stream_, *message_.mutable_data())) StartWrite(&message_, hint_);
    else StartWritesDone();
  }
  void OnWriteDone(bool ok) override {
    if (ok) write();
  }
  void OnDone(const grpc::Status& status) override {
    if (status.ok()) done_.add();
    else done_.fail("call failed: " + status.error_message());
  }

  Supply& supply_;
  Tally& done_;
  std::uint32_t stream_;
  grpc::WriteOptions hint_;
  grpc::ClientContext context_;
  Message message_;
  Received received_;
};

Result drive_one_way(const Options& options, Bench::Stub& stub) {
  Tally done;
  Supply supply(options);
  std::vector<std::unique_ptr<Sending>> streams;
  for (std::uint32_t i = 0; i < options.streams(); ++i)
    streams.push_back(std::make_unique<Sending>(stub, supply, done, options, i));
  for (const auto& stream : streams) stream->start();
  done.await(streams.size());
  const double elapsed = supply.elapsed();

  std::uint64_t confirmed = 0;
  for (const auto& stream : streams) confirmed += stream->received();
  return one_way_result(options, supply.sent(), confirmed, elapsed);
}

Result drive_round_trip(const Options& options, Bench::Stub& stub) {
  Stamps stamps(options);
  Checks checks(options);
  RoundTrips round_trips;
  grpc::ClientContext context;
  const auto stream = stub.Echo(&context);
  Message message;
  Message reply;
  message.mutable_data()->resize(small_bytes);
  const Goal goal(options);
  while (goal.more(round_trips.count(), 1) != 0) {
    round_trips.begin();
    stamps.stamp(message.mutable_data()->data(), 0);
    if (!stream->Write(message) || !stream->Read(&reply)) break;
    round_trips.end();
    checks.check(reply.data().data(), reply.data().size(), 0);
  }
  stream->WritesDone();
  require(stream->Finish());
  return round_trips.result();
}

/// One place for an unanswered open; when it is answered it opens the next.
class Opening {
 public:
  Opening(Bench::Stub& stub, Supply& supply, Tally& done) : stub_(stub), supply_(supply), done_(done) {
    message_.mutable_data()->resize(small_bytes);
  }

  void open() {
    if (!supply_.next(0, *message_.mutable_data())) return done_.add();
    context_ = std::make_unique<grpc::ClientContext>();
    stub_.async()->Open(context_.get(), &message_, &reply_, [this](const grpc::Status& status) {
      if (!status.ok()) done_.fail("call failed: " + status.error_message());
      else if (reply_.data() != message_.data()) done_.fail("reply to another message");
      else open();
    });
  }

 private:
  Bench::Stub& stub_;
  Supply& supply_;
  Tally& done_;
  std::unique_ptr<grpc::ClientContext> context_;
  Message message_;
  Message reply_;
};

Result drive_opens(const Options& options, Bench::Stub& stub) {
  Tally done;
  Supply supply(options);
  std::vector<Opening> openings;
  openings.reserve(opens_outstanding);
  for (std::uint64_t i = 0; i < opens_outstanding; ++i) openings.emplace_back(stub, supply, done);
  for (Opening& opening : openings) opening.open();
  done.await(opens_outstanding);
  const Result result{static_cast<double>(supply.sent()) / supply.elapsed(), "opens/s"};
  finish(stub, supply.sent());
  return result;
}

class Idling : public grpc::ClientBidiReactor<Message, Message> {
 public:
  Idling(Bench::Stub& stub, Tally& held, Tally& done) : held_(held), done_(done) {
    message_.mutable_data()->resize(small_bytes);
    stub.async()->Hold(&context_, this);
    StartWrite(&message_);
    StartRead(&reply_);
    AddHold();
    StartCall();
  }

  void end() {
    StartWritesDone();
    RemoveHold();
  }

 private:
  void OnReadDone(bool ok) override {
    if (ok) held_.add();
  }
  void OnDone(const grpc::Status& status) override {
    if (status.ok()) done_.add();
    else fail("call failed: " + status.error_message());
  }

  void fail(const std::string& why) {
    held_.fail(why);
    done_.fail(why);
  }

  Tally& held_;
  Tally& done_;
  grpc::ClientContext context_;
  Message message_;
  Message reply_;
};

Result drive_idle_circuits(const Options& options, Bench::Stub& stub) {
  Tally held;
  Tally done;
  std::vector<std::unique_ptr<Idling>> streams;
  const auto hold = [&](std::uint64_t count) {
    while (streams.size() < count) {
      streams.push_back(std::make_unique<Idling>(stub, held, done));
      if (streams.size() % 64 == 0) held.await(streams.size());
    }
    held.await(count);
  };
  const std::uint64_t count = std::min(options.count, idle_circuits_max);
  hold(64);
  const Footprint footprint(options);
  hold(64 + count);
  const Result result = footprint.per(count);
  for (const auto& stream : streams) stream->end();
  done.await(streams.size());
  return result;
}

Result drive_idle_connections(const Options& options, Bench::Stub& first) {
  std::vector<std::unique_ptr<Bench::Stub>> stubs;
  Message message;
  message.mutable_data()->resize(small_bytes);
  const auto ask = [&](Bench::Stub& stub) {
    grpc::ClientContext context;
    Message reply;
    require(stub.Open(&context, message, &reply));
  };
  ask(first);
  const Footprint footprint(options);
  while (stubs.size() < options.count) {
    stubs.push_back(Bench::NewStub(dial(options)));
    ask(*stubs.back());
  }
  return footprint.per(options.count);
}

Result drive(const Options& options) {
  const std::unique_ptr<Bench::Stub> stub = Bench::NewStub(dial(options));
  const auto result = [&]() -> Result {
    if (options.one_way()) return drive_one_way(options, *stub);
    switch (options.workload) {
      case Workload::round_trip: return drive_round_trip(options, *stub);
      case Workload::opens: return drive_opens(options, *stub);
      case Workload::idle_circuit_bytes: return drive_idle_circuits(options, *stub);
      default: return drive_idle_connections(options, *stub);
    }
  }();
  if (options.workload != Workload::opens) finish(*stub, 0);
  return result;
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, serve, drive); }
