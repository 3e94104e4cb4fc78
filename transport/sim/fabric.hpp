// What the parts of a simulated world share: time, randomness, hosts, links, live connections, the trace.
// Internal to the simulator; users see world.hpp.
#pragma once

#include "transport/sim/clock.hpp"
#include "transport/sim/link.hpp"
#include "transport/sim/random.hpp"
#include "transport/sim/trace.hpp"
#include "transport/transport.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline::sim {

class Connection;
class AcceptQueue;

/// How a host goes down.
enum class Crash : std::uint8_t {
  reset,  // its process dies: connections are reset, dials refused
  silent, // its power fails: nothing comes from it, dials time out; reset when it is back and hears of old connections
};

enum class HostState : std::uint8_t { up, process_gone, powered_off };

struct Host {
  std::string name;
  HostState state = HostState::up;
  std::map<std::string, std::shared_ptr<AcceptQueue>, std::less<>> listening; // by address
  std::function<void()> on_crash;
  std::function<void()> on_restart;
};

/// The network of one world. One executor; kept alive by everything that lives in it.
class Fabric {
 public:
  explicit Fabric(std::uint64_t world_seed) : seed(world_seed), random(Random::derived(world_seed, "network")) {}

  Host& host(const std::string& name); // makes it when it is new
  Host* find_host(std::string_view name);
  Link& link(const std::string& from, const std::string& to); // makes it, with the default options
  /// Whether bytes arrive at `to` now.
  bool passes(const std::string& from, const std::string& to);

  std::shared_ptr<Connection> connect(Host& dialler, Host& listener, const std::string& address);
  void forget(std::uint64_t connection) { connections.erase(connection); }

  // Faults; World says what they mean.
  void partition(const std::string& one, const std::string& other);
  void heal(const std::string& one, const std::string& other);
  void heal_all();
  void stall(const std::string& from, const std::string& to, Duration time);
  std::size_t reset(std::string_view one, std::string_view other);
  std::size_t lose_one_way(std::string_view from, std::string_view to);
  void crash(Host& host, Crash how);
  void restart(Host& host);

  /// Records an event in the trace hash. Everything in which two runs can differ is recorded.
  void trace(std::string_view what, std::uint64_t connection, std::uint64_t detail);
  void trace(std::string_view what, std::string_view one, std::string_view other);

  const std::uint64_t seed;
  std::shared_ptr<Schedule> schedule = std::make_shared<Schedule>();
  Random random;
  LinkOptions link_options; // of links without a description
  Duration connect_timeout = std::chrono::seconds(60);
  TraceHash hash;
  std::function<void(const std::string&)> on_trace;
  std::map<std::string, Host, std::less<>> hosts;
  std::map<std::pair<std::string, std::string>, Link> links; // (from, to)
  std::map<std::uint64_t, std::shared_ptr<Connection>> connections; // with an open end, by number
  std::map<std::string, std::uint64_t, std::less<>> random_streams; // handed out, by name

 private:
  std::uint64_t connections_made_ = 0;
};

/// "12.345678 s" since the beginning of the world.
std::string to_text(TimePoint time);

} // namespace trunkline::sim
