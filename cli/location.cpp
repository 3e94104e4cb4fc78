#include "cli/location.hpp"

#include "cli/exit_code.hpp"
#include "services/sync/path.hpp"
#include "transport/address.hpp"
#include "transport/media.hpp"
#include "transport/stdio.hpp"

#include <algorithm>

namespace trunkline::cli {
namespace {

constexpr std::string_view ssh_prefix = "ssh://";

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

std::string encrypted_forms() {
  Media media = default_media();
  std::erase_if(media, [](const auto& entry) { return !entry.second->is_encrypted(); });
  return forms_of(media);
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

/// For the shell at the far end.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char letter : text) {
    if (letter == '\'') {
      out += "'\\''";
    } else {
      out += letter;
    }
  }
  return out + "'";
}

/// The directory above the path is the root there, which may be reached through symbolic links, and may not be left.
Location parse_ssh_location(std::string_view text, const RemoteShell& shell) {
  const auto refuse = [text](const char* why) {
    throw UsageError("\"" + sync::printable(text) + "\" " + why + ", expected ssh://[user@]host[:port]/path");
  };
  std::string_view rest = text.substr(ssh_prefix.size());
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) refuse("names no path");
  std::string_view where = rest.substr(0, slash);
  std::string path = without_slashes(rest.substr(slash));
  const bool from_home = path == "~" || path.starts_with("~/");
  if (from_home) path = without_slashes(std::string_view(path).substr(1));
  Location location;
  location.path = sync::name_of(path);
  const std::string above = (from_home ? "./" : "/") + std::string(sync::parent_of(path));

  for (std::string_view words = shell.command; !words.empty();) {
    const std::string_view word = words.substr(0, words.find(' '));
    words.remove_prefix(std::min(words.size(), word.size() + 1));
    if (!word.empty()) location.command.emplace_back(word);
  }
  if (location.command.empty()) refuse("cannot be reached: --rsh is empty");
  if (const std::size_t at = where.rfind('@'); at != std::string_view::npos) {
    if (at == 0 || where.front() == '-') refuse("has no user");
    location.command.insert(location.command.end(), {"-l", std::string(where.substr(0, at))});
    where.remove_prefix(at + 1);
  }
  if (const std::size_t colon = where.rfind(':'); colon != std::string_view::npos && where.back() != ']') {
    const std::string port(where.substr(colon + 1));
    if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string::npos)
      refuse("has no port");
    location.command.insert(location.command.end(), {"-p", port});
    where = where.substr(0, colon);
  }
  if (where.starts_with('[') && where.ends_with(']')) where = where.substr(1, where.size() - 2);
  // What begins like an option would be one to ssh.
  if (where.empty() || where.front() == '-') refuse("has no host");
  location.command.emplace_back(where);
  location.command.push_back(shell.program + " serve --stdio --root " + quoted(above));
  location.address = StdioMedium().add_command("ssh", {});
  return location;
}

} // namespace

Location parse_location(std::string_view text, const RemoteShell& shell) {
  if (text.empty()) throw UsageError("a location is a path, " + location_forms() + ", not \"\"");
  if (text.starts_with(ssh_prefix)) return parse_ssh_location(text, shell);
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
    throw UsageError("scheme of \"" + sync::printable(text) + "\" is neither that of " + location_forms("nor"));
  const std::size_t slash = text.find('/', mark + 3);
  location.address = text.substr(0, slash);
  // These throw what is wrong with it.
  const bool is_pinned = medium->proves_identity() && pin_of(location.address);
  if (medium->has_ports())
    parse_host_port_address(is_pinned ? without_pin(location.address) : location.address, scheme_of(text));
  if (slash != std::string_view::npos) location.path = without_slashes(text.substr(slash));
  return location;
}

std::string parse_address(const std::string& word) {
  const bool names_medium = word.find("://") != std::string::npos || find_medium(default_media(), word) != nullptr;
  const Location location = parse_location(names_medium ? word : "tcp://" + word);
  if (!location.command.empty()) throw UsageError("\"" + word + "\" is no address of a node");
  if (!location.path.empty()) throw UsageError("address \"" + word + "\" is followed by a path, expected none");
  return location.address;
}

std::string location_forms(std::string_view conjunction) {
  std::string text = "ssh://[user@]host[:port]/path";
  const Media media = default_media();
  for (const auto& [scheme, medium] : media) {
    text += ' ' + std::string(conjunction) + ' ';
    text += std::string(medium->form()) + (medium->has_hosts() ? "/path" : "!/path");
  }
  return text;
}

std::string address_forms(std::string_view conjunction) { return forms_of(default_media(), conjunction); }

void check_listen_address(std::string_view address, bool insecure) {
  const Media media = default_media();
  if (address.find("://") != std::string_view::npos && !find_medium(media, address))
    throw UsageError("scheme of \"" + sync::printable(address) + "\" is neither that of " + forms_of(media, "nor"));
  if (!parse_location(address).is_remote())
    throw UsageError("address \"" + std::string(address) + "\" is neither " + address_forms("nor"));
  if (!insecure && is_exposed(media, address))
    throw UsageError("\"" + std::string(address) + "\" can be reached from other machines, and nothing is encrypted: use " +
                     encrypted_forms() + " or 127.0.0.1, or allow it with --insecure");
}

void check_dial_address(std::string_view address, bool insecure) {
  if (!insecure && is_exposed(default_media(), address))
    throw UsageError("\"" + std::string(address) +
                     "\" is on another machine, and nothing encrypts it or proves who answers: use " + encrypted_forms() +
                     ", or allow it with --insecure");
}

} // namespace trunkline::cli
