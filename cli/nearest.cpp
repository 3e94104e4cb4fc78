#include "cli/nearest.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

constexpr std::size_t wanted_letters_max = 64; // of an argument; names are shorter
constexpr std::size_t suggestions_max = 3;

std::string lower(std::string_view text) {
  std::string letters(text);
  for (char& letter : letters) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return letters;
}

/// Letters to insert, remove, replace or swap with their neighbour until it is a beginning of the name, whichever is
/// nearest: what is typed is often not all of it.
std::size_t slips(std::string_view wanted, std::string_view name) {
  std::vector<std::size_t> before_last(name.size() + 1); // rows of the usual table
  std::vector<std::size_t> last(name.size() + 1);
  std::vector<std::size_t> row(name.size() + 1);
  for (std::size_t j = 0; j <= name.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= wanted.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= name.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (wanted[i - 1] != name[j - 1])});
      const bool swapped = i > 1 && j > 1 && wanted[i - 1] == name[j - 2] && wanted[i - 2] == name[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return *std::min_element(last.begin(), last.end());
}

/// The smaller the nearer; nothing for what is not near.
std::optional<std::size_t> rank(std::string_view wanted, std::string_view name) {
  const std::size_t part = name.find(wanted);
  if (part == 0) return 0;
  if (wanted.size() >= 3 && part != std::string_view::npos) return 1;
  const std::size_t slips_max = std::max<std::size_t>(1, wanted.size() / 4);
  const std::size_t found = slips(wanted, name);
  return found <= slips_max ? std::optional(1 + found) : std::nullopt;
}

} // namespace

std::string did_you_mean(std::string_view wanted, std::span<const std::string_view> names) {
  const std::string seen = lower(wanted.substr(0, wanted_letters_max));
  if (seen.empty()) return {};
  std::vector<std::pair<std::size_t, std::string_view>> found;
  for (const std::string_view name : names) {
    if (const auto near = rank(seen, lower(name))) found.emplace_back(*near, name);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  // Slips of the finger only where what was typed is a part of no name.
  if (!found.empty() && found.front().first <= 1) std::erase_if(found, [](const auto& one) { return one.first > 1; });
  if (found.size() > suggestions_max) found.resize(suggestions_max);
  std::string text;
  for (std::size_t i = 0; i < found.size(); ++i)
    text += (i == 0 ? "; did you mean " : i + 1 == found.size() ? " or " : ", ") + std::string(found[i].second);
  return text.empty() ? text : text + "?";
}

} // namespace trunkline::cli
