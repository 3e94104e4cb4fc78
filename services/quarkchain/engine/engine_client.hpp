// The two JSON-RPC interfaces of an execution layer on this machine: the one by which it is driven, and the one by which
// accounts are read.
#pragma once

#include "services/quarkchain/chain/json.hpp"
#include "services/quarkchain/engine/http_connection.hpp"

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

namespace trunkline::quarkchain {

struct EngineAddress {
  std::uint16_t rpc_port = 0;
  std::uint16_t engine_port = 0;
  std::string secret; // 32 bytes
};

/// It has answered, and refused one call. Others may succeed.
class EngineRefusal : public std::runtime_error {
 public:
  EngineRefusal(std::int64_t code, const std::string& why) : std::runtime_error(why), code_(code) {}
  std::int64_t code() const noexcept { return code_; }

 private:
  std::int64_t code_;
};

/// One call at a time, on each of the two. Errors of each: EngineRefusal for an answer that is an error; ExecutorDown
/// for no answer, one that is none, or a status of HTTP other than 200.
class EngineClient {
 public:
  /// `unix_time`: seconds of the clock.
  EngineClient(EngineAddress address, std::function<std::uint64_t()> unix_time);

  /// `params`: what is between the brackets of the list.
  awaitable<Json> engine(std::string method, std::string params, Duration deadline);
  awaitable<Json> eth(std::string method, std::string params, Duration deadline);
  void close() noexcept;

 private:
  static awaitable<Json> call(EngineClient* self, HttpConnection* on, std::string method, std::string params,
                              Duration deadline);

  EngineAddress address_;
  std::function<std::uint64_t()> unix_time_;
  HttpConnection engine_;
  HttpConnection eth_;
  std::uint64_t next_id_ = 1;
};

} // namespace trunkline::quarkchain
