// Parses what peers are called and prints it again; every malformed text is answered with what was expected where.
#include "fragment/error.hpp"
#include "peer/url.hpp"

#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

using namespace trunkline;

namespace {

const std::string id = "bWFrZSBpdCBzb3VuZCEhIQ";

std::string complaint(std::string_view text, const Media& media = default_media()) {
  try {
    PeerUrl::parse(text, media);
  } catch (const boost::system::system_error& thrown) {
    CHECK(thrown.code() == error::bad_url);
    return thrown.what();
  }
  return "parsed";
}

bool complains(std::string_view text, std::string_view about, const Media& media = default_media()) {
  const std::string said = complaint(text, media);
  INFO(said);
  return said.find(about) != std::string::npos;
}

} // namespace

TEST_CASE("url: its parts are the address, the service, the peer and the circuit") {
  const PeerUrl url = PeerUrl::parse("tcp://127.0.0.1:7000/store/" + id + "/17");

  CHECK(url.address() == "tcp://127.0.0.1:7000");
  CHECK(url.scheme() == "tcp");
  CHECK(url.service() == "store");
  CHECK(url.peer_id().to_string() == id);
  CHECK(url.circuit_id() == 17);
}

TEST_CASE("url: what is printed is what was parsed") {
  const std::string node = NodeId::parse(id)->to_string();
  for (const std::string& text :
       {"tcp://127.0.0.1:7000/store/" + id, "tcp://[::1]:7000/store/" + id, "tcp://example.org:1/store/" + id + "/3",
        "tls://host:65535/store/" + id, "ws://host:80/store/" + id, "wss://host:443/store/" + id,
        "unix:/run/t.sock!/store/" + id, "unix:relative.sock!/store/" + id, "unix:/odd%21name%25!/store/" + id,
        "mem://alpha/store/" + id, "sim://alpha:name/store/" + id, "node://" + node + "/store/" + id,
        "mem://alpha/a%2Fb%25c%20d%C3%A9/" + id, std::string("tcp://127.0.0.1:7000/store")}) {
    CAPTURE(text);
    CHECK(PeerUrl::parse(text).to_string() == text);
  }
}

TEST_CASE("url: a service name may hold any byte") {
  std::string name;
  for (int byte = 1; byte < 256; ++byte) name += static_cast<char>(byte);
  const PeerUrl url("mem://alpha", name, *PeerId::parse(id));

  const PeerUrl again = PeerUrl::parse(url.to_string());

  CHECK(again == url);
  CHECK(again.service() == name);
}

TEST_CASE("url: the path of a unix socket may hold the mark that ends it") {
  const PeerUrl url("unix:/tmp/100%!/t.sock", "store", *PeerId::parse(id));

  const PeerUrl again = PeerUrl::parse(url.to_string());

  CHECK(again.address() == "unix:/tmp/100%!/t.sock");
  CHECK(again == url);
}

TEST_CASE("url: a path that begins with slashes is a path, and a name that begins with them is a name") {
  for (const char* path : {"/run/t.sock", "///run/t.sock", "//run/t.sock", "//t.sock", "//", "//!", "//a b"}) {
    const PeerUrl url("unix:" + std::string(path), "store", PeerId());
    CAPTURE(url.to_string());
    CHECK(PeerUrl::parse(url.to_string()) == url);
  }
}

namespace {

/// Knows nothing but what it says of itself.
class SerialMedium final : public Medium {
 public:
  std::string_view scheme() const noexcept override { return "serial"; }
  std::string_view form() const noexcept override { return "serial:/device"; }
  bool has_hosts() const noexcept override { return hosts; }
  bool has_ports() const noexcept override { return hosts; }
  bool is_local() const noexcept override { return true; }
  awaitable<std::unique_ptr<Transport>> dial(std::string) override { throw std::logic_error("not dialled"); }
  std::unique_ptr<Listener> listen(const Executor&, std::string_view) override { return nullptr; }

  bool hosts = false;
};

} // namespace

TEST_CASE("url: what follows a scheme is read as its medium says, whatever the scheme") {
  const auto medium = std::make_shared<SerialMedium>();
  Media media;
  media.emplace("serial", medium);
  const std::string path = "serial:/dev/ttyS0!/store";
  const std::string host = "serial://host/store";

  CHECK(PeerUrl::parse(path, media).address() == "serial:/dev/ttyS0");
  CHECK(PeerUrl::parse(path, media).to_string() == path);
  CHECK(PeerUrl::parse(host, media).address() == "serial://host");
  CHECK(complains("serial:/dev/ttyS0/store", "expected '!' behind the path of the socket, as in serial:/device!/",
                  media));
  CHECK(complains(path, "expected // after serial:"));

  medium->hosts = true;
  CHECK(complains(path, "expected // after serial:", media));
  CHECK(complains(host, "expected host:port", media));
  CHECK(PeerUrl::parse("serial://host:1/store", media).address() == "serial://host:1");
}

TEST_CASE("url: without a peer id it names the service alone") {
  const PeerUrl url = PeerUrl::parse("mem://alpha/store");

  CHECK(url.peer_id().empty());
  CHECK(url.to_string() == "mem://alpha/store");
}

TEST_CASE("url: a malformed text is answered with what was expected where") {
  CHECK(complains("", "expected a scheme"));
  CHECK(complains("tcp", "expected a scheme"));
  CHECK(complains("://host:1/store/" + id, "expected a scheme"));
  CHECK(complains("TCP://host:1/store/" + id, "expected a scheme"));
  CHECK(complains("1tcp://host:1/store/" + id, "expected a scheme"));
  CHECK(complains("host:1/store/" + id, "expected // after host:"));
  CHECK(complains("tcp:/host:1/store/" + id, "expected // after tcp:"));
  CHECK(complains("tcp:///store/" + id, "expected a host"));
  CHECK(complains("tcp://host/store/" + id, "expected host:port"));
  CHECK(complains("tcp://:1/store/" + id, "expected host:port"));
  CHECK(complains("tcp://host:/store/" + id, "expected a port from 1 to 65535"));
  CHECK(complains("tcp://host:0/store/" + id, "expected a port from 1 to 65535"));
  CHECK(complains("tcp://host:65536/store/" + id, "expected a port from 1 to 65535"));
  CHECK(complains("tcp://host:7x/store/" + id, "expected a port from 1 to 65535, saw \"7x\""));
  CHECK(complains("tcp://[::1:7000/store/" + id, "expected ']'"));
  CHECK(complains("tcp://[::1]/store/" + id, "expected host:port"));
  CHECK(complains("tcp://fe80::1:7000/store/" + id, "an IPv6 host in brackets, saw \"fe80::1:7000\""));
  CHECK(complains("tcp://ho st:1/store/" + id, "unprintable byte in the host"));
  CHECK(complains("tcp://host:1", "expected /service"));
  CHECK(complains("tcp://host:1/", "expected the name of a service"));
  CHECK(complains("tcp://host:1//" + id, "expected the name of a service"));
  CHECK(complains("tcp://host:1/st ore/" + id, "unprintable byte in the service"));
  CHECK(complains("tcp://host:1/st%4/" + id, "two hexadecimal digits behind the '%' in the service"));
  CHECK(complains("tcp://host:1/st%zz/" + id, "two hexadecimal digits behind the '%' in the service"));
  CHECK(complains("tcp://host:1/store/", "expected the 22 characters of a peer id"));
  CHECK(complains("tcp://host:1/store/short", "expected the 22 characters of a peer id"));
  CHECK(complains("tcp://host:1/store/AAAAAAAAAAAAAAAAAAAAAA", "expected the 22 characters of a peer id"));
  CHECK(complains("tcp://host:1/store/" + id + "/", "expected the number of a circuit"));
  CHECK(complains("tcp://host:1/store/" + id + "/0", "expected the number of a circuit"));
  CHECK(complains("tcp://host:1/store/" + id + "/07", "expected the number of a circuit"));
  CHECK(complains("tcp://host:1/store/" + id + "/7/8",
                  "expected the number of a circuit behind the peer id, saw \"7/8\""));
  CHECK(complains("tcp://host:1/store/" + id + "/99999999999999999999", "expected the number of a circuit"));
  CHECK(complains("unix:!/store/" + id, "expected the path of a socket"));
  CHECK(complains("unix:/run/t.sock/store/" + id, "expected '!' behind the path"));
  CHECK(complains("unix:/run/t.sock!store/" + id, "expected /service"));
  CHECK(complains("node://alpha/store/" + id, "expected the 22 characters of a node id"));
}

TEST_CASE("url: a complaint shows a hostile text cut and escaped") {
  const std::string said = complaint("tcp://\n\"" + std::string(5000, 'x'));

  CHECK(said.find('\n') == std::string::npos);
  CHECK(said.find("\\x0a") != std::string::npos);
  CHECK(said.find("(5008 bytes)") != std::string::npos);
  CHECK(said.size() < 400);
}
