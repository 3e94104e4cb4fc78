#include "services/quarkchain/engine/engine_process.hpp"

#include "fragment/hex.hpp"
#include "fragment/input_file.hpp"
#include "services/quarkchain/chain/config.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t secret_bytes = 32;
constexpr int end_milliseconds_max = 5000;
constexpr int exit_code_not_started = 127;

[[noreturn]] void fail(const std::string& what) {
  const std::string why = std::strerror(errno);
  throw ConfigFailure(what + ": " + why);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

struct CloseFile {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};
using OutputFile = std::unique_ptr<std::FILE, CloseFile>;

std::string whole(const std::string& file) {
  try {
    return content_of_file(file);
  } catch (const std::system_error&) {
    return {};
  }
}

/// Whether all of it arrived is seen when it is read again.
void write_file(const std::string& file, const std::string& text) {
  const OutputFile out(std::fopen(file.c_str(), "wbe"));
  if (out) std::fwrite(text.data(), 1, text.size(), out.get());
}

/// Of the first start, for ever; nobody else may read it.
std::string secret_in(const std::string& file) {
  if (fs::exists(file)) {
    std::string text = whole(file);
    if (text.starts_with("0x")) text.erase(0, 2);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    const auto secret = from_hex(text);
    if (!secret || secret->size() != secret_bytes)
      throw ConfigFailure(
          fmt::format("{}: expected a secret of {} bytes, seen {} digits", file, secret_bytes, text.size()));
    return *secret;
  }
  std::string secret(secret_bytes, '\0');
  if (::getrandom(secret.data(), secret.size(), 0) != static_cast<ssize_t>(secret.size())) fail("getrandom");
  const Descriptor out(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
  const std::string text = "0x" + to_hex(secret);
  if (out.get() < 0 || ::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) fail(file);
  return secret;
}

/// Two that nobody listens on now.
std::pair<std::uint16_t, std::uint16_t> free_ports() {
  const auto bound = [](const Descriptor& on) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const at = reinterpret_cast<sockaddr*>(&address);
    if (on.get() < 0 || ::bind(on.get(), at, size) != 0 || ::getsockname(on.get(), at, &size) != 0) fail("a free port");
    return ntohs(address.sin_port);
  };
  const Descriptor first(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Descriptor second(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return {bound(first), bound(second)};
}

std::string replaced(std::string word, const std::vector<std::pair<std::string, std::string>>& names) {
  for (const auto& [name, value] : names)
    for (std::size_t at = word.find(name); at != word.npos; at = word.find(name, at + value.size()))
      word.replace(at, name.size(), value);
  return word;
}

std::vector<std::string> words_of(const std::string& command,
                                  const std::vector<std::pair<std::string, std::string>>& names) {
  std::vector<std::string> words;
  for (std::size_t at = 0; (at = command.find_first_not_of(" \t\n", at)) != command.npos;) {
    const std::size_t end = std::min(command.find_first_of(" \t\n", at), command.size());
    words.push_back(replaced(command.substr(at, end - at), names));
    at = end;
  }
  if (words.empty()) throw ConfigFailure("the command of the execution layer is empty");
  return words;
}

/// What is left of us in the child, between fork and exec: nothing here may allocate.
[[noreturn]] void become(char* const* arguments, const char* directory, int log, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(exit_code_not_started); // we are gone already
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0); // our sockets are not its own
  if (::chdir(directory) == 0) ::execvp(arguments[0], arguments);
  const char* const why = std::strerror(errno);
  for (const char* part : {"cannot be started: ", why, "\n"})
    if (::write(STDERR_FILENO, part, std::strlen(part)) < 0) break;
  ::_exit(exit_code_not_started);
}

} // namespace

struct EngineProcess::Watch {
  Watch(const trunkline::Executor& executor, int pid_fd, int log_fd) : end(executor, pid_fd), log(executor, log_fd) {}
  asio::posix::stream_descriptor end;
  asio::posix::stream_descriptor log;
};

EngineProcess::EngineProcess(const trunkline::Executor& executor, EngineProcessOptions options,
                             const std::string& genesis_json)
    : options_(std::move(options)) {
  // Absolute, because it runs in a directory of its own: some write files into the one that they were started in.
  const std::string directory = fs::absolute(options_.directory).string();
  std::error_code failure;
  fs::create_directories(directory + "/work", failure);
  if (failure) throw ConfigFailure(directory + ": " + failure.message());
  const std::string genesis = directory + "/genesis.json";
  const std::string jwt = directory + "/jwt.hex";
  write_file(genesis, genesis_json);
  if (whole(genesis) != genesis_json) throw ConfigFailure(genesis + ": cannot be written");
  address_.secret = secret_in(jwt);
  std::tie(address_.rpc_port, address_.engine_port) =
      options_.ports_from != 0 ? std::pair(options_.ports_from, static_cast<std::uint16_t>(options_.ports_from + 1))
                               : free_ports();
  log_file_ = directory + "/log.txt";

  std::vector<std::string> words =
      words_of(options_.command, {{"{genesis}", genesis},
                                  {"{data}", directory + "/data"},
                                  {"{jwt}", jwt},
                                  {"{rpc_port}", std::to_string(address_.rpc_port)},
                                  {"{engine_port}", std::to_string(address_.engine_port)}});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const std::string work = directory + "/work";
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
  Descriptor reads(ends[0]);
  const Descriptor writes(ends[1]);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) fail("fork");
  if (pid_ == 0) become(arguments.data(), work.c_str(), writes.get(), parent);
  const int watched = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  if (watched < 0) {
    kill();
    reap(true);
    fail("pidfd_open");
  }
  watch_ = std::make_unique<Watch>(executor, watched, reads.release());
}

EngineProcess::~EngineProcess() {
  if (gone_ || pid_ < 0) return;
  terminate();
  pollfd end{watch_->end.native_handle(), POLLIN, 0};
  if (::poll(&end, 1, end_milliseconds_max) <= 0) kill();
  reap(true);
}

EngineProcess::Work EngineProcess::work() const noexcept {
  Work work;
  work.said_bytes = said_bytes_;
  clockid_t clock{};
  timespec used{};
  if (!gone_ && ::clock_getcpuclockid(pid_, &clock) == 0 && ::clock_gettime(clock, &used) == 0)
    work.processor = std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
  return work;
}

void EngineProcess::terminate() noexcept {
  if (!gone_ && pid_ > 0) ::kill(pid_, SIGTERM);
}

void EngineProcess::kill() noexcept {
  if (!gone_ && pid_ > 0) ::kill(pid_, SIGKILL);
}

void EngineProcess::reap(bool wait) noexcept {
  if (gone_) return;
  while (true) {
    const pid_t reaped = ::waitpid(pid_, &status_, wait ? 0 : WNOHANG);
    if (reaped == pid_) gone_ = true;
    if (reaped >= 0 || errno != EINTR) return;
  }
}

awaitable<std::string> EngineProcess::ended(std::shared_ptr<EngineProcess> process) {
  co_await process->watch_->end.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
  process->reap(true);
  const int status = process->status_;
  co_return WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                : fmt::format("exit code {}", WEXITSTATUS(status));
}

awaitable<void> EngineProcess::keep_log(std::shared_ptr<EngineProcess> process) {
  const std::string& file = process->log_file_;
  OutputFile out(std::fopen(file.c_str(), "abe"));
  std::array<char, 4096> chunk;
  for (;;) {
    boost::system::error_code failure;
    const std::size_t size = co_await process->watch_->log.async_read_some(
        asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, failure));
    if (failure == asio::error::operation_aborted) throw boost::system::system_error(failure);
    if (failure) co_return; // it is gone, and all of its children
    process->said_bytes_ += size;
    if (!out) continue;
    std::fwrite(chunk.data(), 1, size, out.get());
    std::fflush(out.get());
    const long written = std::ftell(out.get());
    if (written < 0 || static_cast<std::size_t>(written) < process->options_.log_bytes_max) continue;
    out.reset();
    std::error_code ignored;
    fs::rename(file, file + ".1", ignored);
    out.reset(std::fopen(file.c_str(), "wbe"));
  }
}

} // namespace trunkline::quarkchain
