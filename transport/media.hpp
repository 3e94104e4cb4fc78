// The media of a program by scheme, and the search for the medium of an address.
#pragma once

#include "transport/medium.hpp"

#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace trunkline {

/// Media by scheme. The key decides: a test may enter a fake under the scheme of another medium.
using Media = std::map<std::string, std::shared_ptr<Medium>, std::less<>>;

/// The media that every node and cluster has. A new medium is added here and nowhere else.
Media default_media();

/// Adds the default media to those of a program, which take precedence where the schemes are equal.
Media with_default_media(Media media);

/// The medium of the address's scheme; null when there is none.
Medium* find_medium(const Media& media, std::string_view address) noexcept;

/// The same, but never null. Errors: error::unknown_scheme; its text names the address and the known schemes.
std::shared_ptr<Medium> medium_for(const Media& media, std::string_view address);

/// Whether only this machine can reach the address: its medium is local, or its host is a loopback host. False for an
/// address of no medium.
bool is_local_only(const Media& media, std::string_view address) noexcept;

/// Whether what goes to or from the address can be read and changed by others on the way: nothing encrypts it, and other
/// machines can reach it. False for an address of no medium.
bool is_exposed(const Media& media, std::string_view address) noexcept;

/// The address forms of all media as part of a sentence: "tcp://host:port or unix:/path".
std::string forms_of(const Media& media, std::string_view conjunction = "or");

} // namespace trunkline
