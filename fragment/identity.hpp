// Who is at the far end of a connection, as far as the connection itself proves it.
#pragma once

#include "fragment/ids.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace trunkline {

/// The holder of a key. Nothing in it is a claim: the far side has proven all of it, or this side knows it.
struct RemoteIdentity {
  NodeId id;                    // of the key that the far side holds
  std::vector<NodeId> formerly; // of the keys that this one succeeds: whoever is meant by one of them is this node
  std::string name;             // under which this side knows the key; printable, empty when it has no name
  std::string certified;        // the name in a certificate of an authority that this side trusts; escaped, mostly empty

  /// Whether an id means this node.
  bool is(const NodeId& other) const noexcept {
    return id == other || std::find(formerly.begin(), formerly.end(), other) != formerly.end();
  }
  /// For log lines: the id, behind it the name in parentheses when there is one.
  std::string to_string() const;
};

/// What a connection proves once its handshake has ended, and the words that bind a Hello to it (docs/wire.md).
struct ChannelProof {
  std::shared_ptr<const RemoteIdentity> far;
  std::string hello_ours;   // what our Hello has to say on this connection and on no other
  std::string hello_theirs; // what the far side's Hello has to say
};

} // namespace trunkline
