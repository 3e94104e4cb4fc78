#include "services/quarkchain/shard/shard_cl.hpp"

#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/execution/sender_threads.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"
#include "services/quarkchain/store/freed_memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace trunkline::quarkchain {
namespace {

/// How far a block may move its root block beyond that of its parent, so that none has to read too many.
constexpr std::uint64_t root_blocks_at_once_max = 100;
constexpr std::size_t heights_seen_max = 4096;
constexpr std::size_t expected_max = 4;
constexpr std::size_t accounts_few = 10'000; // whose first state leaves nothing behind that is worth a look

template <class T> std::string bytes_of_value(const T& value) { return std::string(encoded(value).text()); }

std::string hash_bytes(const std::optional<Hash256>& hash) {
  return hash ? std::string(text_of(hash->bytes)) : std::string();
}

MinorPointPtr point_of(const Hash256& hash, const MinorBlock& block) {
  return std::make_shared<const MinorPoint>(MinorPoint{hash, block.header, block.meta});
}

} // namespace

ShardCL::ShardCL(const QuarkChainConfig& config, const ShardConfig& shard, Store& store, Executor& executor,
                 bool history)
    : config_(config), shard_(shard), executor_(executor), database_(store, history),
      neighbourhood_(config, shard.full_shard_id), identity_(config, shard, executor),
      rules_(config, shard, database_, executor), root_rules_(config, shard, neighbourhood_, database_),
      fork_choice_(database_, shard.genesis.root_height),
      index_(database_, shard.full_shard_id,
             [this](const TypedTransaction& typed, const Hash256& hash) { return signed_of(typed, hash); }),
      queue_(config.transaction_queue_size_limit_per_shard) {
  identity_.check(store);
}

MinorBlock ShardCL::genesis_from(const RootBlock& root) {
  const Hash256 root_hash = hash_of(root.header);
  if (root.header.height != shard_.genesis.root_height)
    throw ConsensusRefusal(
        Rule::root_below_genesis,
        fmt::format("a genesis of shard {} on root block {}: expected height {}, seen {}",
                    shard_text(shard_.full_shard_id), root_hash.hex(), shard_.genesis.root_height, root.header.height));
  const MinorBlock genesis = genesis_minor_block(config_, shard_, root.header);
  const Hash256 hash = hash_of(genesis.header);
  {
    StoreBatch batch;
    executor_.genesis(batch);
    identity_.write(batch);
    store_block(genesis, hash, {}, batch);
    batch.put(shard_keys::root_block(root_hash), bytes_of_value(root));
    batch.put(shard_keys::last_minor(root_hash), {});
    batch.put(shard_keys::genesis(root_hash), bytes_of_value(genesis));
    batch.put(shard_keys::committed(hash), {});
    database_.write(batch);
  }
  if (shard_.genesis.alloc.size() > accounts_few) give_back_freed_memory();
  if (!is_running()) move_to({database_.root(root_hash), nullptr, database_.minor(hash)}, false);
  return genesis;
}

void ShardCL::start(const RootBlock& root_tip) {
  const Hash256 hash = hash_of(root_tip.header);
  RootPointPtr from = database_.root(hash);
  const bool held = from != nullptr;
  if (!held) from = database_.root(root_tip.header.hash_prev_block);
  if (!from)
    throw ConsensusRefusal(Rule::start_root_held,
                           fmt::format("shard {} cannot start from root block {} of height {}: neither it nor its "
                                       "parent {} is held",
                                       shard_text(shard_.full_shard_id), hash.hex(), root_tip.header.height,
                                       root_tip.header.hash_prev_block.hex()));
  const Tips next = fork_choice_.at_start(from);
  const Hash256 state = state_after(*next.minor);
  if (!executor_.holds(state))
    throw StoreFailure(fmt::format("the state {} of block {} is missing", state.hex(), next.minor->hash.hex()));
  if (shard_.genesis.alloc.size() > accounts_few) give_back_freed_memory(); // whose root was made once more
  move_to(next, false);
  if (!held) add_root(root_tip);
}

void ShardCL::look() {
  Tips seen;
  const std::string family = shard_keys::of_hash("rblock_", Hash256()).substr(0, 7);
  database_.store().scan(family, family, [&](std::string_view key, std::string_view) {
    const auto hash = Hash256::from_bytes(bytes_of(key.substr(family.size())));
    const RootPointPtr root = hash ? database_.root(*hash) : nullptr;
    if (root && (!seen.root || seen.root->header.total_difficulty < root->header.total_difficulty)) seen.root = root;
    return true;
  });
  std::optional<Hash256> top;
  for (std::uint64_t height = 0;; ++height) {
    const auto hash = database_.minor_at(height);
    if (!hash) break;
    top = hash;
  }
  if (top) seen.minor = database_.minor(*top);
  if (!seen.root || !seen.minor)
    throw StoreFailure(fmt::format("the database has no blocks of shard {}", shard_text(shard_.full_shard_id)));
  tips_ = std::move(seen);
}

AddedRoot ShardCL::add_root(const RootBlock& block) {
  const MinorPointPtr last = root_rules_.check(block);
  const Hash256 hash = hash_of(block.header);
  StoreBatch batch;
  batch.put(shard_keys::root_block(hash), bytes_of_value(block));
  batch.put(shard_keys::last_minor(hash), hash_bytes(last ? std::optional(last->hash) : std::nullopt));
  // What a root block confirms has been reported, whatever became of the mark.
  for (const MinorBlockHeader& minor : block.minor_block_header_list)
    if (minor.branch.value == shard_.full_shard_id) batch.put(shard_keys::committed(hash_of(minor)), {});
  database_.write(batch);
  if (block.header.total_difficulty <= tips_.root->header.total_difficulty) return {};
  const Tips next = fork_choice_.after_root(tips_, database_.root(hash));
  const bool moved = next.minor->hash != tips_.minor->hash;
  move_to(next, true);
  return {true, moved};
}

AddedBlock ShardCL::add_minor(const MinorBlock& block, const AddOptions& options) {
  const std::uint64_t tip = tips_.minor->header.height;
  if (!options.however_old && tip > block.header.height && tip - block.header.height > rules_.stale_max())
    throw ConsensusRefusal(Rule::block_too_old, fmt::format("block is too old {} << {}: expected at most {} below",
                                                            block.header.height, tip, rules_.stale_max()));
  AddedBlock added;
  added.hash = hash_of(block.header);
  if (!options.again && database_.holds_minor(added.hash)) {
    added.known = true;
    return added;
  }
  // It outlives all that looks at it here.
  const IndexedBlock at_hand{added.hash, std::shared_ptr<const MinorBlock>(std::shared_ptr<void>(), &block),
                             hashes_of(block.tx_list)};
  rules_.check(block, at_hand.transactions, options.now);
  StoreBatch batch;
  Ran ran = run(block, at_hand.transactions, batch);
  store_block(block, added.hash, ran, batch);
  database_.write(batch);

  seen_[block.header.height].insert(added.hash);
  if (seen_.size() > heights_seen_max) seen_.erase(seen_.begin());
  const MinorPointPtr point = point_of(added.hash, block);
  added.tip_moved = added.hash != tips_.minor->hash && fork_choice_.takes_tip(tips_, point);
  if (added.tip_moved) move_to({tips_.root, tips_.confirmed, point}, true, &at_hand);
  added.coinbase.balance_map = std::move(ran.coinbase);
  added.sent = std::move(ran.execution.sent);
  added.taken = std::move(ran.taken);
  return added;
}

void ShardCL::replay(const Hash256& hash) {
  const auto block = database_.minor_block(hash);
  if (!block) throw StoreFailure("block " + hash.hex() + " is missing");
  StoreBatch nowhere;
  run(*block, hashes_of(block->tx_list), nowhere);
}

void ShardCL::verify(const MinorBlock& block, std::uint64_t now) {
  const std::vector<Hash256> transactions = hashes_of(block.tx_list);
  rules_.check(block, transactions, now);
  StoreBatch nowhere;
  run(block, transactions, nowhere);
}

/// Runs it and holds the results to the header. The state goes into `into`.
ShardCL::Ran ShardCL::run(const MinorBlock& block, const std::vector<Hash256>& hashes, StoreBatch& into) {
  const MinorPointPtr parent = database_.minor(block.header.hash_prev_minor_block);
  const std::vector<SignedTransactionPtr> transactions = signed_of(block, hashes);
  DepositCursor cursor = cursor_of(parent, database_.root(block.header.hash_prev_root_block));
  BlockSetting setting = setting_of(block.header, parent);
  setting.claimed = &block;
  setting.receipts_kept = [&] { return database_.receipts(hash_of(block.header)); };
  Ran ran;
  try {
    ran.execution = executor_.run(state_after(*parent), setting, cursor, transactions, into);
  } catch (const CapabilityMissing& missing) {
    stopped_ =
        fmt::format("block {} at height {}: {} (executor {} runs {})", hash_of(block.header).hex(), block.header.height,
                    missing.what(), executor_.name(), executor_.capabilities().transactions);
    throw CapabilityMissing(stopped_);
  }
  rules_.check(block, ran.execution, cursor.position());
  ran.taken = cursor.taken();
  ran.coinbase = rules_.coinbase(block.header.height, ran.execution);
  return ran;
}

void ShardCL::store_block(const MinorBlock& block, const Hash256& hash, const Ran& ran, StoreBatch& batch) {
  std::uint32_t count = static_cast<std::uint32_t>(block.tx_list.size());
  if (block.header.height > 0) count += database_.transactions_count(block.header.hash_prev_minor_block);
  HashList hashes;
  for (const CrossShardTransactionDeposit& deposit : ran.taken) hashes.hlist.push_back(deposit.tx_hash);
  batch.put(shard_keys::minor_block(hash), bytes_of_value(block));
  batch.put(shard_keys::transactions_count(hash), shard_keys::number(count));
  batch.put(shard_keys::deposits_taken_hashes(hash), bytes_of_value(hashes));
  batch.put(shard_keys::receipts(hash), encoded_receipts(ran.execution.receipts));
  if (!database_.history()) return;
  CrossShardTransactionList taken;
  taken.tx_list = ran.taken;
  batch.put(shard_keys::deposits_taken(hash), bytes_of_value(taken));
}

void ShardCL::add_deposits(const Hash256& source, const CrossShardTransactionList& list) {
  const std::string key = shard_keys::deposits_from(source);
  const std::string bytes = bytes_of_value(list);
  const auto before = database_.store().get(key);
  if (before && *before != bytes)
    throw ConsensusRefusal(Rule::another_list,
                           fmt::format("block {} has sent another list before: expected hash {}, seen {}", source.hex(),
                                       keccak256(bytes_of(*before)).hex(), keccak256(bytes_of(bytes)).hex()));
  if (before) return;
  for (const CrossShardTransactionDeposit& deposit : list.tx_list) executor_.check_deposit(deposit);
  StoreBatch batch;
  batch.put(key, bytes);
  database_.write(batch);
}

std::vector<OutgoingList> ShardCL::outgoing(const MinorBlockHeader& header,
                                            const std::vector<CrossShardTransactionDeposit>& sent) const {
  const RootPointPtr root = database_.root(header.hash_prev_root_block);
  if (!root) throw StoreFailure("root block " + header.hash_prev_root_block.hex() + " is missing");
  std::vector<OutgoingList> lists;
  for (const std::uint32_t branch : neighbourhood_.neighbours(root->header.height)) lists.push_back({branch, {}});
  for (const CrossShardTransactionDeposit& deposit : sent) {
    const auto to = config_.full_shard_id_of_key(deposit.to_address.full_shard_key);
    const auto list =
        std::find_if(lists.begin(), lists.end(), [&](const OutgoingList& each) { return each.branch == to; });
    // Reachable from our root tip, and yet no neighbour of a block that stands on an older root block.
    if (list == lists.end())
      throw ConsensusRefusal(Rule::list_missing,
                             fmt::format("transaction {} goes to shard {}, which gets no lists at root height {}",
                                         deposit.tx_hash.hex(), to ? shard_text(*to) : "none", root->header.height));
    list->list.tx_list.push_back(deposit);
  }
  return lists;
}

void ShardCL::commit(const std::vector<Hash256>& blocks) {
  StoreBatch batch;
  for (const Hash256& hash : blocks) batch.put(shard_keys::committed(hash), {});
  database_.write(batch);
}

void ShardCL::add_transaction(const TypedTransaction& typed) {
  if (queue_.size() > queue_.count_max())
    throw TransactionRefused(
        fmt::format("the queue holds {} transactions, at most {}", queue_.size(), queue_.count_max()));
  const Hash256 hash = hash_of(typed);
  if (database_.transaction_place(hash)) throw TransactionRefused(hash.hex() + " is in a block already");
  if (queue_.has(hash)) throw TransactionRefused(hash.hex() + " waits already");
  const SignedTransactionPtr transaction = signed_of(typed, hash);
  BlockSetting setting;
  setting.create_time = tips_.minor->header.create_time;
  setting.gas_limit = rules_.gas_limit();
  setting.xshard_gas_limit = rules_.xshard_gas_limit();
  setting.reach = neighbourhood_.reach(tips_.root->header.height);
  executor_.check(state_after(*tips_.minor), setting, *transaction, config_.min_tx_pool_gas_price);
  if (!queue_.add(transaction))
    throw TransactionRefused(fmt::format("the queue is full with {} better paid transactions", queue_.size()));
}

MinorBlock ShardCL::build(std::uint64_t now, const Address& coinbase) {
  const MinorPointPtr parent = tips_.minor;
  MinorBlock block;
  MinorBlockHeader& header = block.header;
  header.branch.value = shard_.full_shard_id;
  header.height = parent->header.height + 1;
  header.coinbase_address = coinbase;
  header.hash_prev_minor_block = parent->hash;
  const RootPointPtr anchor = next_anchor();
  header.hash_prev_root_block = anchor->hash;
  header.evm_gas_limit = Uint256(rules_.gas_limit());
  header.create_time = std::max(now, parent->header.create_time + 1);
  header.difficulty =
      rules_.difficulty().next(parent->header.difficulty, parent->header.create_time, header.create_time);
  block.meta.evm_xshard_gas_limit = Uint256(rules_.xshard_gas_limit());

  DepositCursor cursor = cursor_of(parent, anchor);
  std::vector<SignedTransactionPtr> taken;
  const Execution execution = executor_.build(state_after(*parent), setting_of(header, parent), cursor, queue_.all(),
                                              config_.min_mining_gas_price, taken);
  for (const SignedTransactionPtr& transaction : taken) block.tx_list.push_back(transaction->typed);
  block.meta.hash_merkle_root = merkle_root(block.tx_list);
  block.meta.hash_evm_state_root = execution.state_root;
  block.meta.hash_evm_receipt_root = execution.receipt_root;
  block.meta.evm_gas_used = Uint256(execution.gas_used);
  block.meta.evm_cross_shard_receive_gas_used = Uint256(execution.xshard_gas_used);
  block.meta.xshard_tx_cursor_info = cursor.position();
  header.bloom = execution.bloom;
  header.extra_data = Bytes2(execution.extra_data);
  header.coinbase_amount_map.balance_map = rules_.coinbase(header.height, execution);
  header.hash_meta = hash_of(block.meta);
  // pyquarkchain reads it as JSON with these members when it is not empty.
  block.tracking_data =
      Bytes2(fmt::format("{{\"inception\": {}, \"cluster\": \"\", \"creation_ms\": 0}}", header.create_time * 1000));
  return block;
}

std::vector<MinorBlockHeader> ShardCL::unconfirmed_headers() const {
  std::vector<MinorBlockHeader> headers;
  const std::size_t count_max = config_.minor_headers_max(shard_);
  std::uint64_t height = tips_.confirmed ? tips_.confirmed->header.height + 1 : 0;
  for (; height <= tips_.minor->header.height && headers.size() < count_max; ++height) {
    const auto hash = database_.minor_at(height);
    const MinorPointPtr point = hash ? database_.minor(*hash) : nullptr;
    if (!point) throw StoreFailure(fmt::format("the canonical block of height {} is missing", height));
    headers.push_back(point->header);
  }
  return headers;
}

std::uint32_t ShardCL::others_seen(std::uint64_t height) const {
  const auto seen = seen_.find(height);
  return seen == seen_.end() || seen->second.empty() ? 0 : static_cast<std::uint32_t>(seen->second.size() - 1);
}

BlockSetting ShardCL::setting_of(const MinorBlockHeader& header, const MinorPointPtr& parent) const {
  BlockSetting setting;
  setting.height = header.height;
  setting.create_time = header.create_time;
  setting.difficulty = header.difficulty;
  setting.coinbase = header.coinbase_address.recipient;
  setting.gas_limit = rules_.gas_limit();
  setting.xshard_gas_limit = rules_.xshard_gas_limit();
  setting.reward = rules_.reward(header.height);
  setting.locked = rules_.locked(parent, setting.coinbase);
  setting.reach = neighbourhood_.reach(tips_.root->header.height);
  return setting;
}

DepositCursor ShardCL::cursor_of(const MinorPointPtr& parent, const RootPointPtr& root) const {
  return DepositCursor(config_, shard_, neighbourhood_, database_, parent->meta.xshard_tx_cursor_info, root);
}

/// The root block of the next block: the root tip, or as far as one block may go.
RootPointPtr ShardCL::next_anchor() const {
  const RootPointPtr below = database_.root(tips_.minor->header.hash_prev_root_block);
  if (tips_.root->header.height - below->header.height <= root_blocks_at_once_max) return tips_.root;
  return database_.root_at(tips_.root, below->header.height + root_blocks_at_once_max);
}

SignedTransactionPtr ShardCL::signed_of(const TypedTransaction& typed, const Hash256& hash) {
  if (const SignedTransactionPtr waiting = queue_.find(hash)) return waiting;
  if (const SignedTransactionPtr* known = signed_.find(hash)) return *known;
  SignedTransactionPtr transaction = SignedTransaction::of(typed, hash);
  signed_.keep(hash, transaction);
  return transaction;
}

std::vector<SignedTransactionPtr> ShardCL::signed_of(const MinorBlock& block, const std::vector<Hash256>& hashes) {
  std::vector<SignedTransactionPtr> transactions;
  transactions.reserve(hashes.size());
  const std::shared_ptr<SenderSearch> search = search_of(block, hashes);
  if (search)
    for (SenderSearch::Found& found : search->finish())
      if (found.transaction) {
        const Hash256 hash = found.transaction->hash;
        signed_.keep(hash, std::move(found.transaction));
      }
  try { // what has no sender fails here once more, and says why
    for (const TypedTransaction& typed : block.tx_list)
      transactions.push_back(signed_of(typed, hashes[transactions.size()]));
  } catch (const TransactionFailure& failure) {
    throw TransactionRefused(fmt::format("{} (transaction {} of the block)", failure.what(), transactions.size()));
  }
  return transactions;
}

/// One that is under way, or that is worth it; null where there is nothing for threads to do.
std::shared_ptr<SenderSearch> ShardCL::search_of(const MinorBlock& block, const std::vector<Hash256>& hashes) {
  if (!sender_threads_ || hashes.empty()) return nullptr;
  if (!expected_.empty()) {
    const Hash256 wanted = hash_of(block.header);
    const auto expected = std::ranges::find(expected_, wanted, [](const auto& each) { return each.first; });
    if (expected != expected_.end()) {
      std::shared_ptr<SenderSearch> search = std::move(expected->second);
      expected_.erase(expected);
      return search;
    }
  }
  const auto is_known = [&](const Hash256& hash) { return queue_.has(hash) || signed_.find(hash) != nullptr; };
  if (static_cast<std::size_t>(std::ranges::count_if(hashes, is_known)) > hashes.size() / 2) return nullptr;
  auto search = std::make_shared<SenderSearch>(block.tx_list);
  sender_threads_->help(search);
  return search;
}

void ShardCL::expect(std::shared_ptr<const MinorBlock> block) {
  if (!sender_threads_ || block->tx_list.empty()) return;
  struct Kept {
    explicit Kept(std::shared_ptr<const MinorBlock> of) : block(std::move(of)), search(block->tx_list) {}
    std::shared_ptr<const MinorBlock> block;
    SenderSearch search;
  };
  const Hash256 hash = hash_of(block->header);
  const auto kept = std::make_shared<Kept>(std::move(block));
  const std::shared_ptr<SenderSearch> search(kept, &kept->search);
  sender_threads_->help(search);
  expected_.emplace_back(hash, search);
  if (expected_.size() > expected_max) expected_.pop_front();
}

/// Writes the index, and then moves. Transactions of blocks that leave wait again.
void ShardCL::move_to(const Tips& next, bool put_back, const IndexedBlock* at_hand) {
  const ChainChange change = index_.change_to(next.minor, at_hand);
  if (!change.leaving.empty() || !change.entering.empty()) {
    StoreBatch batch;
    index_.write(change, batch);
    database_.write(batch);
  }
  tips_ = next;
  tips_.check(database_);
  executor_.set_head(state_after(*tips_.minor));
  if (put_back)
    for (const IndexedBlock& leaving : change.leaving)
      for (std::size_t i = 0; i < leaving.transactions.size(); ++i)
        queue_.add(signed_of(leaving.block->tx_list[i], leaving.transactions[i]));
  if (queue_.size() == 0) return;
  for (const IndexedBlock& entering : change.entering)
    for (std::size_t i = 0; i < entering.transactions.size(); ++i) {
      const SignedTransactionPtr transaction = signed_of(entering.block->tx_list[i], entering.transactions[i]);
      queue_.remove_used(transaction->sender, transaction->tx.nonce);
    }
}

} // namespace trunkline::quarkchain
