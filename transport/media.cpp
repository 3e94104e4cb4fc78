#include "transport/media.hpp"

#include "fragment/error.hpp"
#include "fragment/quote.hpp"
#include "transport/address.hpp"
#include "transport/tcp.hpp"
#include "transport/tls.hpp"
#include "transport/unix.hpp"
#include "transport/web_socket.hpp"

#include <utility>

namespace trunkline {
namespace {

void add(Media& media, std::shared_ptr<Medium> medium) {
  std::string scheme(medium->scheme());
  media.emplace(std::move(scheme), std::move(medium));
}

} // namespace

Media default_media() {
  Media media;
  add(media, make_tcp_medium());
  add(media, make_unix_medium());
  add(media, make_tls_medium(nullptr)); // a node with an identity has one of its own
  add(media, make_web_socket_medium());
  add(media, make_web_socket_tls_medium(nullptr));
  return media;
}

Media with_default_media(Media media) {
  media.merge(default_media()); // keeps what is there
  return media;
}

Medium* find_medium(const Media& media, std::string_view address) noexcept {
  const auto found = media.find(scheme_of(address));
  return found == media.end() ? nullptr : found->second.get();
}

std::shared_ptr<Medium> medium_for(const Media& media, std::string_view address) {
  const auto found = media.find(scheme_of(address));
  if (found != media.end()) return found->second;
  std::string known;
  for (const auto& [scheme, medium] : media) known += (known.empty() ? "" : ", ") + scheme;
  throw_error(error::unknown_scheme, "address " + quote(address) + " has no scheme of " + known);
}

bool is_local_only(const Media& media, std::string_view address) noexcept {
  const Medium* const medium = find_medium(media, address);
  if (!medium) return false;
  return medium->is_local() || (medium->has_hosts() && is_loopback_host(host_of(address)));
}

bool is_exposed(const Media& media, std::string_view address) noexcept {
  const Medium* const medium = find_medium(media, address);
  if (!medium || medium->is_encrypted() || is_local_only(media, address)) return false;
  return !medium->has_hosts() || !host_of(address).empty(); // without a host the medium will say what is wrong
}

std::string forms_of(const Media& media, std::string_view conjunction) {
  std::string text;
  std::size_t left = media.size();
  for (const auto& [scheme, medium] : media) {
    if (!text.empty()) text += left == 1 ? " " + std::string(conjunction) + " " : ", ";
    text += medium->form();
    --left;
  }
  return text;
}

} // namespace trunkline
