// The Ed25519 key that a node is known by, and the certificates that show it.
#pragma once

#include "fragment/ids.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct evp_pkey_st; // OpenSSL's, which only the .cpp files of transport/ include
struct x509_st;

namespace trunkline {

using WallTime = std::chrono::system_clock::time_point;

/// From when to when a certificate is valid, in whole seconds.
struct Validity {
  WallTime begins;
  WallTime ends;

  /// From ten minutes ago, because clocks differ, for so long.
  static Validity from_now(std::chrono::seconds duration);
};

inline constexpr std::chrono::seconds key_validity_default = std::chrono::hours(24 * 3650);
inline constexpr std::chrono::seconds succession_validity_default = std::chrono::hours(24 * 30);

/// The id of the node that holds this public key: the first 16 bytes of SHA-256 over "trunkline node id 1" and the 32
/// bytes of the key (docs/wire.md).
NodeId node_id_of_key(std::string_view public_key);
/// The same of an OpenSSL key; none for one that is no Ed25519 key.
NodeId node_id_of_key(const evp_pkey_st* key);

/// A private key with its certificate, and with certificates that older keys of the same node have given to newer ones.
/// A value; copies share the key. Its text is a PEM file: the private key, its certificate, then those of the
/// succession.
class IdentityKey {
 public:
  /// A new one with a certificate that it signs itself. No id begins with '-', so that it can stand on a command line.
  static IdentityKey draw(Validity validity = Validity::from_now(key_validity_default));
  /// From the text of a file, whose name is for error texts. One without a certificate gets one that lasts. Errors:
  /// error::unusable_file.
  static IdentityKey parse(const std::string& text, const std::string& path);
  /// The key of a file that others cannot read. Errors: error::unusable_file, also when there is no such file.
  static IdentityKey load(const std::string& path);
  /// The same; makes a key where there is no such file. `made` says whether it did.
  static IdentityKey load_or_make(const std::string& path, bool* made = nullptr);

  /// A new key of the same node. For as long as `overlap`, whoever trusts the old key also trusts the new one, because
  /// the old one has signed it.
  IdentityKey successor(Validity validity, Validity overlap) const;

  /// The text of its file.
  std::string to_text() const;
  /// Makes its file, mode 0600. Returns false when there is one of this name, which stays as it is.
  bool save(const std::string& path) const;

  NodeId id() const { return id_; }
  /// Older ids for which the successions that it carries stand, newest first, whether or not they are still valid.
  std::vector<NodeId> formerly() const;
  /// Of its own certificate.
  Validity validity() const;

  evp_pkey_st* key() const noexcept { return key_.get(); }
  /// What is shown in a handshake, its own certificate first.
  const std::vector<std::shared_ptr<x509_st>>& certificates() const noexcept { return certificates_; }

 private:
  IdentityKey() = default;

  std::shared_ptr<evp_pkey_st> key_;
  std::vector<std::shared_ptr<x509_st>> certificates_; // never empty
  NodeId id_;
};

/// The ids of the keys that a leaf's key provably succeeds, newest first: among the certificates, one that names the
/// leaf's key and that another key among them has signed says so, as long as it is valid, and so on from that one.
std::vector<NodeId> succession_of(const x509_st* leaf, const std::vector<const x509_st*>& certificates, WallTime now);

} // namespace trunkline
