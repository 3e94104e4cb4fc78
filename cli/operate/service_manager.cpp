#include "cli/operate/service_manager.hpp"

#include "cli/exit_code.hpp"
#include "transport/address.hpp"
#include "transport/unix.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace trunkline::cli {
namespace {

constexpr int first_handed_descriptor = 3;

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

/// The number in a variable; 0 for anything else.
std::uint64_t number_in(const char* name) {
  const std::string text = environment(name);
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos) return 0;
  return std::stoull(text);
}

std::string address_of(int descriptor) {
  const auto refuse = [descriptor](const char* why) {
    throw UsageError("descriptor " + std::to_string(descriptor) + " of LISTEN_FDS " + why);
  };
  int type = 0;
  int listens = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
    refuse("is no stream socket");
  size = sizeof listens;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) refuse("does not listen");
  sockaddr_storage name{};
  size = sizeof name;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&name), &size) != 0) refuse("has no address");
  char host[INET6_ADDRSTRLEN] = {};
  if (name.ss_family == AF_INET) {
    sockaddr_in inet{};
    std::memcpy(&inet, &name, sizeof inet);
    ::inet_ntop(AF_INET, &inet.sin_addr, host, sizeof host);
    return to_address("tcp", host, ntohs(inet.sin_port));
  }
  if (name.ss_family == AF_INET6) {
    sockaddr_in6 inet{};
    std::memcpy(&inet, &name, sizeof inet);
    ::inet_ntop(AF_INET6, &inet.sin6_addr, host, sizeof host);
    return to_address("tcp", host, ntohs(inet.sin6_port));
  }
  if (name.ss_family != AF_UNIX) refuse("is neither of TCP nor of a path");
  sockaddr_un local{};
  std::memcpy(&local, &name, sizeof local);
  const std::size_t length = size - offsetof(sockaddr_un, sun_path);
  const std::string path(local.sun_path, ::strnlen(local.sun_path, length));
  if (path.empty()) refuse("has no path");
  return std::string(make_unix_medium()->scheme()) + ":" + path;
}

} // namespace

ServiceManager::ServiceManager() : socket_(environment("NOTIFY_SOCKET")) {
  if (socket_.empty() || socket_.size() >= sizeof(sockaddr_un::sun_path) || (socket_[0] != '/' && socket_[0] != '@'))
    socket_.clear();
  const std::string whose = environment("WATCHDOG_PID");
  if (socket_.empty() || (!whose.empty() && whose != std::to_string(::getpid()))) return;
  watchdog_interval_ = std::chrono::microseconds(number_in("WATCHDOG_USEC") / 2);
}

void ServiceManager::ready(std::string_view status) const { say("READY=1\nSTATUS=" + std::string(status)); }

void ServiceManager::reloading() const {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  say("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(std::uint64_t(now.tv_sec) * 1'000'000 + std::uint64_t(now.tv_nsec) / 1000));
}

void ServiceManager::stopping() const { say("STOPPING=1"); }

/// A word that does not arrive is no reason to serve worse.
void ServiceManager::say(std::string_view words) const {
  if (socket_.empty()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_[0] == '@') address.sun_path[0] = '\0'; // in the abstract space
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  (void)::sendto(descriptor, words.data(), words.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), size);
  ::close(descriptor);
}

std::vector<HandedSocket> handed_sockets() {
  std::vector<HandedSocket> sockets;
  if (environment("LISTEN_PID") != std::to_string(::getpid())) return sockets;
  const std::uint64_t count = number_in("LISTEN_FDS");
  // Programs that this one starts are not meant.
  for (const char* const name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  for (std::uint64_t i = 0; i < count; ++i) {
    const int descriptor = first_handed_descriptor + static_cast<int>(i);
    ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    sockets.push_back({descriptor, address_of(descriptor)});
  }
  return sockets;
}

} // namespace trunkline::cli
