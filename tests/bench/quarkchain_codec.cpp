// What QuarkChain's services cost without a network.
//
//   quarkchain_root_block  decodes a root block with 1,000 minor headers and encodes it again; bytes of the block per
//   second of
//                          both together
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/core_types.hpp"
#include "tests/bench/bench.hpp"

#include <cstring>
#include <random>
#include <span>
#include <string>

namespace bench {
namespace {

using namespace trunkline;
using namespace trunkline::quarkchain;

constexpr std::size_t minor_headers = 1000;

/// Headers as a live cluster has them: one token, a difficulty of some bytes, hashes and blooms of any.
RootBlock root_block() {
  std::mt19937_64 random(1);
  const auto fill = [&](std::span<std::byte> bytes) {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  };
  RootBlock block;
  for (std::size_t i = 0; i < minor_headers; ++i) {
    MinorBlockHeader& header = block.minor_block_header_list.emplace_back();
    header.branch.value = static_cast<std::uint32_t>(i % 8) << 16 | 1;
    header.height = 1'000'000 + i / 8;
    fill(header.coinbase_address.recipient.bytes);
    header.coinbase_amount_map.balance_map.set(BigUint(35760), BigUint(3'250'000'000'000'000'000 + i));
    fill(header.hash_prev_minor_block.bytes);
    fill(header.hash_prev_root_block.bytes);
    header.evm_gas_limit = Uint256(12'000'000);
    fill(header.hash_meta.bytes);
    header.create_time = 1'700'000'000 + i;
    header.difficulty = BigUint(random() >> 20);
    header.nonce = random();
    fill(header.bloom.writable());
    header.extra_data = "trunkline";
    fill(header.mixhash.bytes);
  }
  return block;
}

Result drive_root_block(const Options& options) {
  ByteBuffer bytes;
  encode(root_block(), bytes);
  ByteBuffer again;
  const Goal goal(options);
  std::uint64_t rounds = 0;
  for (std::uint64_t more = goal.more(0, 8); more > 0; more = goal.more(rounds, 8)) {
    for (std::uint64_t i = 0; i < more; ++i, ++rounds) {
      RootBlock block;
      DecodeError error;
      if (!decode(bytes, block, error)) throw std::runtime_error(error.text());
      again.clear();
      encode(block, again);
    }
  }
  const double elapsed = goal.elapsed();
  if (again.size() != bytes.size() || std::memcmp(again.data(), bytes.data(), bytes.size()) != 0)
    throw std::runtime_error("the block was written otherwise than it was read");
  return {static_cast<double>(rounds * bytes.size()) / elapsed / 1e6, "MB/s"};
}

void serve(const Options& options) {
  if (options.workload != Workload::quarkchain_root_block)
    throw Unsupported(std::string("no ") + workload_names[static_cast<std::size_t>(options.workload)] +
                      " row for quarkchain");
  say_listening(0); // nobody has to answer
}

Result drive(const Options& options) { return drive_root_block(options); }

} // namespace
} // namespace bench

int main(int argc, char** argv) { return bench::run(argc, argv, bench::serve, bench::drive); }
