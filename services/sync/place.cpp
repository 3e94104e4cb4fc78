#include "services/sync/place.hpp"

#include <openssl/evp.h>

#include "fragment/input_file.hpp"
#include "services/sync/report.hpp"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <optional>
#include <span>
#include <sstream>
#include <string_view>
#include <utility>

namespace trunkline::sync {
namespace {

constexpr std::size_t mark_bytes = 16;
constexpr std::size_t chains_max = 64;
constexpr std::size_t marks_max = 4096; // of a chain

struct Mount {
  std::string number;
  std::string device;
  std::string root;  // what of the file system is mounted
  std::string point; // where
};

std::string first_line(const std::string& path) {
  InputFile file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// Blanks and the like in mountinfo are written as \040.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 3 < text.size()) {
      out += static_cast<char>(std::strtol(std::string(text.substr(at + 1, 3)).c_str(), nullptr, 8));
      at += 3;
    } else {
      out += text[at];
    }
  }
  return out;
}

std::vector<Mount> mounts() {
  std::vector<Mount> found;
  InputFile file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    Mount mount;
    std::string parent;
    if (!(fields >> mount.number >> parent >> mount.device >> mount.root >> mount.point)) continue;
    mount.root = unescaped(mount.root);
    mount.point = unescaped(mount.point);
    found.push_back(std::move(mount));
  }
  return found;
}

/// What of an absolute path lies below another; nothing when it does not.
std::optional<std::string> below(const std::string& path, const std::string& above) {
  if (above == "/") return path == "/" ? "" : path;
  if (path == above) return "";
  if (!path.starts_with(above) || path[above.size()] != '/') return std::nullopt;
  return path.substr(above.size());
}

std::string mark(const std::string& boot, const std::string& device, std::string_view path) {
  const std::string text = boot + '\n' + device + '\n' + std::string(path);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0; // of SHA-256, which nobody can turn round
  if (EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr) != 1 || size < mark_bytes)
    throw std::runtime_error("SHA-256 is not available from OpenSSL");
  return {reinterpret_cast<const char*>(digest), mark_bytes};
}

std::vector<std::string> chain(const std::string& boot, const std::string& device, const std::string& path) {
  std::vector<std::string> marks{mark(boot, device, "")};
  for (std::size_t slash = path.empty() ? std::string::npos : 0; slash != std::string::npos;) {
    slash = path.find('/', slash + 1);
    marks.push_back(mark(boot, device, std::string_view(path).substr(0, slash)));
  }
  return marks;
}

} // namespace

Place::Place(const Directory& directory) { learn(directory, ""); }

Place::Place(const Directory& directory, std::string_view not_there) { learn(directory, not_there); }

void Place::learn(const Directory& directory, std::string_view not_there) {
  const std::string number = std::to_string(directory.fd_number());
  char target[PATH_MAX];
  const ssize_t size = ::readlink(("/proc/self/fd/" + number).c_str(), target, sizeof target);
  const std::string boot = first_line("/proc/sys/kernel/random/boot_id");
  if (size <= 0 || size == sizeof target || target[0] != '/' || boot.empty()) return;
  const std::string path(target, static_cast<std::size_t>(size));

  std::string mount_number;
  InputFile info("/proc/self/fdinfo/" + number);
  for (std::string word; info >> word;)
    if (word == "mnt_id:") info >> mount_number;
  const std::vector<Mount> all = mounts();
  const auto of =
      std::find_if(all.begin(), all.end(), [&](const Mount& mount) { return mount.number == mount_number; });
  if (of == all.end()) return;
  const auto in_file_system = [](const Mount& mount, const std::string& rest) {
    return (mount.root == "/" ? std::string() : mount.root) + rest;
  };
  const std::optional<std::string> rest = below(path, of->point);
  if (!rest) return;
  if (!not_there.empty()) {
    const std::string name = '/' + std::string(not_there);
    chains_.push_back(chain(boot, of->device, in_file_system(*of, *rest + name)));
    return;
  }
  chains_.push_back(chain(boot, of->device, in_file_system(*of, *rest)));
  for (const Mount& mount : all) {
    if (chains_.size() == chains_max) break;
    const std::optional<std::string> inside = below(mount.point, path);
    if (inside && !inside->empty()) chains_.push_back(chain(boot, mount.device, in_file_system(mount, "")));
  }
}

bool Place::begins(const Chain& outer, const Chain& inner) {
  return !outer.empty() && outer.size() <= inner.size() && inner[outer.size() - 1] == outer.back();
}

bool Place::lies_in(const Place& outer) const {
  if (chains_.empty() || outer.chains_.empty()) return false;
  // What is mounted in the outer tree is part of it, and what is mounted in this one is part of this one.
  const auto in_outer = [&](const Chain& chain) { return begins(chain, chains_.front()); };
  const auto holds = [&](const Chain& chain) { return begins(outer.chains_.front(), chain); };
  return std::any_of(outer.chains_.begin(), outer.chains_.end(), in_outer) ||
         std::any_of(chains_.begin() + 1, chains_.end(), holds);
}

bool Place::is_same(const Place& other) const {
  return !chains_.empty() && !other.chains_.empty() && chains_.front() == other.chains_.front();
}

void Place::to_wire(wire::Place& into) const {
  for (const Chain& chain : chains_) {
    wire::Place::Chain& to = *into.add_chains();
    for (const std::string& mark : chain) to.add_marks(mark);
  }
}

Place Place::from_wire(const wire::Place& from) {
  Place place;
  for (const wire::Place::Chain& chain : from.chains()) {
    if (place.chains_.size() == chains_max || chain.marks_size() > static_cast<int>(marks_max)) break;
    place.chains_.emplace_back(chain.marks().begin(), chain.marks().end());
  }
  return place;
}

void check_apart(const Place& source, const Place& destination) {
  if (source.is_same(destination)) return; // nothing differs, and nothing is done
  if (destination.lies_in(source)) throw Failure(Failure::Kind::denied, "the destination lies in the source");
  if (source.lies_in(destination))
    throw Failure(Failure::Kind::denied,
                  "the source lies in the destination, where it would be overwritten or deleted");
}

} // namespace trunkline::sync
