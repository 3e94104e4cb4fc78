#include "services/quarkchain/engine/engine_client.hpp"

#include "services/quarkchain/engine/engine_json.hpp"
#include "services/quarkchain/engine/engine_token.hpp"
#include "services/quarkchain/execution/executor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t shown_max = 200;
constexpr unsigned http_ok = 200;

std::string shown(const std::string& text) {
  std::string part = text.substr(0, shown_max);
  std::replace_if(part.begin(), part.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return part;
}

/// The result of a reply. Errors: EngineRefusal, ExecutorDown.
Json result_of(const std::string& method, const HttpReply& reply) {
  if (reply.status != http_ok)
    throw ExecutorDown(fmt::format("{}: HTTP status {}, expected 200: {}", method, reply.status, shown(reply.body)));
  Json json;
  try {
    json = Json::parse(reply.body);
  } catch (const JsonError& error) {
    throw ExecutorDown(fmt::format("{}: {}", method, error.what()));
  }
  if (const Json* const error = json.find("error"); error && error->kind == Json::Kind::object) {
    std::int64_t code = 0;
    if (const Json* const number = error->find("code"); number && number->kind == Json::Kind::number)
      std::from_chars(number->text.data(), number->text.data() + number->text.size(), code);
    const Json* const message = error->find("message");
    throw EngineRefusal(code, fmt::format("{}: {} (code {})", method, message ? shown(message->text) : "no message", code));
  }
  return engine_json::member(json, "result", method.c_str());
}

} // namespace

EngineClient::EngineClient(EngineAddress address, std::function<std::uint64_t()> unix_time)
    : address_(std::move(address)), unix_time_(std::move(unix_time)), engine_(address_.engine_port),
      eth_(address_.rpc_port) {}

awaitable<Json> EngineClient::call(EngineClient* self, HttpConnection* on, std::string method, std::string params,
                                   Duration deadline) {
  std::string body = fmt::format(R"({{"jsonrpc":"2.0","id":{},"method":"{}","params":[{}]}})", self->next_id_++, method,
                                 params);
  std::string authorization = "Bearer " + engine_token(self->address_.secret, self->unix_time_());
  const HttpReply reply = co_await on->post(std::move(body), std::move(authorization), deadline);
  Json result = result_of(method, reply);
  co_return result;
}

awaitable<Json> EngineClient::engine(std::string method, std::string params, Duration deadline) {
  return call(this, &engine_, std::move(method), std::move(params), deadline);
}

awaitable<Json> EngineClient::eth(std::string method, std::string params, Duration deadline) {
  return call(this, &eth_, std::move(method), std::move(params), deadline);
}

void EngineClient::close() noexcept {
  engine_.close();
  eth_.close();
}

} // namespace trunkline::quarkchain
