#include "cli/location.hpp"

#include "cli/exit_code.hpp"
#include "services/sync/path.hpp"
#include "transport/address.hpp"
#include "transport/media.hpp"

#include <algorithm>

namespace trunkline::cli {
namespace {

bool is_scheme(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '+';
  });
}

std::string without_slashes(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  return std::string(path);
}

/// A location whose address is a path: the '!' behind it begins the path there.
Location parse_path_location(std::string_view text, std::string_view scheme) {
  Location location;
  const std::size_t mark = text.find('!');
  location.address = text.substr(0, mark);
  if (location.address.size() == scheme.size() + 1) throw UsageError("\"" + std::string(text) + "\" names no socket");
  if (mark != std::string_view::npos) location.path = without_slashes(text.substr(mark + 1));
  return location;
}

} // namespace

Location parse_location(std::string_view text) {
  if (text.empty()) throw UsageError("a location is a path, " + location_forms() + ", not \"\"");
  const Media media = default_media();
  const Medium* const medium = find_medium(media, text);
  if (medium && !medium->has_hosts()) return parse_path_location(text, scheme_of(text));

  Location location;
  const std::size_t mark = text.find("://");
  if (mark == std::string_view::npos || !is_scheme(text.substr(0, mark))) {
    // rsync, scp and rclone read it as a place on another machine, and whoever writes it means that.
    if (text.substr(0, text.find('/')).find(':') != std::string_view::npos)
      throw UsageError("\"" + sync::printable(text) + "\" names no place here: another node is " + location_forms() +
                       ", and a path with a colon in its first component begins with ./");
    location.path = text;
    return location;
  }
  if (!medium)
    throw UsageError("scheme of \"" + sync::printable(text) + "\" is neither that of " + forms_of(media, "nor"));
  const std::size_t slash = text.find('/', mark + 3);
  location.address = text.substr(0, slash);
  if (medium->has_ports()) parse_host_port_address(location.address, scheme_of(text)); // throws what is wrong with it
  if (slash != std::string_view::npos) location.path = without_slashes(text.substr(slash));
  return location;
}

std::string parse_address(const std::string& word) {
  const bool names_medium = word.find("://") != std::string::npos || find_medium(default_media(), word) != nullptr;
  const Location location = parse_location(names_medium ? word : "tcp://" + word);
  if (!location.path.empty()) throw UsageError("address \"" + word + "\" is followed by a path, expected none");
  return location.address;
}

std::string location_forms() {
  std::string text;
  const Media media = default_media();
  for (const auto& [scheme, medium] : media) {
    if (!text.empty()) text += " or ";
    text += std::string(medium->form()) + (medium->has_hosts() ? "/path" : "!/path");
  }
  return text;
}

std::string address_forms(std::string_view conjunction) { return forms_of(default_media(), conjunction); }

void check_listen_address(std::string_view address, bool insecure) {
  if (!parse_location(address).is_remote())
    throw UsageError("address \"" + std::string(address) + "\" is neither " + address_forms("nor"));
  if (!insecure && !is_local_only(default_media(), address))
    throw UsageError("\"" + std::string(address) +
                     "\" can be reached from other machines, and nothing is encrypted: use 127.0.0.1, " +
                     "or allow it with --insecure");
}

} // namespace trunkline::cli
