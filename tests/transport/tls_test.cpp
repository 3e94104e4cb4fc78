#include "transport/tls.hpp"

#include "tests/support/coroutine.hpp"
#include "tests/transport/conformance.hpp"
#include "transport/memory.hpp"
#include "transport/tcp.hpp"

#include <memory>
#include <string>

namespace trunkline::test {
namespace {

/// Two nodes that trust each other, over a medium of their own.
class TlsUnderTest : public MediumUnderTest {
 public:
  TlsUnderTest() : TlsUnderTest(nullptr) {}
  asio::io_context& io() override { return io_; }
  Medium& dialling() override { return *dialling_; }
  Medium& listening() override { return *listening_; }
  std::string address() override { return "tls://127.0.0.1:0"; }
  std::string address_of_nobody() override { return "tls://127.0.0.1:1"; }
  bool tells_a_cut() const override { return true; }

 protected:
  explicit TlsUnderTest(const std::shared_ptr<Medium>& below) {
    const IdentityKey one = IdentityKey::draw();
    const IdentityKey other = IdentityKey::draw();
    dialling_ = make_tls_medium(std::make_shared<Identity>(one, trusting(other)), below);
    listening_ = make_tls_medium(std::make_shared<Identity>(other, trusting(one)), below);
  }
  static TrustOptions trusting(const IdentityKey& key) {
    TrustOptions options;
    options.pins.push_back(key.id());
    return options;
  }

 private:
  asio::io_context io_{1};
  std::shared_ptr<Medium> dialling_;
  std::shared_ptr<Medium> listening_;
};

class TlsOverMemory final : public TlsUnderTest {
 public:
  TlsOverMemory() : TlsUnderTest(std::make_shared<MemoryMedium>()) {}
  std::string address() override { return "mem://alpha"; }
  std::string address_of_nobody() override { return "mem://nobody"; }
};

} // namespace

TRUNKLINE_TRANSPORT_CONFORMS("tls", TlsUnderTest)
TRUNKLINE_TRANSPORT_CONFORMS("tls over memory", TlsOverMemory)

} // namespace trunkline::test
