// Whose keys are trusted: pins, known nodes, certificates of an authority, and what becomes of strangers.
#pragma once

#include "fragment/error.hpp"
#include "fragment/identity.hpp"
#include "transport/known_nodes.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trunkline {

/// What becomes of a node whose key nothing trusts.
enum class Strangers : std::uint8_t {
  refuse,
  remember, // it is trusted from now on, and the known-nodes file says so: trust on first use
  accept,   // it has proven to hold its key, and that is enough
};

struct TrustOptions {
  std::vector<NodeId> pins;     // trusted wherever they are met
  std::string known_nodes_file; // empty: none
  std::string authority_file;   // certificates, in PEM, that vouch for others; empty: none
  Strangers strangers = Strangers::refuse;

  TrustOptions() = default;
};

/// What a far side shows in a handshake, which goes on to prove that it holds the key.
struct ShownKey {
  NodeId id;
  std::vector<NodeId> formerly;
  std::string certified;        // the name that a trusted authority gave it; empty: none
  bool certified_here = false;  // by an authority, and for the host that was dialled
};

/// Which connection a handshake is for.
struct Meeting {
  bool dialled = false;
  std::string address;       // that was dialled, without a pin; otherwise what the transport calls the far end
  std::optional<NodeId> pin; // of the address that was dialled
  NodeId own;                // this side's own id
};

struct Judgement {
  error code = error::none; // none: trusted
  std::string text;         // why not
  RemoteIdentity who;
  bool is_new = false; // trusted from now on, as a stranger
};

/// Decides about keys. The first of these that has something to say decides: the pin of the address, the known nodes of
/// the address, the pins, the other known nodes, an authority, and what becomes of strangers. A value.
class Trust {
 public:
  explicit Trust(TrustOptions options = TrustOptions());

  /// Reads the known nodes. Errors: error::unusable_file; then nothing has changed.
  void reload();
  const TrustOptions& options() const noexcept { return options_; }
  const KnownNodes& known() const noexcept { return known_; }

  /// Writes nothing: a key that is shown is not proven yet. A stranger that may be trusted is `is_new`.
  Judgement judge(const ShownKey& shown, const Meeting& meeting) const;
  /// To be called with the judgement of a stranger that has proven its key. With Strangers::remember it writes the
  /// known-nodes file; where that fails, or where another process has met another key at that address meanwhile, the
  /// judgement returned does not trust it.
  Judgement remember(Judgement stranger, const Meeting& meeting);

 private:
  Judgement judge_stranger(const ShownKey& shown, const Meeting& meeting, Judgement judgement) const;

  TrustOptions options_;
  KnownNodes known_;
};

} // namespace trunkline
