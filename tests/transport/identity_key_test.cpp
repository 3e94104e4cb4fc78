// Keys as files, the ids made of them, and the successions from one key to the next.
#include "transport/identity_key.hpp"

#include "fragment/error.hpp"
#include "fragment/hex.hpp"
#include "tests/support/temporary_directory.hpp"
#include "transport/guarded_file.hpp"

#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <string>
#include <vector>

namespace trunkline::test {
namespace {

template <class Action> std::string failure_of(Action&& action) {
  try {
    action();
  } catch (const boost::system::system_error& thrown) {
    CHECK(thrown.code() == make_error_code(error::unusable_file));
    return thrown.what();
  }
  return "no failure";
}

bool says(const std::string& text, const std::string& part) {
  CAPTURE(text);
  return text.find(part) != std::string::npos;
}

std::vector<NodeId> succession(const IdentityKey& key, WallTime now = std::chrono::system_clock::now()) {
  std::vector<const x509_st*> certificates;
  for (const auto& certificate : key.certificates()) certificates.push_back(certificate.get());
  return succession_of(certificates.front(), certificates, now);
}

} // namespace

TEST_CASE("identity key: the id of a public key is fixed") {
  // SHA-256 of "trunkline node id 1" and 32 zero bytes; docs/wire.md has this example.
  CHECK(to_hex(node_id_of_key(std::string(32, '\0')).bytes()) == "33b3d648f73949a5d97a43942d59af0e");
}

TEST_CASE("identity key: a key that was saved is the same one, in a file that nobody else can read") {
  const TemporaryDirectory directory;
  const std::string path = directory / "deep/er/key.pem";
  const IdentityKey key = IdentityKey::draw();
  CHECK(key.save(path));

  struct stat file{};
  REQUIRE(::stat(path.c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0600);
  REQUIRE(::stat((directory / "deep").c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0700);
  const IdentityKey again = IdentityKey::load(path);
  CHECK(again.id() == key.id());
  CHECK(again.to_text() == key.to_text());
  CHECK(again.id().to_string().size() == 22);
  CHECK(again.id().to_string().front() != '-');
}

TEST_CASE("identity key: a file that is there is never overwritten") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("key.pem", "something else", 0600);
  CHECK_FALSE(IdentityKey::draw().save(path));
  CHECK(directory.read("key.pem") == "something else");
  CHECK(says(failure_of([&] { IdentityKey::load_or_make(path); }), "holds no private key"));
  CHECK(directory.read("key.pem") == "something else");
}

TEST_CASE("identity key: the first start makes a key, the next ones find it") {
  const TemporaryDirectory directory;
  bool made = false;
  const IdentityKey first = IdentityKey::load_or_make(directory / "key.pem", &made);
  CHECK(made);
  const IdentityKey second = IdentityKey::load_or_make(directory / "key.pem", &made);
  CHECK_FALSE(made);
  CHECK(first.id() == second.id());
}

TEST_CASE("identity key: a file that others can read is refused by its name and mode") {
  const TemporaryDirectory directory;
  const std::string text = IdentityKey::draw().to_text();
  for (const unsigned mode : {0640u, 0604u, 0644u, 0660u, 0777u}) {
    const std::string path = directory.write("key.pem", text, mode);
    const std::string failure = failure_of([&] { IdentityKey::load(path); });
    CHECK(says(failure, path));
    CHECK(says(failure, "expected 0600"));
  }
  for (const unsigned mode : {0600u, 0400u})
    CHECK_NOTHROW(IdentityKey::load(directory.write("key.pem", text, mode)));
}

TEST_CASE("identity key: what is no key is refused in words") {
  const TemporaryDirectory directory;
  const auto refusal = [&](const std::string& text) {
    return failure_of([&] { IdentityKey::load(directory.write("key.pem", text)); });
  };
  CHECK(says(failure_of([&] { IdentityKey::load(directory / "none.pem"); }), "there is none"));
  CHECK(says(failure_of([&] { IdentityKey::load(directory / "."); }), "is no regular file"));
  CHECK(says(refusal(""), "holds no private key in PEM"));
  CHECK(says(refusal(std::string(2 << 20, 'x')), "expected at most"));
  const std::string one = IdentityKey::draw().to_text();
  const std::string other = IdentityKey::draw().to_text();
  const auto key_in = [](const std::string& text) { return text.substr(0, text.find("-----BEGIN CERT")); };
  const auto certificate_in = [](const std::string& text) { return text.substr(text.find("-----BEGIN CERT")); };
  CHECK(says(refusal(key_in(one) + certificate_in(other)), "is of another key than its private key"));
  std::string broken = one;
  broken.replace(broken.find("-----BEGIN CERT") + 40, 4, "!!!!");
  CHECK(says(refusal(broken), "certificate that cannot be read"));
  // A key of another kind: P-256, made by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`.
  CHECK(says(refusal("-----BEGIN PRIVATE KEY-----\n"
                     "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgeE1fSTMvWMJQ3jUT\n"
                     "7FNypSkA5RkXucz4jHLSrjY0rOuhRANCAAQnbIU077G/kW0RCguppkO7lgOWEMJn\n"
                     "kYef2VEgmMcUPWX1F5SHhWBaTpIJ9F5aFYGZnWV+WTcMOSi/Mlg1C5bo\n"
                     "-----END PRIVATE KEY-----\n"),
             "expected Ed25519"));
}

TEST_CASE("identity key: a key without a certificate gets one") {
  const TemporaryDirectory directory;
  const std::string text = IdentityKey::draw().to_text();
  const IdentityKey key = IdentityKey::load(directory.write("key.pem", text.substr(0, text.find("-----BEGIN CERT"))));
  CHECK(key.certificates().size() == 1);
  CHECK(key.validity().ends > std::chrono::system_clock::now() + std::chrono::hours(24 * 3000));
}

TEST_CASE("identity key: a successor is vouched for by the keys before it, as long as their word lasts") {
  const IdentityKey first = IdentityKey::draw();
  const Validity lasting = Validity::from_now(key_validity_default);
  const IdentityKey second = first.successor(lasting, Validity::from_now(std::chrono::hours(1)));
  const IdentityKey third = second.successor(lasting, Validity::from_now(std::chrono::hours(2)));
  const auto now = std::chrono::system_clock::now();

  CHECK(succession(first).empty());
  CHECK(succession(second) == std::vector<NodeId>{first.id()});
  CHECK(succession(third) == std::vector<NodeId>{second.id(), first.id()});
  CHECK(succession(third, now + std::chrono::minutes(90)) == std::vector<NodeId>{second.id()});
  CHECK(succession(third, now + std::chrono::hours(3)).empty());
  CHECK(third.formerly() == std::vector<NodeId>{second.id(), first.id()});
  CHECK(IdentityKey::parse(third.to_text(), "text").formerly() == third.formerly());
}

TEST_CASE("identity key: nobody succeeds a key without its signature") {
  const IdentityKey victim = IdentityKey::draw();
  const IdentityKey thief = IdentityKey::draw();
  const IdentityKey forged = thief.successor(Validity::from_now(key_validity_default),
                                             Validity::from_now(std::chrono::hours(1)));
  // The thief's succession, with the victim's certificate beside it.
  std::vector<const x509_st*> certificates;
  for (const auto& certificate : forged.certificates()) certificates.push_back(certificate.get());
  certificates.push_back(victim.certificates().front().get());
  CHECK(succession_of(certificates.front(), certificates, std::chrono::system_clock::now()) ==
        std::vector<NodeId>{thief.id()});
}

TEST_CASE("identity key: the longest duration makes a certificate that is valid as long as a clock counts") {
  const Validity validity = Validity::from_now(std::chrono::seconds::max());
  CHECK(validity.ends > std::chrono::system_clock::now() + key_validity_default);
  CHECK_FALSE(IdentityKey::draw(validity).id().empty());
}

} // namespace trunkline::test
