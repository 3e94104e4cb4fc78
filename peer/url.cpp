#include "peer/url.hpp"

#include "fragment/error.hpp"
#include "fragment/quote.hpp"

#include <charconv>
#include <cstdint>

namespace trunkline {
namespace {

bool is_printable(char c) noexcept { return c > 0x20 && c < 0x7f; }

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string encode(std::string_view text, std::string_view special) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (is_printable(c) && special.find(c) == std::string_view::npos) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += '%';
      encoded += digits[byte >> 4];
      encoded += digits[byte & 15];
    }
  }
  return encoded;
}

/// Reads a URL from left to right; every complaint shows the whole URL and says what was expected where.
class UrlReader {
 public:
  explicit UrlReader(std::string_view text) : whole_(text), rest_(text) {}

  [[noreturn]] void fail(const std::string& complaint) const {
    throw_error(error::bad_url, "peer url " + quote(whole_) + ": " + complaint);
  }
  std::string_view rest() const noexcept { return rest_; }

  bool take(std::string_view prefix) {
    if (!rest_.starts_with(prefix)) return false;
    rest_.remove_prefix(prefix.size());
    return true;
  }
  /// What comes before `end`, which is left; all of it when there is no `end`.
  std::string_view take_until(char end) {
    const std::string_view taken = rest_.substr(0, rest_.find(end));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  std::string decode(std::string_view part, const std::string& what) const {
    std::string decoded;
    for (std::size_t at = 0; at < part.size(); ++at) {
      if (!is_printable(part[at])) fail("a space or unprintable byte in the " + what + ", expected %XX for it");
      if (part[at] != '%') {
        decoded += part[at];
        continue;
      }
      const int high = at + 2 < part.size() ? hex_digit(part[at + 1]) : -1;
      const int low = at + 2 < part.size() ? hex_digit(part[at + 2]) : -1;
      if (high < 0 || low < 0) fail("expected two hexadecimal digits behind the '%' in the " + what);
      decoded += static_cast<char>(high << 4 | low);
      at += 2;
    }
    return decoded;
  }

 private:
  std::string_view whole_;
  std::string_view rest_;
};

std::string_view parse_scheme(UrlReader& reader) {
  const std::string_view scheme = reader.take_until(':');
  bool fits = !scheme.empty() && scheme.front() >= 'a' && scheme.front() <= 'z';
  for (const char c : scheme)
    fits = fits && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.');
  if (!fits || !reader.take(":")) reader.fail("expected a scheme and ':' first, as in tcp://host:port/service/peer-id");
  return scheme;
}

std::string parse_unix_path(UrlReader& reader) {
  const std::string_view path = reader.take_until('!');
  if (path.empty()) reader.fail("expected the path of a socket after unix:");
  if (!reader.take("!"))
    reader.fail("expected '!' behind the path of the socket, as in unix:/run/t.sock!/service/peer-id");
  return "unix:" + reader.decode(path, "path");
}

void check_port(UrlReader& reader, std::string_view authority) {
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : std::string_view::npos;
  if (authority.starts_with('[') && bracket == std::string_view::npos)
    reader.fail("expected ']' behind the address of the host");
  const std::size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon == std::string_view::npos || colon == 0) reader.fail("expected host:port, saw " + quote(authority));
  const std::string_view port = authority.substr(colon + 1);
  unsigned number = 0;
  const auto [end, code] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (code != std::errc() || end != port.data() + port.size() || number == 0 || number > 65535)
    reader.fail("expected a port from 1 to 65535, saw " + quote(port));
}

std::string parse_authority(UrlReader& reader, std::string_view scheme) {
  if (!reader.take("//")) reader.fail("expected // after " + std::string(scheme) + ":");
  const std::string_view authority = reader.take_until('/');
  if (authority.empty()) reader.fail("expected a host after " + std::string(scheme) + "://");
  for (const char c : authority)
    if (!is_printable(c)) reader.fail("a space or unprintable byte in the host");
  if (scheme == "tcp" || scheme == "tls" || scheme == "ws" || scheme == "wss") check_port(reader, authority);
  if (scheme == "node" && !NodeId::parse(authority))
    reader.fail("expected the 22 characters of a node id, saw " + quote(authority));
  return std::string(scheme) + "://" + std::string(authority);
}

} // namespace

PeerUrl PeerUrl::parse(std::string_view text) {
  UrlReader reader(text);
  PeerUrl url;
  const std::string_view scheme = parse_scheme(reader);
  url.address_ = scheme == "unix" ? parse_unix_path(reader) : parse_authority(reader, scheme);

  if (!reader.take("/")) reader.fail("expected /service behind " + quote(url.address_));
  url.service_ = reader.decode(reader.take_until('/'), "service");
  if (url.service_.empty()) reader.fail("expected the name of a service behind " + quote(url.address_));
  if (reader.rest().empty()) return url;

  reader.take("/");
  const std::string_view peer = reader.take_until('/');
  const std::optional<PeerId> id = PeerId::parse(peer);
  if (!id || id->empty()) reader.fail("expected the 22 characters of a peer id behind the service, saw " + quote(peer));
  url.peer_ = *id;
  if (reader.rest().empty()) return url;

  reader.take("/");
  const std::string_view circuit = reader.rest();
  CircuitId number = 0;
  const auto [end, code] = std::from_chars(circuit.data(), circuit.data() + circuit.size(), number);
  if (code != std::errc() || end != circuit.data() + circuit.size() || number == 0 || circuit.front() == '0')
    reader.fail("expected the number of a circuit behind the peer id, saw " + quote(circuit));
  url.circuit_ = number;
  return url;
}

std::string_view PeerUrl::scheme() const noexcept { return scheme_of(address_); }

std::string PeerUrl::to_string() const {
  std::string text = url_base(address_);
  text += '/' + encode(service_, "/%");
  if (!peer_.empty()) text += '/' + peer_.to_string();
  if (!peer_.empty() && circuit_) text += '/' + std::to_string(*circuit_);
  return text;
}

std::string url_base(std::string_view address) {
  if (!address.starts_with("unix:")) return std::string(address);
  return "unix:" + encode(address.substr(5), "%!") + "!";
}

std::string_view scheme_of(std::string_view address) noexcept {
  const std::size_t colon = address.find(':');
  return colon == std::string_view::npos ? std::string_view() : address.substr(0, colon);
}

std::string_view host_of(std::string_view address) noexcept {
  const std::size_t slashes = address.find("://");
  if (slashes == std::string_view::npos) return {};
  std::string_view host = address.substr(slashes + 3);
  if (host.starts_with('[') && host.find(']') != std::string_view::npos) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find_first_of(":/"));
}

bool is_unspecified(std::string_view address) noexcept {
  if (address.find("://") == std::string_view::npos) return false;
  const std::string_view host = host_of(address);
  return host.empty() || host == "0.0.0.0" || host == "::" || host == "*";
}

std::string with_host(std::string_view address, std::string_view host) {
  const std::size_t begin = address.find("://") + 3;
  const bool bracketed = address.substr(begin).starts_with('[');
  const std::size_t end = bracketed ? address.find(']', begin) + 1 : address.find_first_of(":/", begin);
  std::string replaced(address.substr(0, begin));
  const bool needs_brackets = host.find(':') != std::string_view::npos;
  replaced += needs_brackets ? '[' + std::string(host) + ']' : std::string(host);
  if (end != std::string_view::npos) replaced += address.substr(end);
  return replaced;
}

} // namespace trunkline
