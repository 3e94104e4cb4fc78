#include "transport/trust.hpp"

#include "fragment/quote.hpp"

#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

namespace trunkline {
namespace {

/// Any key is a new stranger, and each costs the file a line.
constexpr std::size_t remembered_nodes_max = 4096;

/// Throws where no stranger is remembered any more.
void require_room(const KnownNodes& known) {
  std::size_t count = 0;
  for (const KnownNode& node : known.nodes()) count += std::max<std::size_t>(1, node.addresses.size());
  if (count >= remembered_nodes_max)
    throw std::length_error(fmt::format("{} known nodes and addresses reach remembered_nodes_max {}; once `trunkline key "
                                        "forget` has made room, the known nodes have to be read again",
                                        count, remembered_nodes_max));
}

std::string names_of(const std::vector<const KnownNode*>& nodes) {
  std::string names;
  for (const KnownNode* const node : nodes) {
    if (!names.empty()) names += " or ";
    names += node->id.to_string();
    if (!node->name.empty()) names += " (" + node->name + ")";
  }
  return names;
}

bool is_at(const KnownNode& node, const std::string& address) {
  return node.addresses.empty() || std::ranges::find(node.addresses, address) != node.addresses.end();
}

void set_wrong(Judgement& judgement, const Meeting& meeting, const std::string& expected) {
  judgement.code = error::wrong_key;
  judgement.text =
      fmt::format("{} shows the key {}, expected {}", meeting.address, judgement.who.id.to_string(), expected);
}

} // namespace

Trust::Trust(TrustOptions options) : options_(std::move(options)) { reload(); }

void Trust::reload() {
  if (!options_.known_nodes_file.empty()) known_ = KnownNodes::load(options_.known_nodes_file);
}

Judgement Trust::judge(const ShownKey& shown, const Meeting& meeting) const {
  Judgement judgement;
  RemoteIdentity& who = judgement.who;
  who.id = shown.id;
  who.formerly = shown.formerly;
  who.certified = shown.certified;
  const KnownNode* known = known_.find(shown.id);
  for (const NodeId& older : shown.formerly)
    if (!known) known = known_.find(older);
  if (known) who.name = known->name;

  const auto wrong = [&](const std::string& expected) {
    set_wrong(judgement, meeting, expected);
    return judgement;
  };
  if (shown.id == meeting.own) {
    judgement.code = error::dialled_self;
    judgement.text = fmt::format(
        "{} shows this node's own key {}: it is this node itself, or two nodes were given one key file",
        meeting.address, shown.id.to_string());
    return judgement;
  }
  if (meeting.pin) return who.is(*meeting.pin) ? judgement : wrong(meeting.pin->to_string());
  const auto means = [&who](const NodeId& id) { return who.is(id); };
  const bool pinned = std::ranges::any_of(options_.pins, means);
  if (const auto there = meeting.dialled ? known_.at(meeting.address) : std::vector<const KnownNode*>();
      !there.empty()) {
    const auto is_meant = [&](const KnownNode* node) { return means(node->id); };
    return std::ranges::any_of(there, is_meant) ? judgement : wrong(names_of(there));
  }
  if (pinned || (known && (!meeting.dialled || is_at(*known, meeting.address)))) return judgement;
  if (meeting.dialled ? shown.certified_here : !shown.certified.empty()) return judgement;
  return judge_stranger(shown, meeting, std::move(judgement));
}

Judgement Trust::judge_stranger(const ShownKey& shown, const Meeting& meeting, Judgement judgement) const {
  if (options_.strangers == Strangers::refuse) {
    const KnownNode* const known = known_.find(shown.id);
    judgement.code = error::unknown_key;
    judgement.text = fmt::format("{} shows the key {}, which is ", meeting.address, shown.id.to_string());
    if (known) judgement.text += fmt::format("known at {} alone", known->addresses.front());
    else if (!shown.certified.empty()) judgement.text += fmt::format("certified for {} alone", shown.certified);
    else judgement.text += "not known here; once it is confirmed, `trunkline key trust` makes it known";
    return judgement;
  }
  judgement.is_new = true;
  return judgement;
}

Judgement Trust::remember(Judgement stranger, const Meeting& meeting) {
  if (options_.strangers != Strangers::remember || options_.known_nodes_file.empty()) return stranger;
  KnownNode node{stranger.who.id, {}, {}};
  if (meeting.dialled) node.addresses.push_back(meeting.address);
  std::string expected; // what another process has met there meanwhile
  try {
    require_room(known_); // before the file is locked and read for nothing
    known_ = KnownNodes::change(options_.known_nodes_file, [&](KnownNodes& nodes) {
      known_ = nodes;
      const auto there = meeting.dialled ? known_.at(meeting.address) : std::vector<const KnownNode*>();
      if (!there.empty()) {
        if (std::ranges::any_of(there, [&](const KnownNode* one) { return stranger.who.is(one->id); })) return;
        expected = names_of(there);
        throw std::runtime_error("another key is known there"); // the file stays as it is
      }
      require_room(known_);
      nodes.trust(node);
    });
  } catch (const std::exception& failure) {
    stranger.code = error::unknown_key;
    stranger.text = fmt::format("{} shows the key {}, which cannot be remembered: {}", meeting.address,
                                stranger.who.id.to_string(), text_of(failure));
  }
  if (!expected.empty()) set_wrong(stranger, meeting, expected);
  return stranger;
}

} // namespace trunkline
