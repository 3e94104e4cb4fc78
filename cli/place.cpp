#include "cli/place.hpp"

#include <stdexcept>

namespace trunkline::cli {

Place parse_place(std::string_view text) {
  Place place;
  if (text.empty()) throw std::invalid_argument("a place is empty, expected a path or tcp://HOST:PORT/PATH");
  if (text.starts_with("tcp://")) {
    const std::size_t slash = text.find('/', 6);
    place.address = text.substr(0, slash);
    if (slash != std::string_view::npos) place.path = text.substr(slash + 1);
    const std::size_t colon = place.address.rfind(':');
    if (colon < 6 || colon == 6 || colon + 1 == place.address.size())
      throw std::invalid_argument("address \"" + place.address + "\" is not tcp://HOST:PORT");
  } else if (text.starts_with("unix:")) {
    const std::size_t mark = text.find("!/");
    place.address = text.substr(0, mark);
    if (mark != std::string_view::npos) place.path = text.substr(mark + 2);
    if (place.address.size() == 5) throw std::invalid_argument("address \"unix:\" names no socket, expected unix:SOCKET[!/PATH]");
  } else if (const std::size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    throw std::invalid_argument("scheme \"" + std::string(text.substr(0, scheme)) +
                                "\" is not known, expected tcp://HOST:PORT/PATH, unix:SOCKET!/PATH or a local path");
  } else {
    place.path = text;
    return place;
  }
  while (place.path.ends_with('/')) place.path.pop_back();
  return place;
}

bool is_loopback(std::string_view address) {
  if (address.starts_with("unix:")) return true;
  return address.starts_with("tcp://127.") || address.starts_with("tcp://[::1]:") || address.starts_with("tcp://localhost:");
}

} // namespace trunkline::cli
