#include "cli/identity.hpp"

#include "async/log_rate.hpp"
#include "cli/exit_code.hpp"
#include "services/sync/path.hpp"
#include "transport/media.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

namespace trunkline::cli {
namespace {

constexpr const char* group = "Keys and trust";

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

Strangers strangers_of(const std::string& word) {
  if (word == "accept") return Strangers::accept;
  return word == "remember" ? Strangers::remember : Strangers::refuse;
}

bool needs_key(const std::vector<std::string>& addresses) {
  const Media media = default_media();
  for (const std::string& address : addresses)
    if (const Medium* const medium = find_medium(media, address); medium && medium->proves_identity()) return true;
  return false;
}

} // namespace

std::string config_directory() {
  if (const std::string configured = environment("XDG_CONFIG_HOME"); configured.starts_with('/'))
    return configured + "/trunkline";
  const std::string home = environment("HOME");
  if (!home.starts_with('/')) throw UsageError("neither XDG_CONFIG_HOME nor HOME says where keys are: name one with --key");
  return home + "/.config/trunkline";
}

std::string usual_key_file(const std::string& name) { return config_directory() + "/" + name; }

std::string usual_known_nodes_file() { return config_directory() + "/known_nodes"; }

void add_identity_options(CLI::App& command, IdentityOptions& options, const std::string& usual) {
  command
      .add_option("--key", options.key_file,
                  "The key of this node; made when it is missing. Unless given: " + usual + " in ~/.config/trunkline")
      ->type_name("FILE")
      ->group(group);
  command.add_option("--known-nodes", options.known_nodes_file, "Whose keys are trusted; see `trunkline key trust`")
      ->type_name("FILE")
      ->group(group);
  command.add_option("--trust", options.trusted, "Trust this node's key, too; may be repeated")
      ->type_name("ID")
      ->allow_extra_args(false)
      ->group(group);
  command.add_option("--authority", options.authority_file, "Certificates, in PEM, that vouch for the keys of others")
      ->type_name("FILE")
      ->group(group);
  command
      .add_option("--strangers", options.strangers,
                  "What becomes of unknown keys: refuse, remember (trust on first use) or accept")
      ->type_name("WHAT")
      ->capture_default_str()
      ->check(CLI::IsMember({"refuse", "remember", "accept"}))
      ->group(group);
}

void add_insecure_option(CLI::App& command, IdentityOptions& options) {
  command.add_flag("--insecure", options.insecure, "Allow addresses that other machines can reach, unencrypted")
      ->group(group);
}

void add_policy_option(CLI::App& command, IdentityOptions& options) {
  command.add_option("--policy", options.policy_file, "Who may use which service; what no line allows is denied")
      ->type_name("FILE")
      ->group(group);
}

NodeIdentity::NodeIdentity(const IdentityOptions& options, const std::string& usual,
                           const std::vector<std::string>& addresses, std::function<void(const std::string&)> say)
    : options_(options) {
  if (!options_.policy_file.empty()) *policy_ = Policy::load(options_.policy_file);
  if (options_.key_file.empty() && !needs_key(addresses)) return;
  if (options_.key_file.empty()) options_.key_file = usual_key_file(usual);
  if (options_.known_nodes_file.empty()) options_.known_nodes_file = usual_known_nodes_file();
  TrustOptions trust;
  trust.known_nodes_file = options_.known_nodes_file;
  trust.authority_file = options_.authority_file;
  trust.strangers = strangers_of(options_.strangers);
  for (const std::string& word : options_.trusted) {
    const std::optional<NodeId> id = NodeId::parse(word);
    if (!id || id->empty()) throw UsageError("--trust \"" + sync::printable(word) + "\" is no node id of 22 characters");
    trust.pins.push_back(*id);
  }
  bool made = false;
  const IdentityKey key = IdentityKey::load_or_make(options_.key_file, &made);
  if (made) say("made the key " + key.id().to_string() + " in " + options_.key_file);
  identity_ = Identity::open(options_.key_file, std::move(trust));
  identity_->on_stranger([say = std::move(say), lines = std::make_shared<LogRate>()](const RemoteIdentity& who,
                                                                                   std::string_view where) {
    const std::optional<std::string> line =
        lines->pass("a new key, " + who.id.to_string() + ", is trusted from now on; compare it: it was shown by " +
                        std::string(where),
                    std::chrono::steady_clock::now());
    if (line) say(*line);
  });
}

void NodeIdentity::apply(NodeOptions& options) const {
  options.identity = identity_;
  options.allow_plaintext = options_.insecure;
  options.allow = [policy = policy_](const RemoteIdentity* who, std::string_view service) {
    return *policy ? (**policy)(who, service) : Permission::yes();
  };
}

void NodeIdentity::set_policy(const std::string& file) {
  std::optional<Policy> policy;
  if (!file.empty()) policy = Policy::load(file);
  *policy_ = std::move(policy);
  options_.policy_file = file;
}

void NodeIdentity::reload(Node* node) {
  if (*policy_) *policy_ = Policy::load(options_.policy_file);
  if (!identity_) return;
  if (node) node->reload_identity();
  else identity_->reload();
}

} // namespace trunkline::cli
