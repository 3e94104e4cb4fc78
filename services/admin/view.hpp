// One moment of a program, as its operator looks at it: links, circuits, and why a circuit does not move.
#pragma once

#include "fragment/ids.hpp"
#include "peer/node.hpp"
#include "services/admin/link_book.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::admin {

/// What a circuit waits for before it goes on.
enum class WaitsFor : std::uint8_t {
  nothing,      // there is nothing to send, and nothing unread
  far_credit,   // the far side's credit for this circuit: its reader has not taken what there is
  trunk_credit, // the far side's credit for the whole trunk, or its turn in that
  writer,       // the connection takes no more at the moment
  reader,       // the reader on this side
  peer,         // its peer: nobody has taken or accepted it yet
};
std::string_view words_for(WaitsFor what) noexcept;

struct LinkView {
  std::uint64_t number = 0;
  std::string remote;
  std::string node; // its id
  std::string name; // as its Hello says
  std::string identity; // that it has proven; empty: none
  bool dialled = false;
  bool draining = false;
  std::chrono::nanoseconds round_trip{};
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  double sent_per_second = 0; // bytes, lately
  double received_per_second = 0;
  std::size_t circuits = 0;
  std::size_t output_bytes = 0; // ready and not yet written
  std::size_t memory_bytes = 0; // received and not yet consumed
};

struct CircuitView {
  std::uint64_t link = 0;
  std::uint64_t id = 0;
  std::string name;
  std::string service; // here
  std::string remote_service;
  bool opened_here = false;
  std::uint64_t fragments_sent = 0;
  std::uint64_t fragments_received = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  std::int64_t credit = 0;         // bytes that may be sent to the far side
  std::int64_t credit_granted = 0; // bytes that the far side may send
  std::uint64_t queued_bytes = 0;  // to be sent
  std::uint64_t unread_bytes = 0;  // received and not taken
  std::size_t senders_waiting = 0;
  WaitsFor waits_for = WaitsFor::nothing;
};

struct View {
  std::string node; // its id
  std::string name;
  std::vector<std::string> addresses;
  std::vector<LinkView> links;
  std::vector<CircuitView> circuits;
  std::uint64_t circuits_more = 0; // that are not among them
  std::deque<LostLink> lost;
};

/// What a node knows of its links, and of at most so many circuits: those that wait for something first.
View view_of(const Node& node, const LinkBook& book, std::size_t circuits_max);
/// The same of any links, in any dialect, and of the circuits that these local peers have on them.
View view_of(const std::vector<LinkInfo>& links, const std::vector<PeerId>& peers, const LinkBook& book,
             std::size_t circuits_max);

/// As JSON, on one line each.
std::string node_json(const View& view);
std::string links_json(const View& view);
/// Of one link, or of all. The text is an object.
std::string circuits_json(const View& view, std::optional<std::uint64_t> link);
/// The whole as a page of a terminal, which it fits: at most so many columns and rows.
std::string as_text(const View& view, std::size_t columns, std::size_t rows);

} // namespace trunkline::admin
