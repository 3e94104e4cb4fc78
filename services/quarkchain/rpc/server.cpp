#include "services/quarkchain/rpc/server.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace trunkline::quarkchain {

RpcServer::RpcServer(std::string kind, RpcLimits limits, LogSink log)
    : kind_(std::move(kind)), limits_(limits), lines_(std::move(log)) {
  limits_.check();
}

RpcServer::Entry& RpcServer::add(std::uint8_t op, std::string name, Kind kind) {
  if (entries_[op])
    throw std::invalid_argument(
        fmt::format("opcode {} is registered twice, as {} and {}", op, entries_[op]->name, name));
  entries_[op] = std::make_unique<Entry>();
  entries_[op]->kind = kind;
  entries_[op]->name = std::move(name);
  return *entries_[op];
}

void RpcServer::serve(std::uint8_t op, std::string name, std::uint8_t reply_op, RpcRequestFunc function) {
  if (!function) throw std::invalid_argument(fmt::format("no function for request {} {}", op, name));
  Entry& entry = add(op, std::move(name), Kind::request);
  entry.reply_op = reply_op;
  entry.request = std::move(function);
}

void RpcServer::hear(std::uint8_t op, std::string name, RpcCommandFunc function) {
  if (!function) throw std::invalid_argument(fmt::format("no function for command {} {}", op, name));
  add(op, std::move(name), Kind::command).command = std::move(function);
}

void RpcServer::know(std::uint8_t op, std::string name) { add(op, std::move(name), Kind::reply); }

std::string RpcServer::name_of(std::uint8_t op) const {
  return entries_[op] ? fmt::format("{} {}", op, entries_[op]->name) : std::to_string(op);
}

const RpcServer::Entry* RpcServer::find(std::int32_t op) const noexcept {
  return op >= 0 && op <= 0xFF ? entries_[static_cast<std::size_t>(op)].get() : nullptr;
}

} // namespace trunkline::quarkchain
