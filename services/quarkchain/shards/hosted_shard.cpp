#include "services/quarkchain/shards/hosted_shard.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/shard/database_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::quarkchain {

HostedShard::HostedShard(const QuarkChainConfig& config, const ShardConfig& shard, std::unique_ptr<Store> store,
                         bool history, LogSink log)
    : store_(std::move(store)), executor_(config, shard, *store_), cl_(config, shard, *store_, executor_, history),
      work_(cl_), reads_(cl_), log_(std::move(log)) {
  if (log_)
    log_(LogLevel::info, fmt::format("shard {}: executor {} runs {}", shard_text(shard.full_shard_id), executor_.name(),
                                     executor_.capabilities().text()));
}

/// What the consensus layer throws, in the words of whoever asked.
template <class Action> auto HostedShard::guarded(Refusal code, Action&& action) {
  const std::string name = "shard " + shard_text(branch()) + ": ";
  try {
    return action();
  } catch (const ConsensusRefusal& refusal) {
    throw Refused(code, name + refusal.what());
  } catch (const TransactionRefused& refusal) {
    throw Refused(code, name + refusal.what());
  } catch (const std::overflow_error& failure) { // numbers that nothing can be computed from
    throw Refused(code, name + failure.what());
  } catch (const CapabilityMissing& missing) {
    if (said_ != missing.what() && log_)
      log_(LogLevel::warning, fmt::format("{}follows no further: {}", name, missing.what()));
    said_ = missing.what();
    throw Refused(Refusal::failed, name + missing.what());
  }
}

AddedBlock HostedShard::add(const MinorBlock& block, const AddOptions& options, Refusal code) {
  return guarded(code, [&] { return cl_.add_minor(block, options); });
}

void HostedShard::check(const MinorBlock& block, std::uint64_t now, Refusal code) const {
  try {
    cl_.rules().check(block, now);
  } catch (const ConsensusRefusal& refusal) {
    throw Refused(code, "shard " + shard_text(branch()) + ": " + refusal.what());
  } catch (const std::overflow_error& failure) {
    throw Refused(code, "shard " + shard_text(branch()) + ": " + failure.what());
  }
}

void HostedShard::verify(const Hash256& hash, std::uint64_t now) {
  if (const auto fault = DatabaseCheck(cl_).fault_of(hash, now))
    throw Refused(Refusal::bad_message,
                  fmt::format("shard {}: minor block {}: {}", shard_text(branch()), hash.hex(), *fault));
}

AddedRoot HostedShard::add_root(const RootBlock& block) {
  return guarded(Refusal::bad_message, [&] { return cl_.add_root(block); });
}

std::vector<Hash256> HostedShard::uncommitted(const Hash256& hash) const {
  const ShardDatabase& database = cl_.database();
  std::vector<Hash256> missing;
  for (MinorPointPtr at = database.minor(hash); at && !database.is_committed(at->hash);
       at = database.minor(at->header.hash_prev_minor_block))
    missing.push_back(at->hash);
  std::ranges::reverse(missing);
  return missing;
}

std::vector<MinorBlockHeader> HostedShard::confirmable() const {
  std::vector<MinorBlockHeader> headers = cl_.unconfirmed_headers();
  const auto first = std::ranges::find_if(
      headers, [&](const MinorBlockHeader& header) { return !cl_.database().is_committed(hash_of(header)); });
  headers.erase(first, headers.end());
  return headers;
}

std::vector<MinorBlockHeader> HostedShard::headers(const HeaderQuery& query) const {
  const ShardDatabase& database = cl_.database();
  const auto canonical = [&](std::uint64_t height) {
    const auto hash = database.minor_at(height);
    return hash ? database.minor(*hash) : nullptr;
  };
  const std::uint64_t step = std::uint64_t{query.skip} + 1;
  const bool by_parents = step == 1 && !query.towards_tip;
  MinorPointPtr at;
  if (query.hash) {
    at = database.minor(*query.hash);
    if (at && !by_parents && database.minor_at(at->header.height) != query.hash) at = nullptr;
  } else if (const auto height = query.height.to_u64()) {
    at = canonical(*height);
  }
  std::vector<MinorBlockHeader> headers;
  while (at && headers.size() < query.limit) {
    const std::uint64_t height = at->header.height;
    headers.push_back(at->header);
    if (query.towards_tip) {
      at = tip().header.height - std::min(tip().header.height, height) < step ? nullptr : canonical(height + step);
    } else if (height < step) {
      at = nullptr;
    } else {
      at = by_parents ? database.minor(at->header.hash_prev_minor_block) : canonical(height - step);
    }
  }
  return headers;
}

bool HostedShard::may_stand_on(const Hash256& root) const {
  const ShardDatabase& database = cl_.database();
  const RootPointPtr on = database.root(root);
  if (!on) return false;
  const MinorPointPtr& confirmed = cl_.tips().confirmed;
  const RootPointPtr least = confirmed ? database.root(confirmed->header.hash_prev_root_block) : nullptr;
  return !least || least->header.height <= on->header.height;
}

} // namespace trunkline::quarkchain
