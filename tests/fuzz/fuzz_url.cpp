// Any text as a peer URL: it is refused with bad_url, or its printed form is read back as the same URL.

#include "peer/url.hpp"

#include "fragment/error.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trunkline;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::optional<PeerUrl> url;
  try {
    url = PeerUrl::parse(text);
  } catch (const boost::system::system_error& refused) {
    if (refused.code() != error::bad_url) std::abort();
  }
  if (url && !(PeerUrl::parse(url->to_string()) == *url)) std::abort();
  return 0;
}
