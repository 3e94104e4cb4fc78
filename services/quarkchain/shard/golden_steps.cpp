#include "services/quarkchain/shard/golden_steps.hpp"

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/execution/transfers.hpp"
#include "services/quarkchain/shard/reward.hpp"
#include "services/quarkchain/shard/seal.hpp"
#include "services/quarkchain/shard/shard_cl.hpp"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <set>
#include <utility>

namespace trunkline::quarkchain {
namespace {

/// After the time of every block but those that say how far ahead of the clock they are.
constexpr std::uint64_t clock_of_steps = 4102444800;
constexpr std::size_t canonical_shown = 6;

[[noreturn]] void malformed(std::string_view name, const char* expected, const Json* seen) {
  throw JsonError(
      fmt::format("golden steps: {}: expected {}, seen {}", name, expected, seen ? seen->describe() : "nothing"));
}

const Json& member(const Json& json, std::string_view name) {
  const Json* found = json.find(name);
  if (!found) malformed(name, "a member", nullptr);
  return *found;
}

const std::string& text_in(const Json& json, std::string_view name) {
  const Json& found = member(json, name);
  if (found.kind != Json::Kind::text) malformed(name, "a text", &found);
  return found.text;
}

/// As a number or, when it is large, as a text.
BigUint number_of(const Json& json, std::string_view name) {
  const bool digits = json.kind == Json::Kind::number || json.kind == Json::Kind::text;
  const auto number = digits ? BigUint::from_decimal(json.text) : std::nullopt;
  if (!number) malformed(name, "a number from 0", &json);
  return *number;
}
BigUint number_in(const Json& json, std::string_view name) { return number_of(member(json, name), name); }

std::uint64_t small_in(const Json& json, std::string_view name) {
  const auto number = number_in(json, name).to_u64();
  if (!number) malformed(name, "a number of 64 bits", json.find(name));
  return *number;
}

bool flag_in(const Json& json, std::string_view name) {
  const Json& found = member(json, name);
  if (found.kind != Json::Kind::boolean) malformed(name, "true or false", &found);
  return found.boolean;
}

template <class T> T value_of(std::string_view name, const std::string& digits) {
  const auto bytes = from_hex(digits);
  if (!bytes) throw JsonError(fmt::format("golden steps: {}: expected hexadecimal digits", name));
  return decoded<T>(bytes_of(*bytes));
}
template <class T> T value_in(const Json& json, std::string_view name) {
  return value_of<T>(name, text_in(json, name));
}

template <std::size_t Size> FixedBytes<Size> fixed_in(const Json& json, std::string_view name) {
  const auto value = FixedBytes<Size>::from_hex(text_in(json, name));
  if (!value) malformed(name, "hexadecimal digits", json.find(name));
  return *value;
}

std::string shown(bool value) { return value ? "true" : "false"; }
std::string shown(const Json& json) {
  if (json.kind == Json::Kind::boolean) return shown(json.boolean);
  if (json.kind == Json::Kind::null) return "null";
  if (json.kind != Json::Kind::list) return json.text;
  std::string all;
  for (const Json& item : json.items) all += (all.empty() ? "" : ", ") + shown(item);
  return "[" + all + "]";
}
std::string shown(const std::vector<std::string>& items) {
  std::string all;
  for (const std::string& item : items) all += (all.empty() ? "" : ", ") + item;
  return "[" + all + "]";
}
std::string shown(const TokenBalances& balances) {
  std::vector<std::string> items;
  for (const auto& [token, amount] : balances)
    items.push_back(fmt::format("[{}, {}]", token.to_decimal(), amount.to_decimal()));
  return shown(items);
}
std::string shown(const XshardTxCursorInfo& at) {
  return fmt::format("[{}, {}, {}]", at.root_block_height, at.minor_block_index, at.xshard_deposit_index);
}

/// Collects what differs in one step, and counts it once.
class Step {
 public:
  Step(std::string name, StepCounts& counts, const std::function<void(const StepDifference&)>& differs)
      : name_(std::move(name)), counts_(counts), differs_(differs) {}
  Step(const Step&) = delete;
  ~Step() { ++(differed_ ? counts_.differ : counts_.agree); }

  void compare(std::string_view field, const std::string& expected, const std::string& seen) {
    if (expected == seen) return;
    differed_ = true;
    differs_({name_, std::string(field), expected, seen});
  }
  /// `why`: said with a false that should have been true.
  void compare(std::string_view field, bool expected, bool seen, const std::string& why) {
    const char* const text[] = {"false", "true"};
    if (expected != seen) compare(field, text[expected], seen || why.empty() ? text[seen] : "false: " + why);
  }

 private:
  std::string name_;
  StepCounts& counts_;
  const std::function<void(const StepDifference&)>& differs_;
  bool differed_ = false;
};

/// What came of something that may be refused.
struct Outcome {
  bool ok = true;
  bool before_it_ran = false;
  std::string error;
  std::string result;
};

template <class Action> Outcome outcome_of(Action&& action) {
  Outcome outcome;
  try {
    outcome.result = action();
  } catch (const ConsensusRefusal& refusal) {
    outcome = {false, refusal.rule < Rule::transaction, refusal.what(), {}};
  } catch (const std::exception& other) {
    outcome = {false, false, other.what(), {}};
  }
  return outcome;
}

/// pyquarkchain's text is the beginning of ours, which says more. What it says when it fails over its own text is
/// nobody's business but that it refuses.
void compare_error(Step& step, const Json& expected, const Outcome& seen) {
  const Json* kind = expected.find("kind");
  if (kind && kind->text == "AttributeError") return;
  const std::string& error = text_in(expected, "error");
  step.compare("error", error, seen.error.starts_with(error) ? error : seen.error);
}

class Steps {
 public:
  Steps(const Json& file, const std::function<void(const StepDifference&)>& differs) : file_(file), differs_(differs) {}

  StepCounts run() {
    if (file_.kind == Json::Kind::object) {
      if (file_.find("cases")) check_headers();
      else if (file_.find("doublesha256")) check_seals();
      else check_run(file_, "steps");
    } else if (file_.kind == Json::Kind::list) {
      for (std::size_t i = 0; i < file_.items.size(); ++i) check_item(file_.items[i], i);
    } else {
      malformed("the file", "an object or a list", &file_);
    }
    return counts_;
  }

 private:
  void check_item(const Json& item, std::size_t index) {
    if (item.find("steps")) return check_run(item, "run " + std::to_string(index));
    Step step("item " + std::to_string(index), counts_, differs_);
    if (item.find("cutoff")) check_difficulty(step, item);
    else if (item.find("epoch_interval")) check_reward(step, item);
    else if (item.find("initialized_shards")) check_neighbours(step, item);
    else if (item.find("stakes")) check_posw(step, item);
    else malformed("item " + std::to_string(index), "an item of difficulty, coinbase, neighbors or posw", &item);
  }

  void check_difficulty(Step& step, const Json& item) {
    const DifficultyRule rule{small_in(item, "cutoff"), small_in(item, "factor"), number_in(item, "minimum")};
    step.compare("difficulty", number_in(item, "difficulty").to_decimal(),
                 rule.next(number_in(item, "parent_difficulty"), small_in(item, "parent_time"), small_in(item, "time"))
                     .to_decimal());
  }

  Fraction fraction_in(const Json& item, std::string_view name) {
    const Json& found = member(item, name);
    const auto value =
        found.kind == Json::Kind::number ? Fraction::of(std::strtod(found.text.c_str(), nullptr)) : std::nullopt;
    if (!value) malformed(name, "a part of 0 to 1", &found);
    return *value;
  }

  void check_reward(Step& step, const Json& item) {
    QuarkChainConfig config;
    config.reward_tax_rate = fraction_in(item, "tax");
    config.block_reward_decay_factor = fraction_in(item, "decay");
    ChainConfig chain;
    chain.coinbase_amount = number_in(item, "coinbase_amount");
    chain.epoch_interval = small_in(item, "epoch_interval");
    step.compare("amount", number_in(item, "amount").to_decimal(),
                 block_reward(config, chain, small_in(item, "height")).to_decimal());
  }

  void check_neighbours(Step& step, const Json& item) {
    const auto a = static_cast<std::uint32_t>(small_in(item, "a"));
    const auto b = static_cast<std::uint32_t>(small_in(item, "b"));
    step.compare("neighbor", shown(flag_in(item, "neighbor")),
                 shown(are_neighbours(a, b, small_in(item, "initialized_shards"))));
  }

  void check_posw(Step& step, const Json& item) {
    const Json& given = member(item, "config");
    PoswConfig config;
    config.enabled = flag_in(given, "ENABLED");
    config.enable_timestamp = small_in(given, "ENABLE_TIMESTAMP");
    config.diff_divider = small_in(given, "DIFF_DIVIDER");
    config.window_size = small_in(given, "WINDOW_SIZE");
    config.total_stake_per_block = number_in(given, "TOTAL_STAKE_PER_BLOCK");
    config.boost_timestamp = small_in(given, "BOOST_TIMESTAMP");
    config.boost_multiplier_per_step = small_in(given, "BOOST_MULTIPLIER_PER_STEP");
    config.boost_steps = small_in(given, "BOOST_STEPS");
    config.boost_step_interval = small_in(given, "BOOST_STEP_INTERVAL");
    const auto result =
        posw(config, {small_in(item, "height"), small_in(item, "create_time"), number_in(item, "difficulty"),
                      number_in(item, "stakes"), small_in(item, "mined_in_window"), config.total_stake_per_block});
    const Json& expected = member(item, "result");
    const auto text = [](const std::string& difficulty, const std::string& mineable, const std::string& mined) {
      return fmt::format("difficulty {}, mineable {}, mined {}", difficulty, mineable, mined);
    };
    step.compare(
        "result",
        expected.is_null() ? "none"
                           : text(shown(member(expected, "effective_difficulty")), shown(member(expected, "mineable")),
                                  shown(member(expected, "mined"))),
        result ? text(result->difficulty.to_decimal(), std::to_string(result->mineable), std::to_string(result->mined))
               : "none");
  }

  void check_seals();
  void check_headers();
  void check_run(const Json& run, const std::string& fallback);

  const Json& file_;
  const std::function<void(const StepDifference&)>& differs_;
  StepCounts counts_;
};

/// A shard of its own with a database in memory.
class Fresh {
 public:
  explicit Fresh(const Json& run) : store_(make_memory_store()) {
    config_ = QuarkChainConfig::from_json(member(run, "config"));
    const auto id = static_cast<std::uint32_t>(small_in(run, "full_shard_id"));
    shard_ = config_.find_shard(id);
    if (!shard_) malformed("full_shard_id", "a shard of the configuration", run.find("full_shard_id"));
    begin();
    genesis_ = value_in<RootBlock>(run, "genesis_root");
    if (genesis_.header.height == shard_->genesis.root_height) cl_->genesis_from(genesis_);
  }

  void restart(const RootBlock& root) {
    begin();
    cl_->start(root);
  }
  ShardCL& cl() { return *cl_; }
  TransfersExecutor& executor() { return *executor_; }
  const Store& store() const { return *store_; }
  std::uint64_t genesis_token() const { return token_id(config_.genesis_token).value(); }

 private:
  void begin() {
    cl_.reset();
    executor_ = std::make_unique<TransfersExecutor>(config_, *shard_, *store_);
    cl_ = std::make_unique<ShardCL>(config_, *shard_, *store_, *executor_, true);
  }

  std::unique_ptr<Store> store_;
  QuarkChainConfig config_;
  const ShardConfig* shard_ = nullptr;
  RootBlock genesis_;
  std::unique_ptr<TransfersExecutor> executor_;
  std::unique_ptr<ShardCL> cl_;
};

void compare_then(Step& step, const Json& then, Fresh& fresh) {
  ShardCL& cl = fresh.cl();
  const Tips& tips = cl.tips();
  for (const JsonMember& expected : then.members) {
    const std::string& name = expected.name;
    std::string seen = "a field that nobody here knows";
    if (name == "tip") seen = tips.minor->hash.hex();
    else if (name == "tip_height") seen = std::to_string(tips.minor->header.height);
    else if (name == "root_tip") seen = tips.root->hash.hex();
    else if (name == "root_height") seen = std::to_string(tips.root->header.height);
    else if (name == "confirmed") seen = tips.confirmed ? tips.confirmed->hash.hex() : "null";
    else if (name == "queue") seen = std::to_string(cl.queue().size());
    else if (name == "state_root") seen = tips.minor->meta.hash_evm_state_root.hex();
    else if (name == "canonical") {
      std::vector<std::string> hashes;
      const std::uint64_t top = tips.minor->header.height;
      for (std::uint64_t height = top < canonical_shown ? 0 : top + 1 - canonical_shown; height <= top; ++height) {
        const auto hash = cl.database().minor_at(height);
        hashes.push_back(hash ? hash->hex() : "none");
      }
      if (cl.database().minor_at(top + 1)) hashes.push_back("and one above the tip");
      seen = shown(hashes);
    } else if (name == "unconfirmed") {
      std::vector<std::string> hashes;
      for (const MinorBlockHeader& header : cl.unconfirmed_headers()) hashes.push_back(hash_of(header).hex());
      seen = shown(hashes);
    } else if (name == "balances") {
      std::vector<std::string> accounts;
      for (const Json& item : expected.value.items) {
        if (item.items.size() != 3) malformed("balances", "lists of address, balance, nonce", &item);
        const auto who = Recipient::from_hex(item.items[0].text);
        if (!who) malformed("balances", "an address", &item.items[0]);
        const AccountState account = fresh.executor().account(tips.minor->meta.hash_evm_state_root, *who);
        accounts.push_back(fmt::format("[{}, {}, {}]", who->hex(),
                                       account.balances.of(fresh.genesis_token()).to_decimal(), account.nonce));
      }
      seen = shown(accounts);
    }
    step.compare(name, shown(expected.value), seen);
  }
}

void compare_added(Step& step, const Json& expected, const AddedBlock& added) {
  if (expected.kind == Json::Kind::boolean) return step.compare("result", shown(expected), shown(!added.known));
  if (expected.kind == Json::Kind::text) return step.compare("result", expected.text, added.known ? "known" : "added");
  if (added.known) return step.compare("result", "added", "known");
  CrossShardTransactionList sent;
  sent.tx_list = added.sent;
  step.compare("sent", text_in(expected, "sent"), to_hex(encoded(sent).text()));
  std::vector<std::string> taken;
  for (const CrossShardTransactionDeposit& deposit : added.taken) taken.push_back(deposit.tx_hash.hex());
  step.compare("received", shown(member(expected, "received")), shown(taken));
  TokenBalances coinbase;
  for (const Json& item : member(expected, "coinbase").items)
    if (item.items.size() == 2) coinbase.add(number_of(item.items[0], "token"), number_of(item.items[1], "amount"));
  step.compare("coinbase", shown(coinbase), shown(added.coinbase.balance_map));
}

/// Where deposits were taken from, and what it cost: what the block says, once it was found to be right.
void compare_cursor(Step& step, const Json& expected, const MinorBlock& block, const ShardDatabase& database) {
  const MinorPointPtr parent = database.minor(block.header.hash_prev_minor_block);
  step.compare("cursor before", shown(member(expected, "before")),
               parent ? shown(parent->meta.xshard_tx_cursor_info) : "no parent");
  step.compare("cursor after", shown(member(expected, "after")), shown(block.meta.xshard_tx_cursor_info));
  step.compare("gas used", shown(member(expected, "gas_used")), block.meta.evm_gas_used.to_decimal());
  step.compare("xshard gas used", shown(member(expected, "xshard_gas_used")),
               block.meta.evm_cross_shard_receive_gas_used.to_decimal());
}

std::string take(Fresh& fresh, const Json& json, std::optional<AddedBlock>& added) {
  ShardCL& cl = fresh.cl();
  AddOptions options;
  options.now = clock_of_steps;
  if (json.find("add_minor")) {
    added = cl.add_minor(value_in<MinorBlock>(json, "add_minor"), options);
    return {};
  }
  if (json.find("add_root")) return shown(cl.add_root(value_in<RootBlock>(json, "add_root")).switched);
  if (const Json* list = json.find("add_xshard")) {
    cl.add_deposits(fixed_in<32>(*list, "minor_block_hash"), value_in<CrossShardTransactionList>(*list, "list"));
    return {};
  }
  if (json.find("restart")) {
    fresh.restart(value_in<RootBlock>(json, "restart"));
    return {};
  }
  if (json.find("genesis_from"))
    return hash_of(cl.genesis_from(value_in<RootBlock>(json, "genesis_from")).header).hex();
  if (!json.find("add_tx"))
    malformed("step", "add_minor, add_root, add_xshard, add_tx, restart or genesis_from", &json);
  try {
    cl.add_transaction(value_in<TypedTransaction>(json, "add_tx"));
    return shown(true);
  } catch (const TransactionRefused&) {
  } catch (const TransactionFailure&) {
  } catch (const CapabilityMissing&) {}
  return shown(false);
}

std::string name_of_step(const Json& json) {
  const std::string action = json.members.empty() ? "nothing" : json.members.front().name;
  const Json* name = json.find("name");
  return name ? action + ": " + name->text : action;
}

void Steps::check_run(const Json& run, const std::string& fallback) {
  const Json* given = run.find("name");
  const std::string name = given ? given->text : fallback;
  Fresh fresh(run);
  const std::vector<Json>& steps = member(run, "steps").items;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Json& json = steps[i];
    Step step(fmt::format("{}, step {} ({})", name, i, name_of_step(json)), counts_, differs_);
    std::optional<AddedBlock> added;
    const Outcome seen = outcome_of([&] { return take(fresh, json, added); });
    const Json& expected = member(json, "expected");
    step.compare("ok", flag_in(expected, "ok"), seen.ok, seen.error);
    const Json* result = expected.find("result");
    if (!flag_in(expected, "ok") && !seen.ok) compare_error(step, expected, seen);
    else if (seen.ok && result && added) compare_added(step, *result, *added);
    else if (seen.ok && result) step.compare("result", shown(*result), seen.result);
    if (const Json* cursor = json.find("cursor"))
      compare_cursor(step, *cursor, value_in<MinorBlock>(json, "add_minor"), fresh.cl().database());
    if (const Json* then = json.find("then")) compare_then(step, *then, fresh);
  }
  const Json* database = run.find("database");
  if (!database) return;
  std::set<std::string> families;
  std::set<std::string> known;
  for (const Json& record : database->items) {
    if (record.items.size() != 3) malformed("database", "lists of family, key, value", &record);
    const auto key = from_hex(record.items[1].text);
    if (!key) malformed("database", "a key in hexadecimal", &record.items[1]);
    Step step(fmt::format("{}, record {}{}", name, record.items[0].text, record.items[1].text), counts_, differs_);
    families.insert(record.items[0].text);
    known.insert(*key);
    const auto value = fresh.store().get(*key);
    const bool hashed = record.items[2].text.starts_with("sha3:");
    step.compare("value", record.items[2].text,
                 !value   ? "no such record"
                 : hashed ? "sha3:" + keccak256(bytes_of(*value)).hex()
                          : to_hex(*value));
  }
  for (const std::string& family : families) {
    Step step(fmt::format("{}, no other records {}", name, family), counts_, differs_);
    fresh.store().scan(family, family, [&](std::string_view key, std::string_view) {
      if (!known.contains(std::string(key))) step.compare("record", "none", to_hex(key));
      return true;
    });
  }
}

/// "create_time 16 s ahead of the clock": 16. The block's time is what the clock is then told by.
std::optional<std::uint64_t> seconds_ahead(std::string_view name) {
  const auto at = name.find(" s ahead of the clock");
  if (at == std::string_view::npos) return std::nullopt;
  const auto before = name.substr(0, at);
  const auto number = BigUint::from_decimal(before.substr(before.rfind(' ') + 1));
  return number ? number->to_u64() : std::nullopt;
}

void Steps::check_headers() {
  Fresh fresh(file_);
  for (const Json& json : member(file_, "prelude").items) {
    Step step("prelude (" + name_of_step(json) + ")", counts_, differs_);
    std::optional<AddedBlock> added;
    const Outcome seen = outcome_of([&] { return take(fresh, json, added); });
    step.compare("ok", true, seen.ok, seen.error);
  }
  for (const Json& json : member(file_, "cases").items) {
    const std::string& name = text_in(json, "name");
    Step step("case \"" + name + "\"", counts_, differs_);
    const auto block = value_in<MinorBlock>(json, "block");
    const auto ahead = seconds_ahead(name);
    const std::uint64_t now = ahead ? block.header.create_time - *ahead : clock_of_steps;
    const Outcome seen = outcome_of([&] {
      fresh.cl().verify(block, now);
      return std::string();
    });
    const Json& expected = member(json, "expected");
    const bool valid = seen.ok || !seen.before_it_ran;
    step.compare("valid", flag_in(expected, "valid"), valid, seen.error);
    if (expected.find("executed") && valid)
      step.compare("executed", flag_in(expected, "executed"), seen.ok, seen.error);
    if (expected.find("error") && !seen.ok) compare_error(step, expected, seen);
  }
}

void Steps::check_seals() {
  const auto from_header = [](const Json& item) {
    const auto header = value_in<MinorBlockHeader>(item, "header");
    return Seal{mining_hash_of(header), header.height, header.nonce, header.mixhash, header.difficulty};
  };
  const auto each = [&](const char* kind, const std::function<void(Step&, const Json&)>& check) {
    const Json* items = file_.find(kind);
    for (std::size_t i = 0; items && i < items->items.size(); ++i) {
      Step step(fmt::format("{} {}", kind, i), counts_, differs_);
      check(step, items->items[i]);
    }
  };
  const auto sealed = [](ConsensusType type, const Seal& seal, bool rotation = false) {
    const Outcome outcome = outcome_of([&] { return shown(is_sealed(type, seal, rotation)); });
    return outcome.ok ? outcome.result : outcome.error;
  };
  each("doublesha256", [&](Step& step, const Json& item) {
    Seal seal = from_header(item);
    step.compare("mining_hash", text_in(item, "mining_hash"), seal.mining_hash.hex());
    seal.nonce = small_in(item, "nonce");
    seal.difficulty = number_in(item, "difficulty");
    step.compare("valid", shown(member(item, "valid")), sealed(ConsensusType::pow_doublesha256, seal));
  });
  each("simulate", [&](Step& step, const Json& item) {
    step.compare("valid", shown(member(item, "valid")), sealed(ConsensusType::pow_simulate, from_header(item)));
  });
  const auto from_nonce = [](const Json& item) {
    Seal seal{fixed_in<32>(item, "mining_hash"), small_in(item, "height"), 0, fixed_in<32>(item, "mixhash"), {}};
    seal.nonce = get_big<std::uint64_t>(fixed_in<8>(item, "nonce").bytes.data());
    return seal;
  };
  each("qkchash", [&](Step& step, const Json& item) {
    Seal seal = from_nonce(item);
    const bool rotation = flag_in(item, "rotation_stats");
    const WorkResult work = work_of(ConsensusType::pow_qkchash, seal, rotation);
    step.compare("mixhash", text_in(item, "mixhash"), work.mixhash.hex());
    step.compare("result", text_in(item, "result"), work.result.hex());
    seal.difficulty = number_in(item, "difficulty");
    step.compare("valid", shown(member(item, "valid")), sealed(ConsensusType::pow_qkchash, seal, rotation));
    seal.difficulty = *BigUint::from_decimal("1606938044258990275541962092341162602522202993782792835301376"); // 2^200
    step.compare("valid_at_difficulty_2^200", shown(member(item, "valid_at_difficulty_2^200")),
                 sealed(ConsensusType::pow_qkchash, seal, rotation));
    seal.difficulty = number_in(item, "difficulty");
    seal.mixhash.bytes[0] ^= std::byte{1};
    step.compare("valid_with_other_mixhash", shown(member(item, "valid_with_other_mixhash")),
                 sealed(ConsensusType::pow_qkchash, seal, rotation));
  });
  each("ethash", [&](Step& step, const Json& item) {
    Seal seal = from_nonce(item);
    const WorkResult work = work_of(ConsensusType::pow_ethash, seal);
    step.compare("mixhash", text_in(item, "mixhash"), work.mixhash.hex());
    step.compare("result", text_in(item, "result"), work.result.hex());
    seal.difficulty = number_in(item, "highest_valid_difficulty");
    step.compare("valid_at_that", shown(member(item, "valid_at_that")), sealed(ConsensusType::pow_ethash, seal));
    seal.difficulty = seal.difficulty + BigUint(1);
    step.compare("valid_one_above", shown(member(item, "valid_one_above")), sealed(ConsensusType::pow_ethash, seal));
  });
}

} // namespace

StepCounts check_golden_steps(const Json& file, const std::function<void(const StepDifference&)>& differs) {
  return Steps(file, differs).run();
}

} // namespace trunkline::quarkchain
