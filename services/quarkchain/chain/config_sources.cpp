// What changes a configuration after it was read: the environment, and files with accounts.
#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <algorithm>
#include <array>

namespace trunkline::quarkchain {
namespace {

constexpr std::string_view environment_prefix = "QKC__";
constexpr std::string_view separator = "__";

/// A Python literal of the kinds that settings are made of.
Json literal(const std::string& variable, const std::string& text) {
  Json json;
  if (text == "True" || text == "False") {
    json.kind = Json::Kind::boolean;
    json.boolean = text == "True";
    return json;
  }
  if (text == "None") return json;
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front();
  if (quoted && text.find('\\') == std::string::npos && text.find(text.front(), 1) == text.size() - 1) {
    json.kind = Json::Kind::text;
    json.text = text.substr(1, text.size() - 2);
    return json;
  }
  try {
    json = Json::parse(text);
    if (json.kind == Json::Kind::number || json.kind == Json::Kind::list) return json;
  } catch (const JsonError&) {}
  throw ConfigFailure("environment: " + variable +
                      ": expected a number, a quoted text, a list, True, False or None, seen " + text);
}

Json& member(Json& object, const std::string& name) {
  for (auto found = object.members.rbegin(); found != object.members.rend(); ++found)
    if (found->name == name) return found->value;
  return object.members.emplace_back(name, Json()).value;
}

void apply_variable(Json& config, const std::string& variable, const std::string& text) {
  Json* at = &config;
  std::string_view rest = std::string_view(variable).substr(environment_prefix.size());
  std::string path;
  for (std::size_t end = rest.find(separator); end != std::string_view::npos; end = rest.find(separator)) {
    const std::string name(rest.substr(0, end));
    path += (path.empty() ? "" : ".") + name;
    const Json* const there = at->find(name);
    if (!there || there->kind != Json::Kind::object)
      throw ConfigFailure("environment: " + variable + ": expected an object at " + path + ", seen " +
                          (there ? there->describe() : std::string("nothing")));
    at = &member(*at, name);
    rest.remove_prefix(end + separator.size());
  }
  if (rest.empty()) throw ConfigFailure("environment: " + variable + ": expected the name of a key, seen nothing");
  member(*at, std::string(rest)) = literal(variable, text);
}

/// What each of these accounts gets.
std::vector<std::pair<std::string, BigUint>> given_balances(const std::string& genesis_token) {
  const BigUint unit(1'000'000'000'000'000'000);
  std::vector<std::pair<std::string, BigUint>> given{{genesis_token, BigUint::scaled(unit, 1'000'000, 1)}};
  const std::pair<const char*, std::uint64_t> others[] = {
      {"QETC", 200'000'000}, {"QFB", 300'000'000}, {"QAAPL", 400'000'000}, {"QTSLA", 500'000'000}};
  for (const auto& [name, units] : others) {
    const BigUint amount = BigUint::scaled(unit, units, 1);
    if (name == genesis_token) given.front().second = amount;
    else given.emplace_back(name, amount);
  }
  return given;
}

std::vector<Address> addresses_in(const std::string& name, const std::optional<std::string>& text) {
  if (!text) throw ConfigFailure(name + ": no such file");
  std::vector<Address> addresses;
  Json json;
  try {
    json = Json::parse(*text);
  } catch (const JsonError& error) {
    throw ConfigFailure(name + ": " + error.what());
  }
  if (json.kind != Json::Kind::list) throw ConfigFailure(name + ": expected a list, seen " + json.describe());
  for (std::size_t i = 0; i < json.items.size(); ++i) {
    const Json* found = json.items[i].find("address");
    const auto bytes = found && found->kind == Json::Kind::text ? FixedBytes<24>::from_hex(found->text) : std::nullopt;
    if (!bytes)
      throw ConfigFailure(name + ": [" + std::to_string(i) + "].address: expected 48 hexadecimal digits, seen " +
                          (found ? found->describe() : std::string("nothing")));
    Address& address = addresses.emplace_back();
    std::copy_n(bytes->bytes.begin(), Recipient::size, address.recipient.bytes.begin());
    for (std::size_t at = Recipient::size; at < 24; ++at)
      address.full_shard_key = address.full_shard_key << 8 | static_cast<std::uint32_t>(bytes->bytes[at]);
  }
  return addresses;
}

using Balances = std::vector<std::pair<std::string, BigUint>>;

/// In the place of the same address, or at the end.
void give(ShardConfig& shard, const Address& address, const Balances& balances) {
  GenesisAccount account;
  account.address = address;
  account.balances = balances;
  for (GenesisAccount& there : shard.genesis.alloc)
    if (there.address == address) {
      there = std::move(account);
      return;
    }
  shard.genesis.alloc.push_back(std::move(account));
}

} // namespace

void apply_environment(Json& config, std::span<const std::pair<std::string, std::string>> variables) {
  for (const auto& [name, value] : variables)
    if (name.starts_with(environment_prefix)) apply_variable(config, name, value);
}

std::vector<std::string> add_genesis_accounts(
    QuarkChainConfig& config, const std::function<std::optional<std::string>(const std::string& name)>& read) {
  std::vector<std::string> left_out;
  const Balances balances = given_balances(config.genesis_token);
  try {
    std::vector<ShardConfig> shards = config.shards;
    for (std::uint32_t chain = 0; chain < config.chain_size; ++chain) {
      const std::string name = "alloc/" + std::to_string(chain) + ".json";
      for (const Address& address : addresses_in(name, read(name))) {
        const auto id = config.full_shard_id_of_key(address.full_shard_key);
        const auto shard = std::find_if(shards.begin(), shards.end(),
                                        [&](const ShardConfig& known) { return known.full_shard_id == id; });
        if (shard == shards.end())
          throw ConfigFailure(name + ": expected a key of a configured chain, seen " +
                              shard_text(address.full_shard_key));
        give(*shard, address, balances);
      }
    }
    config.shards = std::move(shards);
  } catch (const ConfigFailure& failure) {
    left_out.push_back(failure.what());
  }
  try {
    for (Address address : addresses_in("loadtest.json", read("loadtest.json")))
      for (ShardConfig& shard : config.shards) {
        address.full_shard_key = shard.full_shard_id;
        give(shard, address, balances);
      }
  } catch (const ConfigFailure& failure) {
    left_out.push_back(failure.what());
  }
  return left_out;
}

} // namespace trunkline::quarkchain
