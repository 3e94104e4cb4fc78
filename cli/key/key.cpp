// trunkline key: the key of this machine's nodes, and the keys of others that they trust.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/identity.hpp"
#include "fragment/json_line.hpp"
#include "services/sync/path.hpp"
#include "transport/guarded_file.hpp"
#include "transport/identity_key.hpp"
#include "transport/known_nodes.hpp"

#include <CLI/CLI.hpp>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

struct KeyOptions {
  std::string key_file;
  std::string known_nodes_file;
  std::string who;
  std::string name;
  std::vector<std::string> addresses;
  int days = 3650;
  int overlap_days = 30;
  bool json = false;
};

std::string key_file_of(const KeyOptions& options) {
  return options.key_file.empty() ? usual_key_file(key_of_listening) : options.key_file;
}

std::string known_nodes_file_of(const KeyOptions& options) {
  return options.known_nodes_file.empty() ? usual_known_nodes_file() : options.known_nodes_file;
}

std::string day_of(WallTime when) {
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::chrono::system_clock::to_time_t(when)));
}

std::chrono::seconds days(int count) { return std::chrono::hours(24 * count); }

int make_new(const KeyOptions& options) {
  const std::string file = key_file_of(options);
  const IdentityKey key = IdentityKey::draw(Validity::from_now(days(options.days)));
  if (!key.save(file))
    throw UsageError("\"" + sync::printable(file) + "\" is there already and stays as it is; `trunkline key rotate` replaces a key");
  std::printf("%s\n", key.id().to_string().c_str());
  return static_cast<int>(ExitCode::equal);
}

void show_key(const std::string& file, const IdentityKey& key, bool json) {
  const std::string until = day_of(key.validity().ends);
  std::string formerly;
  for (const NodeId& id : key.formerly()) formerly += (formerly.empty() ? "" : " ") + id.to_string();
  if (json) {
    JsonLine line;
    line.add("own", true).add("id", key.id().to_string()).add("file", file).add("until", until).add("formerly", formerly);
    std::printf("%s\n", line.take().c_str());
    return;
  }
  std::printf("%s  %s, until %s\n", key.id().to_string().c_str(), sync::printable(file).c_str(), until.c_str());
  if (!formerly.empty()) std::printf("  in the place of %s\n", formerly.c_str());
}

int show(const KeyOptions& options) {
  std::vector<std::string> files = {options.key_file};
  if (options.key_file.empty()) files = {usual_key_file(key_of_listening), usual_key_file(key_of_dialling)};
  bool any = false;
  for (const std::string& file : files) {
    if (options.key_file.empty() && ::access(file.c_str(), F_OK) != 0) continue;
    show_key(file, IdentityKey::load(file), options.json);
    any = true;
  }
  if (!any) std::fprintf(stderr, "trunkline: no key is there yet; `trunkline key new`, or the first start, makes one\n");
  const KnownNodes known = KnownNodes::load(known_nodes_file_of(options));
  if (!known.nodes().empty() && !options.json) std::printf("\ntrusted:\n");
  for (const KnownNode& node : known.nodes()) {
    std::string addresses;
    for (const std::string& address : node.addresses) addresses += (addresses.empty() ? "" : " ") + address;
    if (options.json) {
      JsonLine line;
      line.add("own", false).add("id", node.id.to_string()).add("name", node.name).add("at", addresses);
      std::printf("%s\n", line.take().c_str());
    } else {
      std::printf("%s  %s  %s\n", node.id.to_string().c_str(), node.name.empty() ? "-" : node.name.c_str(),
                  addresses.empty() ? "anywhere" : sync::printable(addresses).c_str());
    }
  }
  return static_cast<int>(ExitCode::equal);
}

/// An id, or the name of a known node.
NodeId id_of(const std::string& word, const KnownNodes& known) {
  if (const std::optional<NodeId> id = NodeId::parse(word); id && !id->empty()) return *id;
  if (const KnownNode* const node = known.find(std::string_view(word))) return node->id;
  throw UsageError("\"" + sync::printable(word) + "\" is neither a node id of 22 characters nor the name of a known node");
}

int trust(const KeyOptions& options) {
  const std::optional<NodeId> id = NodeId::parse(options.who);
  if (!id || id->empty()) throw UsageError("\"" + sync::printable(options.who) + "\" is no node id of 22 characters");
  KnownNodes::change(known_nodes_file_of(options), [&](KnownNodes& known) {
    known.trust(KnownNode{*id, options.name, options.addresses});
  });
  return static_cast<int>(ExitCode::equal);
}

int forget(const KeyOptions& options) {
  KnownNodes::change(known_nodes_file_of(options), [&](KnownNodes& known) {
    if (!known.forget(id_of(options.who, known)))
      throw UsageError("\"" + sync::printable(options.who) + "\" is not known");
  });
  return static_cast<int>(ExitCode::equal);
}

int rotate(const KeyOptions& options) {
  const std::string file = key_file_of(options);
  const FileLock lock(file);
  const IdentityKey old = IdentityKey::load(file);
  const IdentityKey next = old.successor(Validity::from_now(days(options.days)), Validity::from_now(days(options.overlap_days)));
  replace_file(file, "key file", next.to_text(), file + "." + old.id().to_string());
  std::printf("%s\n", next.id().to_string().c_str());
  std::fprintf(stderr,
               "trunkline: whoever trusts %s trusts the new key until %s; tell them the new id before that.\n"
               "trunkline: nodes that run use it once they get SIGHUP, or start again\n",
               old.id().to_string().c_str(), day_of(Validity::from_now(days(options.overlap_days)).ends).c_str());
  return static_cast<int>(ExitCode::equal);
}

void add_key_file(CLI::App& command, KeyOptions& options) {
  command.add_option("--key", options.key_file, "Unless given: node.pem in ~/.config/trunkline")->type_name("FILE");
}

void add_days(CLI::App& command, KeyOptions& options) {
  command.add_option("--days", options.days, "For how long the certificate is valid")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1, 36'500));
}

void add_known_nodes(CLI::App& command, KeyOptions& options) {
  command.add_option("--known-nodes", options.known_nodes_file, "Unless given: known_nodes in ~/.config/trunkline")
      ->type_name("FILE");
}

} // namespace

Command add_key(CLI::App& program) {
  const auto options = std::make_shared<KeyOptions>();
  CLI::App* const key = program.add_subcommand("key", "The key of this node, and the keys of others");
  key->require_subcommand(1);
  key->footer(
      "A node is known by its id, 22 characters that are made from its public key. Nodes that listen use the key\n"
      "node.pem, those that only dial client.pem; each is made at the first start.\n\nExample:\n"
      "  trunkline key show                                     # there: prints the id\n"
      "  trunkline key trust 3v1kGkQzm2cXl0xRNe4NTA --name laptop    # here");

  CLI::App* const make = key->add_subcommand("new", "Make a key; an existing one stays as it is");
  add_key_file(*make, *options);
  add_days(*make, *options);

  CLI::App* const print = key->add_subcommand("show", "Print the ids of the own keys, and whose keys are trusted");
  add_key_file(*print, *options);
  add_known_nodes(*print, *options);
  print->add_flag("--json", options->json, "One JSON object per line");

  CLI::App* const add = key->add_subcommand("trust", "Trust the key of another node");
  add->add_option("ID", options->who, "Its id, as `trunkline key show` prints it there")->required()->type_name("");
  add->add_option("--name", options->name, "What to call it, in logs and rules")->type_name("NAME");
  add->add_option("--at", options->addresses, "Trust it at this address alone; may be repeated")
      ->type_name("ADDRESS")
      ->allow_extra_args(false);
  add_known_nodes(*add, *options);

  CLI::App* const change = key->add_subcommand("rotate", "Replace the key by a new one, which the old one vouches for");
  add_key_file(*change, *options);
  add_days(*change, *options);
  change->add_option("--overlap", options->overlap_days, "For how many days those who trust the old key trust the new one")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1, 3650));

  CLI::App* const remove = key->add_subcommand("forget", "Trust the key of another node no more");
  remove->add_option("WHO", options->who, "Its id, or its name")->required()->type_name("");
  add_known_nodes(*remove, *options);

  return {key, [=] {
            if (make->parsed()) return make_new(*options);
            if (print->parsed()) return show(*options);
            if (add->parsed()) return trust(*options);
            if (change->parsed()) return rotate(*options);
            return forget(*options);
          }};
}

} // namespace trunkline::cli
