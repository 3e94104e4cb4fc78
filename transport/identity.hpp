// Who this node is to others, and whom it trusts: what every tls:// connection of a node needs.
#pragma once

#include "transport/identity_key.hpp"
#include "transport/trust.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct ssl_ctx_st;
struct x509_store_st;

namespace trunkline {

/// A certificate as it was shown, OpenSSL's own.
struct ShownCertificates {
  x509_st* leaf = nullptr;
  std::vector<const x509_st*> all; // the leaf, too
};

/// One identity, shared by the media and nodes that use it; not thread safe, so give each context its own.
class Identity {
 public:
  /// From files. `key_file` is made when it is not there. Errors: error::unusable_file.
  static std::shared_ptr<Identity> open(const std::string& key_file, TrustOptions trust);

  /// From a key that is kept in no file; `reload` reads the other files alone. Errors: error::unusable_file.
  explicit Identity(IdentityKey key, TrustOptions trust = TrustOptions());
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;
  ~Identity();

  /// Reads all files again: handshakes from now on use them, connections stay as they are. Errors:
  /// error::unusable_file; then nothing has changed.
  void reload();

  NodeId id() const { return key_.id(); }
  const IdentityKey& key() const noexcept { return key_; }
  const Trust& trust() const noexcept { return trust_; }
  /// Called with each stranger that is trusted from now on, and where it was met; a place to show the fingerprint.
  /// Called at the end of its handshake, which has proven that it holds the key: it must not throw.
  void on_stranger(std::function<void(const RemoteIdentity&, std::string_view where)> callback) {
    on_stranger_ = std::move(callback);
  }

  // For the streams.
  /// What handshakes begun now use; a connection keeps it alive.
  const std::shared_ptr<ssl_ctx_st>& context() const noexcept { return context_; }
  /// Whether the holder of these certificates is trusted on this connection. That it holds the key is for the handshake
  /// to prove.
  Judgement judge(const ShownCertificates& shown, const Meeting& meeting) const;
  /// The holder has proven the key, and was judged a stranger: it is trusted from now on, or refused after all.
  Judgement remember(Judgement stranger, const Meeting& meeting);

 private:
  Identity(std::string key_file, IdentityKey key, TrustOptions trust);
  void certify(const ShownCertificates& shown, const Meeting& meeting, ShownKey& key) const;

  std::string key_file_; // empty: none
  IdentityKey key_;
  Trust trust_;
  std::shared_ptr<ssl_ctx_st> context_;
  std::shared_ptr<x509_store_st> authorities_; // null: none
  std::function<void(const RemoteIdentity&, std::string_view)> on_stranger_;
};

} // namespace trunkline
