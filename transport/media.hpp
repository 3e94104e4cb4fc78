// The media of a program, by scheme: which there are, and which one an address belongs to.
#pragma once

#include "transport/medium.hpp"

#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace trunkline {

/// By scheme. A medium may stand under another scheme than its own, as a fake does in a test.
using Media = std::map<std::string, std::shared_ptr<Medium>, std::less<>>;

/// The media that every node and cluster has. A new medium is added here and nowhere else.
Media default_media();

/// The same with those that a program has besides, or instead of them.
Media with_default_media(Media media);

/// The medium of the address's scheme; null when there is none.
Medium* find_medium(const Media& media, std::string_view address) noexcept;

/// The same for an address that is to be used. Errors: error::unknown_scheme, which names the address and what there
/// is.
std::shared_ptr<Medium> medium_for(const Media& media, std::string_view address);

/// Whether only this machine can reach the address: its medium is local, or its host is a loopback host. False for an
/// address of no medium.
bool is_local_only(const Media& media, std::string_view address) noexcept;

/// The forms of all addresses as a sentence has them: "tcp://host:port or unix:/path".
std::string forms_of(const Media& media, std::string_view conjunction = "or");

} // namespace trunkline
