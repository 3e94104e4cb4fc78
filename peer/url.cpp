#include "peer/url.hpp"

#include "fragment/error.hpp"
#include "fragment/hex.hpp"
#include "fragment/percent.hpp"
#include "fragment/quote.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace trunkline {
namespace {

bool is_printable(char c) noexcept { return c > 0x20 && c < 0x7f; }

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
      const int high = at + 2 < part.size() ? hex_value(part[at + 1]) : -1;
      const int low = at + 2 < part.size() ? hex_value(part[at + 2]) : -1;
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

/// The part of an address behind its scheme, where that is a path and no authority.
std::string parse_path(UrlReader& reader, std::string_view scheme, const Medium& medium) {
  const std::string_view path = reader.take_until('!');
  if (path.empty()) reader.fail("expected the path of a socket after " + std::string(scheme) + ":");
  if (!reader.take("!"))
    reader.fail("expected '!' behind the path of the socket, as in " + std::string(medium.form()) +
                "!/service/peer-id");
  return std::string(scheme) + ":" + reader.decode(path, "path");
}

void check_port(UrlReader& reader, std::string_view authority) {
  HostPort parsed;
  const HostPortFlaw flaw = parse_host_port(authority, parsed);
  switch (flaw) {
    case HostPortFlaw::missing_bracket: reader.fail("expected ']' behind the address of the host");
    case HostPortFlaw::form: reader.fail("expected host:port, saw " + quote(authority));
    case HostPortFlaw::bare_ipv6:
      reader.fail("expected host:port with an IPv6 host in brackets, saw " + quote(authority));
    case HostPortFlaw::none:
    case HostPortFlaw::port: break;
  }
  if (flaw == HostPortFlaw::port || parsed.port == 0) // port 0 cannot be dialled
    reader.fail("expected a port from 1 to 65535, saw " + quote(authority.substr(authority.rfind(':') + 1)));
}

std::string parse_authority(UrlReader& reader, std::string_view scheme, const Medium* medium) {
  if (!reader.take("//")) reader.fail("expected // after " + std::string(scheme) + ":");
  const std::string_view authority = reader.take_until('/');
  if (authority.empty()) reader.fail("expected a host after " + std::string(scheme) + "://");
  for (const char c : authority)
    if (!is_printable(c)) reader.fail("a space or unprintable byte in the host");
  const bool may_pin = medium && medium->proves_identity();
  if (medium && medium->has_ports()) check_port(reader, may_pin ? without_pin(authority) : authority);
  if (may_pin && authority.find('#') != std::string_view::npos) {
    const std::string_view pin = authority.substr(authority.find('#') + 1);
    const std::optional<NodeId> id = NodeId::parse(pin);
    if (!id || id->empty()) reader.fail("expected the 22 characters of a node id behind '#', saw " + quote(pin));
  }
  if (scheme == "node" && !NodeId::parse(authority))
    reader.fail("expected the 22 characters of a node id, saw " + quote(authority));
  return std::string(scheme) + "://" + std::string(authority);
}

/// Whether what follows "SCHEME:" is "//" and a name; otherwise it is a path, also one that begins with "///".
bool has_authority(std::string_view rest) noexcept {
  return rest.starts_with("//") && rest.size() > 2 && rest[2] != '/';
}

std::string parse_address(UrlReader& reader, const Media& media) {
  const std::string_view scheme = parse_scheme(reader);
  const auto found = media.find(scheme);
  const Medium* const medium = found == media.end() ? nullptr : found->second.get();
  if (medium && !medium->has_hosts() && !has_authority(reader.rest())) return parse_path(reader, scheme, *medium);
  return parse_authority(reader, scheme, medium);
}

} // namespace

PeerUrl PeerUrl::parse(std::string_view text) {
  static const Media known = default_media();
  return parse(text, known);
}

PeerUrl PeerUrl::parse(std::string_view text, const Media& media) {
  UrlReader reader(text);
  PeerUrl url;
  url.address_ = parse_address(reader, media);

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
  text += '/' + percent_encode(service_, "/%");
  if (!peer_.empty()) text += '/' + peer_.to_string();
  if (!peer_.empty() && circuit_) text += '/' + std::to_string(*circuit_);
  return text;
}

std::string url_base(std::string_view address) {
  const std::string_view scheme = scheme_of(address);
  const std::string_view rest = scheme.empty() ? std::string_view() : address.substr(scheme.size() + 1);
  const auto is_in_name = [](char c) { return is_printable(c) && c != '/'; };
  const bool is_name = has_authority(rest) && std::all_of(rest.begin() + 2, rest.end(), is_in_name);
  if (rest.empty() || is_name) return std::string(address);
  std::string path = percent_encode(rest, "%!");
  if (path.starts_with("//") && !path.starts_with("///")) path.replace(1, 1, "%2F"); // would be read as a name
  return std::string(scheme) + ":" + path + "!";
}

} // namespace trunkline
