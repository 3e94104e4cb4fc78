// A stand-in for an execution layer, in this process: it keeps blocks and a head, believes what it can compute from the
// payload alone, has the quirks that real ones were seen to have, and lies when it is told to.
//
//   1. Its blocks have states that are hashes of what is in them; a payload with another state root is INVALID.
//   2. Its head goes wherever forkchoice says, but never back to the genesis; receipts of blocks that left are lost.
//   3. Every transaction in its pool goes into the next block that it builds, and uses 21000 gas.
#pragma once

#include "async/tasks.hpp"
#include "services/quarkchain/engine/engine_client.hpp"
#include "services/quarkchain/engine/payload.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace trunkline::quarkchain::test {

enum class Lie : std::uint8_t {
  none,
  not_moved,      // forkchoice is VALID, and the head stays
  syncing,        // forkchoice is SYNCING for what it holds
  another_block,  // a payload is VALID, and it was another one
  accepted,       // a payload whose parent it holds is ACCEPTED
  huge,           // 300 MiB
  silent,         // nothing at all
  half,           // closed in the middle of the body
  failing,        // HTTP 500
  nonsense,       // no JSON
};
const char* name_of(Lie lie);

class ModelEngine {
 public:
  ModelEngine(asio::io_context& io, std::uint64_t chain_id, Hash256 genesis);

  EngineAddress address() const;
  /// Of the next call of this method.
  void lie(std::string method, Lie lie) { lies_[std::move(method)] = lie; }
  /// Its data directory is deleted.
  void lose_everything();
  Hash256 head() const { return head_; }
  bool holds(const Hash256& block) const { return blocks_.contains(block) || block == genesis_; }
  std::uint64_t credited(const Recipient& who) const; // gwei, up to the head
  std::size_t calls(const std::string& method) const;

 private:
  struct Block {
    EnginePayload payload;
    bool has_receipts = true;
  };

  static awaitable<void> serve(ModelEngine* self);
  static awaitable<void> serve_one(ModelEngine* self, std::shared_ptr<asio::ip::tcp::socket> socket);
  static awaitable<void> answer_all(ModelEngine* self, std::shared_ptr<asio::ip::tcp::socket> socket);
  std::string answer(const std::string& method, const Json& params);
  std::string new_payload(const EnginePayload& payload);
  std::string forkchoice(const Json& state, const Json& attributes, bool moves);
  void build(const Json& attributes);
  static void seal(EnginePayload& payload);
  std::vector<Hash256> chain() const; // from the genesis to the head
  std::string block_at(const std::string& number) const;

  std::uint64_t chain_id_;
  Hash256 genesis_;
  std::string secret_ = std::string(32, 's');
  std::map<Hash256, Block> blocks_;
  Hash256 head_;
  std::vector<std::string> pool_;
  EnginePayload built_;
  std::map<std::string, Lie> lies_;
  std::map<std::string, std::size_t> calls_;
  asio::ip::tcp::acceptor acceptor_;
  Tasks tasks_;
};

} // namespace trunkline::quarkchain::test
