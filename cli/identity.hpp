// The options of a subcommand about keys and trust, and the identity that they make.
#pragma once

#include "peer/node.hpp"
#include "peer/policy.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace trunkline::cli {

struct IdentityOptions {
  std::string key_file;         // empty: the usual one
  std::string known_nodes_file; // empty: the usual one
  std::vector<std::string> trusted;
  std::string authority_file;
  std::string strangers = "refuse";
  std::string policy_file; // of a node that listens
  bool insecure = false;
};

/// The directory of keys and known nodes: $XDG_CONFIG_HOME/trunkline, or ~/.config/trunkline. Errors: UsageError where
/// neither is known.
std::string config_directory();
/// The usual key of a program in that directory. Programs that listen and programs that only dial are different nodes.
std::string usual_key_file(const std::string& name);
inline constexpr const char* key_of_listening = "node.pem";
inline constexpr const char* key_of_dialling = "client.pem";
std::string usual_known_nodes_file();

/// Adds the options about keys. `usual` names the usual key.
void add_identity_options(CLI::App& command, IdentityOptions& options, const std::string& usual);
/// Adds --insecure, where plain text is an exception.
void add_insecure_option(CLI::App& command, IdentityOptions& options);
/// Adds --policy, for a node whose services rules can be about.
void add_policy_option(CLI::App& command, IdentityOptions& options);

/// What a node uses of them, and reads again when it is told to.
class NodeIdentity {
 public:
  /// Reads, or makes, the key when one of the addresses needs one, or the options name one. `say` gets what a person
  /// should know: a key that was made, a stranger that is trusted from now on. Errors: UsageError; error::unusable_file.
  NodeIdentity(const IdentityOptions& options, const std::string& usual, const std::vector<std::string>& addresses,
               std::function<void(const std::string&)> say);

  /// Sets what belongs to it in the options of a node.
  void apply(NodeOptions& options) const;
  /// Whether there is anything to be read again.
  bool reloads() const noexcept { return identity_ || *policy_; }
  /// Another policy from now on; empty: everybody may everything. Errors: error::unusable_file; then nothing has changed.
  void set_policy(const std::string& file);
  /// Reads key, known nodes and policy again. Errors: error::unusable_file; what could not be read stays as it was.
  /// Without a node: of one of another kind.
  void reload(Node* node = nullptr);
  const std::shared_ptr<Identity>& identity() const noexcept { return identity_; }

 private:
  IdentityOptions options_;
  std::shared_ptr<Identity> identity_; // null: no address needs one
  std::shared_ptr<std::optional<Policy>> policy_ = std::make_shared<std::optional<Policy>>(); // shared with the node
};

} // namespace trunkline::cli
