#include "services/quarkchain/shard/reward.hpp"

#include <boost/multiprecision/cpp_int.hpp>

namespace trunkline::quarkchain {
namespace {

/// Beyond so many epochs of at most 99/100 nothing is left of any number that a configuration can hold.
constexpr std::uint64_t epochs_max = 200'000;

} // namespace

BigUint decayed(const BigUint& value, std::uint64_t height, std::uint64_t epoch_interval, const Fraction& decay) {
  const std::uint64_t epoch = height / epoch_interval;
  if (epoch == 0 || decay.numerator == decay.denominator) return value;
  if (epoch > epochs_max) return 0;
  using boost::multiprecision::cpp_int;
  const auto times = static_cast<unsigned>(epoch);
  const cpp_int left =
      cpp_int(value.to_decimal()) * pow(cpp_int(decay.numerator), times) / pow(cpp_int(decay.denominator), times);
  return BigUint::from_decimal(left.str()).value();
}

BigUint block_reward(const QuarkChainConfig& config, const ChainConfig& chain, std::uint64_t height) {
  const Fraction& tax = config.reward_tax_rate;
  const BigUint whole = decayed(chain.coinbase_amount, height, chain.epoch_interval, config.block_reward_decay_factor);
  return whole * (tax.denominator - tax.numerator) / tax.denominator;
}

} // namespace trunkline::quarkchain
