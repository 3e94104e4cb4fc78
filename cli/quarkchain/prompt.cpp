#include "cli/quarkchain/prompt.hpp"

#include "cli/exit_code.hpp"
#include "cli/location.hpp"
#include "cli/nearest.hpp"
#include "cli/quarkchain/request_line.hpp"
#include "cli/table.hpp"
#include "fragment/quote.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <exception>
#include <map>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace trunkline::cli {

using namespace quarkchain;

namespace {

using Words = std::vector<std::string>;

// Reading words.

/// JSON is the rest of the line, blanks included.
Words words_of(const std::string& line) {
  Words words;
  for (std::size_t at = line.find_first_not_of(" \t"); at != std::string::npos;
       at = line.find_first_not_of(" \t", at)) {
    const bool json = line[at] == '{' || line[at] == '[';
    const std::size_t end = json ? std::string::npos : line.find_first_of(" \t", at);
    words.push_back(line.substr(at, end == std::string::npos ? end : end - at));
    at = end;
    if (end == std::string::npos) break;
  }
  return words;
}

template <std::unsigned_integral T> T number(const char* what, const std::string& word) {
  const bool hex = word.starts_with("0x");
  const char* const last = word.data() + word.size();
  T value = 0;
  const auto [end, failure] = std::from_chars(word.data() + (hex ? 2 : 0), last, value, hex ? 16 : 10);
  if (failure != std::errc() || end != last || word.size() == (hex ? 2u : 0u))
    throw UsageError(fmt::format("{}: expected a number, as 65537 or 0x00010001, seen {}", what, quote(word)));
  return value;
}

std::string_view without_0x(const std::string& word) {
  return std::string_view(word).substr(word.starts_with("0x") ? 2 : 0);
}

/// Recipient and key, or the recipient alone.
Address address_of(const std::string& word) {
  const std::string_view digits = without_0x(word);
  const auto recipient = Recipient::from_hex(digits.substr(0, 2 * Recipient::size));
  const auto key = FixedBytes<4>::from_hex(digits.size() > 40 ? digits.substr(40) : "00000000");
  if (!recipient || !key) throw UsageError("ADDRESS: expected 40 or 48 hexadecimal digits, seen " + quote(word));
  Address address;
  address.recipient = *recipient;
  for (const std::byte byte : key->bytes)
    address.full_shard_key = address.full_shard_key << 8 | std::to_integer<std::uint32_t>(byte);
  return address;
}

bool switch_of(const std::string& word) {
  if (word != "on" && word != "off") throw UsageError("mining: expected on or off, seen " + quote(word));
  return word == "on";
}

std::string amount_text(const TokenBalanceMap& balances) {
  std::string text;
  for (const TokenBalances::Entry& entry : balances.balance_map) {
    const auto id = entry.token.to_u64();
    const auto name = id ? token_name(*id) : std::nullopt;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", entry.amount.to_decimal(),
                        name ? *name : entry.token.to_decimal());
  }
  return text;
}

Table done(std::string note) {
  Table table({"done"});
  table.rows.push_back({Cell(std::move(note))});
  return table;
}

/// Null when it is not connected.
std::shared_ptr<RpcCircuit> circuit_of(const MasterNode& master, std::string_view id) {
  for (const auto& [name, client] : master.slaves())
    if (name == id) return client.circuit();
  return nullptr;
}

/// What a shard has that has not reported since this master began: as far as other requests tell.
awaitable<ShardStats> asked_stats(Operated* on, std::uint32_t shard) {
  ShardStats stats;
  const SlaveClient slave = on->master.slave_of(shard);
  const GetEcoInfoListRequest everything;
  const GetEcoInfoListResponse reply = co_await slave.ask(everything);
  for (const EcoInfo& info : reply.eco_info_list) {
    if (info.branch.value != shard || info.height == 0) continue;
    GetMinorBlockRequest tip;
    tip.branch.value = shard;
    tip.height = info.height - 1; // the eco info is of the next block
    const std::optional<GetMinorBlockResponse> block = co_await slave.find(tip);
    if (!block) continue;
    stats.height = block->minor_block.header.height;
    stats.difficulty = block->minor_block.header.difficulty;
    stats.timestamp = block->minor_block.header.create_time;
  }
  co_return stats;
}

// The commands. Each is given its words, of which the first is its name.

awaitable<Table> status(Operated* on, Words) {
  const RootBlock& tip = on->chain.tip();
  Table table({"cluster", "slaves", "root_height", "root_hash", "root_time", "members"});
  const std::uint64_t slaves = on->master.slaves().size();
  std::string members;
  for (const SlaveConfig& slave : on->config.slave_list)
    members +=
        fmt::format("{}{}{}: {}", members.empty() ? "" : "; ", slave.id,
                    circuit_of(on->master, slave.id) ? "" : " (not connected)", shards_text(slave.full_shard_id_list));
  table.rows.push_back(
      {on->master.progress(), slaves, tip.header.height, hash_of(tip.header).hex(), tip.header.create_time, members});
  co_return table;
}

awaitable<Table> slaves(Operated* on, Words) {
  Table table({"slave", "address", "calls_pending", "shards"});
  for (const SlaveConfig& slave : on->config.slave_list) {
    const auto circuit = circuit_of(on->master, slave.id);
    const std::string address = circuit ? circuit->remote() : "not connected";
    const std::uint64_t pending = circuit ? circuit->calls_pending() : 0;
    table.rows.push_back({slave.id, address, pending, shards_text(slave.full_shard_id_list)});
  }
  table.note = "SLAVE_LIST has no slave";
  co_return table;
}

awaitable<Table> stats(Operated* on, Words) {
  Table table({"shard", "height", "difficulty", "timestamp", "pending", "transactions", "blocks_60s", "slave"});
  std::map<std::uint32_t, std::string> slaves; // by what they run
  for (const SlaveConfig& slave : on->config.slave_list)
    for (const std::uint32_t shard : slave.full_shard_id_list) slaves.emplace(shard, slave.id);
  for (const auto& [shard, slave] : slaves) {
    const auto& reported = on->chain.stats();
    const auto found = reported.find(shard);
    ShardStats of;
    if (found != reported.end()) of = found->second;
    else if (circuit_of(on->master, slave)) of = co_await asked_stats(on, shard);
    table.rows.push_back({shard_text(shard), of.height, of.difficulty.to_decimal(), of.timestamp, of.pending_tx_count,
                          of.total_tx_count, of.block_count60s, slave});
  }
  table.note = "SLAVE_LIST has no shard";
  co_return table;
}

awaitable<Table> account(Operated* on, Words words) {
  const Address address = address_of(words[1]);
  std::optional<std::uint64_t> height;
  if (words.size() > 2) height = number<std::uint64_t>("HEIGHT", words[2]);
  Table table({"shard", "transactions", "balances", "contract"});
  const std::vector<AccountBranchData> accounts = co_await on->master.get_account_data(address, height);
  for (const AccountBranchData& of : accounts)
    table.rows.push_back({shard_text(of.branch.value), of.transaction_count.to_decimal(),
                          amount_text(of.token_balances), of.is_contract});
  table.note = "no shard answered";
  co_return table;
}

awaitable<Table> block(Operated* on, Words words) {
  const auto branch = number<std::uint32_t>("SHARD", words[1]);
  const SlaveClient slave = on->master.slave_of(branch);
  const auto hash = Hash256::from_hex(without_0x(words[2]));
  GetMinorBlockRequest request;
  request.branch.value = branch;
  if (hash) request.minor_block_hash = *hash;
  else request.height = number<std::uint64_t>("HEIGHT", words[2]);
  const std::optional<GetMinorBlockResponse> found = co_await slave.find(request);
  Table table({"shard", "height", "hash", "previous", "root", "time", "transactions", "coinbase"});
  table.note = "no such block";
  if (found) {
    const MinorBlockHeader& header = found->minor_block.header;
    table.rows.push_back({shard_text(header.branch.value), header.height, hash_of(header).hex(),
                          header.hash_prev_minor_block.hex(), header.hash_prev_root_block.hex(), header.create_time,
                          std::uint64_t{found->minor_block.tx_list.size()}, amount_text(header.coinbase_amount_map)});
  }
  co_return table;
}

awaitable<Table> headers(Operated* on, Words) {
  Table table({"shard", "headers", "first", "last"});
  const std::vector<HeadersInfo> infos = co_await on->master.get_unconfirmed_headers();
  for (const HeadersInfo& info : infos) {
    const auto& list = info.header_list;
    const std::string first = list.empty() ? "-" : std::to_string(list.front().height);
    const std::string last = list.empty() ? "-" : std::to_string(list.back().height);
    table.rows.push_back({shard_text(info.branch.value), std::uint64_t{list.size()}, first, last});
  }
  table.note = "no shard answered";
  co_return table;
}

/// Makes a root block of what the slaves have, keeps it, and tells them.
awaitable<Table> root(Operated* on, Words words) {
  Address coinbase;
  if (words.size() > 1) coinbase = address_of(words[1]);
  const std::vector<HeadersInfo> infos = co_await on->master.get_unconfirmed_headers();
  const RootBlock next = on->chain.next_block(hash_of(on->chain.tip().header), infos, coinbase);
  on->chain.add(next);
  const bool switched = co_await on->master.add_root_block(next);
  Table table({"root_height", "root_hash", "minor_headers", "switched"});
  table.rows.push_back(
      {next.header.height, hash_of(next.header).hex(), std::uint64_t{next.minor_block_header_list.size()}, switched});
  co_return table;
}

awaitable<Table> mining(Operated* on, Words words) {
  const bool wanted = switch_of(words[1]);
  co_await on->master.mine(wanted);
  co_return done(std::string("all slaves have been told: mining ") + words[1]);
}

awaitable<Table> send(Operated* on, Words words) {
  const auto bytes = from_hex(without_0x(words[1]));
  if (!bytes) throw UsageError("RLP: expected an even number of hexadecimal digits, seen " + quote(words[1]));
  TypedTransaction transaction;
  transaction.tx.serialized_tx = *bytes;
  const std::string hash = hash_of(transaction).hex();
  co_await on->master.add_transaction(std::move(transaction));
  Table table({"transaction"});
  table.rows.push_back({hash});
  co_return table;
}

awaitable<Table> create(Operated* on, Words words) {
  co_await on->master.create_peer(number<std::uint64_t>("ID", words[1]));
  co_return done("all slaves know peer " + words[1]);
}

awaitable<Table> destroy(Operated* on, Words words) {
  co_await on->master.destroy_peer(number<std::uint64_t>("ID", words[1]));
  co_return done("no slave knows peer " + words[1] + " any more");
}

awaitable<Table> peers(Operated* on, Words) {
  Table table({"peer"});
  for (const std::uint64_t id : on->master.peers()) table.rows.push_back({id});
  table.note = "no other cluster is connected";
  co_return table;
}

awaitable<Table> meet(Operated* on, Words words) {
  std::string address = parse_address(words[1]);
  const std::uint64_t id = co_await on->master.connect_peer(std::move(address));
  Table table({"peer"});
  table.rows.push_back({id});
  co_return table;
}

awaitable<Table> leave(Operated* on, Words words) {
  const auto id = number<std::uint64_t>("ID", words[1]);
  const std::vector<std::uint64_t> there = on->master.peers();
  if (std::ranges::find(there, id) == there.end())
    throw UsageError("leave: expected the ID of a peer, seen " + words[1] + "; peers lists them");
  on->master.disconnect_peer(id);
  co_return done("peer " + words[1] + " is gone");
}

awaitable<Table> boot(Operated* on, Words words) {
  co_await on->master.boot_slave(words[1]);
  co_return done("slave " + words[1] + " is part of the cluster");
}

struct Known {
  const char* name;
  const char* arguments;
  const char* help;
  std::size_t words_min;
  std::size_t words_max;
  awaitable<Table> (*run)(Operated*, Words);
};

constexpr Known known[] = {
    {"status", "", "the cluster in one look", 1, 1, &status},
    {"slaves", "", "those of the configuration, and where they are connected", 1, 1, &slaves},
    {"stats", "", "what each shard has reported last, or says now", 1, 1, &stats},
    {"account", "ADDRESS [HEIGHT]", "transactions and balances in every shard, or at a height in its own", 2, 3,
     &account},
    {"block", "SHARD HEIGHT|HASH", "a minor block", 3, 3, &block},
    {"headers", "", "minor blocks that no root block has confirmed", 1, 1, &headers},
    {"root", "[COINBASE]", "make a root block of those, keep it, give it to all slaves", 1, 2, &root},
    {"mining", "on|off", "tell all slaves", 2, 2, &mining},
    {"send", "RLP", "give a signed transaction to its shard", 2, 2, &send},
    {"create", "ID", "tell all slaves of a peer that is not there: for tests of slaves", 2, 2, &create},
    {"destroy", "ID", "and that it is gone", 2, 2, &destroy},
    {"peers", "", "other clusters that are connected", 1, 1, &peers},
    {"meet", "ADDRESS", "connect to another cluster", 2, 2, &meet},
    {"leave", "ID", "disconnect from it", 2, 2, &leave},
    {"boot", "SLAVE", "connect a slave that was lost again", 2, 2, &boot},
};

struct Other {
  const char* name;
  const char* arguments;
  const char* help;
};

constexpr Other others[] = {
    {"call", "SLAVE OP [JSON]", "any request, its reply as JSON"},
    {"help", "", "this"},
    {"quit", "", "end the master, and with it the cluster"},
};

std::string line_text(const char* name, const char* arguments, const char* help) {
  return fmt::format("  {:<26}  {}\n", fmt::format("{} {}", name, arguments), help);
}

awaitable<std::string> call(Operated* on, Words words) {
  if (words.size() < 3) throw UsageError("call: expected SLAVE OP [JSON]");
  const SlaveClient slave = on->master.slave(words[1]);
  const OpTable tables[] = {OpTable::cluster};
  std::vector<Asked> all = read_asked(tables, std::span(words).subspan(2));
  std::string text;
  for (const Asked& asked : all) {
    Payload payload(static_cast<std::span<const std::byte>>(asked.payload));
    const CallVia via(slave.circuit(), on->request_deadline);
    if (asked.op->op_class == OpClass::command) {
      co_await raw_command(via, asked.op->code, std::move(payload));
      continue;
    }
    const RpcReply reply = co_await raw_call(via, asked.op->code, std::move(payload));
    std::string note;
    text += reply_text(asked, reply, words[1], note) + "\n";
  }
  co_return text;
}

[[noreturn]] void throw_unknown(const std::string& word) {
  std::vector<std::string_view> names;
  for (const Known& one : known) names.emplace_back(one.name);
  for (const Other& one : others) names.emplace_back(one.name);
  const std::string near = did_you_mean(word, names);
  throw UsageError("there is no command " + quote(word) + (near.empty() ? "; help lists them" : near));
}

} // namespace

awaitable<std::string> obey(Operated* operated, std::string line) {
  Words words = words_of(line);
  if (words.empty()) co_return std::string();
  const std::string name = words.front();
  if (name == "help") co_return commands_text();
  std::string text;
  if (name == "call") {
    text = co_await call(operated, std::move(words));
    co_return text;
  }
  for (const Known& one : known) {
    if (name != one.name) continue;
    if (words.size() < one.words_min || words.size() > one.words_max)
      throw UsageError(fmt::format("{}: expected {}, seen {} words", name,
                                   *one.arguments ? one.arguments : "nothing after it", words.size() - 1));
    const Table table = co_await one.run(operated, std::move(words));
    text = operated->json ? json_of(table) : text_of(table);
    co_return text;
  }
  throw_unknown(name);
}

bool means_quit(const std::string& line) {
  const Words words = words_of(line);
  return words.size() == 1 && (words.front() == "quit" || words.front() == "exit");
}

std::string commands_text() {
  std::string text;
  for (const Known& one : known) text += line_text(one.name, one.arguments, one.help);
  for (const Other& one : others) text += line_text(one.name, one.arguments, one.help);
  return text;
}

} // namespace trunkline::cli
