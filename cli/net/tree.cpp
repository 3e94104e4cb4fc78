// trunkline net tree: who sends to whom in a broadcast, worked out on paper.
#include "cli/exit_code.hpp"
#include "cli/net/net.hpp"
#include "fragment/json_line.hpp"
#include "fragment/quote.hpp"
#include "services/gossip/rehearsal.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace trunkline::cli {
namespace {

struct TreeOptions {
  std::uint32_t size = 0;
  std::uint32_t origin = 1;
  std::vector<std::string> dead; // lists
  std::string strategy{gossip::Strategy::default_names};
  bool json = false;
};

std::string joined(const std::vector<gossip::Position>& members) {
  std::string text;
  for (const gossip::Position member : members) text += fmt::format("{}{}", text.empty() ? "" : " ", member + 1);
  return text;
}

void print_json(const gossip::Rehearsal& played) {
  JsonList sends;
  for (const auto& sent : played.sends)
    sends.add_json(JsonLine().add("from", sent.from + 1).add("to", sent.to + 1).add("level", sent.level).take());
  JsonList missed;
  for (const gossip::Position member : played.missed) missed.add(member + 1);
  JsonLine line;
  line.add_json("sends", sends.take()).add("depth", played.depth).add_json("missed", missed.take());
  std::printf("%s\n", line.take().c_str());
}

void print_text(const TreeOptions& options, const gossip::Strategy& strategy, const gossip::Rehearsal& played) {
  std::map<gossip::Position, std::string> by_sender;
  std::vector<gossip::Position> senders; // in the order of their first send
  for (const auto& sent : played.sends) {
    std::string& line = by_sender[sent.from];
    if (line.empty()) senders.push_back(sent.from);
    line += fmt::format(" {}@{}", sent.to + 1, sent.level);
  }
  for (const gossip::Position sender : senders) std::printf("%u:%s\n", sender + 1, by_sender[sender].c_str());
  std::string summary = fmt::format("{} of {} member{}, from {}: {} sends, ", strategy.name(), options.size,
                                    options.size == 1 ? "" : "s", options.origin, played.sends.size());
  if (options.size > 1 && played.sends.empty()) summary += "it is dead, ";
  if (played.questions > 0) summary += fmt::format("{} questions, ", played.questions);
  summary += fmt::format("depth {}, ", played.depth);
  summary += played.missed.empty() ? std::string("nobody missed")
                                   : fmt::format("{} missed: {}", played.missed.size(), joined(played.missed));
  std::printf("%s\n", summary.c_str());
}

/// The members that `--dead` names.
std::vector<std::uint32_t> members_of(const std::string& list) {
  std::vector<std::uint32_t> members;
  for (std::string_view left = list;;) {
    const std::string_view word = left.substr(0, left.find(','));
    std::uint32_t member = 0;
    const auto [end, wrong] = std::from_chars(word.data(), word.data() + word.size(), member);
    if (word.empty() || wrong != std::errc() || end != word.data() + word.size())
      throw UsageError(fmt::format("--dead {} is no list of members, as 3,10 is: it has {}", quote(list),
                                   word.empty() ? "a number missing" : quote(word)));
    members.push_back(member);
    if (word.size() == left.size()) return members;
    left.remove_prefix(word.size() + 1);
  }
}

int tree(const TreeOptions& options) {
  if (options.size == 0 || options.size > gossip::book_members_max)
    throw UsageError(fmt::format("--size {} is not one of 1 to {}", options.size, gossip::book_members_max));
  const auto check = [&](const char* name, std::uint32_t member) {
    if (member == 0 || member > options.size)
      throw UsageError(fmt::format("{} {} is no member: they are numbered 1 to {}", name, member, options.size));
  };
  check("--origin", options.origin);
  std::vector<bool> dead(options.size);
  for (const std::string& list : options.dead)
    for (const std::uint32_t member : members_of(list)) {
      check("--dead", member);
      dead[member - 1] = true;
    }
  const auto strategy = gossip::Strategy::parse(options.strategy);
  const gossip::Rehearsal played = gossip::rehearse(*strategy, options.size, options.origin - 1, dead);
  if (options.json) {
    print_json(played);
  } else {
    print_text(options, *strategy, played);
  }
  return static_cast<int>(ExitCode::equal);
}

} // namespace

Command add_net_tree(CLI::App& net) {
  const auto options = std::make_shared<TreeOptions>();
  CLI::App* const command = net.add_subcommand("tree", "Print who sends to whom in a broadcast");
  command->add_option("--size", options->size, "How many members, numbered from 1 in the order of their addresses")
      ->required()
      ->type_name("N");
  command->add_option("--strategy", options->strategy, "plain, adopt, redundancy, cleanup, exact; several joined by +")
      ->type_name("S")
      ->capture_default_str();
  command->add_option("--origin", options->origin, "Who broadcasts")->type_name("I")->capture_default_str();
  command->add_option("--dead", options->dead, "Members that receive and send nothing")
      ->type_name("I,J,...")
      ->allow_extra_args(false);
  command->add_flag("--json", options->json, "One JSON object");
  command->footer(
      "A line per sender, as RECEIVER@LEVEL; level 0 is for the receiver alone. Sends to dead members are counted, "
      "and\n"
      "who is missed is alive and does not get the message. JSON: {\"sends\":[{\"from\",\"to\",\"level\"}],\"depth\",\n"
      "\"missed\":[...]}.\n\nExample:\n  trunkline net tree --size 27 --strategy plain --dead 10");
  return {command, [options] { return tree(*options); }};
}

} // namespace trunkline::cli
