// Pocket's published tables: who sends to whom at which level, and how often each member reads and writes. Members are
// numbered from 1 in the order of their addresses, and member 1 originates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

namespace trunkline::test {

/// (from, to, level) of every send, as often as it happens.
using Sends = std::multiset<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>>;

struct PublishedSends {
  std::uint32_t size;
  const char* text; // "1: 2@2 3@2; 2: 3@1"
};

inline const std::vector<PublishedSends> published_sends = {
    {1, ""},
    {2, "1: 2@1"},
    {3, "1: 2@1 3@1"},
    {4, "1: 2@2 3@2 2@1; 2: 3@1; 3: 4@1"},
    {6, "1: 3@2 5@2 2@1 3@1; 3: 4@1 5@1; 5: 6@1 1@1"},
    {9, "1: 4@2 7@2 3@1 5@1; 4: 6@1 8@1; 7: 9@1 2@1"},
    {12,
     "1: 5@3 9@3 3@2 6@2 2@1 4@1; 5: 7@2 10@2 6@1 8@1; 9: 11@2 2@2 10@1 12@1; 2: 3@1 5@1; 3: 4@1 6@1; 6: 7@1 9@1; "
     "7: 8@1 10@1; 10: 11@1 1@1; 11: 12@1 2@1"},
    {18,
     "1: 7@3 13@3 5@2 9@2 3@1 6@1; 7: 11@2 15@2 9@1 12@1; 13: 17@2 3@2 15@1 18@1; 3: 5@1 8@1; 5: 7@1 10@1; "
     "9: 11@1 14@1; 11: 13@1 16@1; 15: 17@1 2@1; 17: 1@1 4@1"},
    {27,
     "1: 10@3 19@3 7@2 13@2 5@1 9@1; 10: 16@2 22@2 14@1 18@1; 19: 25@2 4@2 23@1 27@1; 4: 8@1 12@1; 7: 11@1 15@1; "
     "13: 17@1 21@1; 16: 20@1 24@1; 22: 26@1 3@1; 25: 2@1 6@1"},
};

/// The sends of a table, all members moved on by `rotation` places of the ring.
inline Sends sends_of(const PublishedSends& table, std::uint32_t rotation = 0) {
  Sends sends;
  const auto moved = [&](std::uint32_t member) { return (member - 1 + rotation) % table.size + 1; };
  std::istringstream words(table.text);
  std::uint32_t from = 0;
  for (std::string word; words >> word;) {
    const std::size_t at = word.find('@');
    if (at == std::string::npos) {
      from = static_cast<std::uint32_t>(std::stoul(word)); // "12:"
    } else {
      sends.emplace(moved(from), moved(static_cast<std::uint32_t>(std::stoul(word))),
                    static_cast<std::uint32_t>(std::stoul(word.substr(at + 1))));
    }
  }
  return sends;
}

struct PublishedCounts {
  std::uint32_t size;
  std::vector<std::array<std::uint32_t, 2>> counts; // {reads, writes} of member 1, 2, ...
};

inline const std::vector<PublishedCounts> published_counts = {
    {1, {{0, 0}}},
    {2, {{0, 1}, {1, 0}}},
    {3, {{0, 2}, {1, 0}, {1, 0}}},
    {4, {{0, 3}, {2, 1}, {2, 1}, {1, 0}}},
    {9, {{0, 4}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0}}},
    {12, {{1, 6}, {3, 2}, {2, 2}, {2, 0}, {2, 4}, {3, 2}, {2, 2}, {2, 0}, {2, 4}, {3, 2}, {2, 2}, {2, 0}}},
    {18,
     {{1, 6},
      {1, 0},
      {2, 2},
      {1, 0},
      {2, 2},
      {1, 0},
      {2, 4},
      {1, 0},
      {2, 2},
      {1, 0},
      {2, 2},
      {1, 0},
      {2, 4},
      {1, 0},
      {2, 2},
      {1, 0},
      {2, 2},
      {1, 0}}},
    {27,
     {{0, 6}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0}, {1, 4}, {1, 0}, {1, 0}, {1, 2}, {1, 0},
      {1, 0}, {1, 2}, {1, 0}, {1, 0}, {1, 4}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0}}},
};

/// What N = 1..27 come to: list sizes and targets from the top level down, sends, most reads, the originator's reads,
/// who is missed.
struct PublishedSize {
  std::uint32_t size;
  std::uint32_t levels;
  std::vector<std::uint32_t> lists;
  std::vector<std::array<std::uint32_t, 2>> targets;
  std::uint32_t sends;
  std::uint32_t reads_max;
  std::uint32_t reads_of_originator;
  std::vector<std::uint32_t> missed;
};

inline const std::vector<PublishedSize> published_sizes = {
    {1, 0, {}, {}, 0, 0, 0, {}},
    {2, 1, {2}, {{0, 1}}, 1, 1, 0, {}},
    {3, 1, {3}, {{1, 2}}, 2, 1, 0, {}},
    {4, 2, {4, 2}, {{1, 2}, {0, 1}}, 5, 2, 0, {}},
    {5, 2, {5, 3}, {{1, 3}, {1, 2}}, 8, 2, 1, {}},
    {6, 2, {6, 4}, {{2, 4}, {1, 2}}, 8, 2, 1, {}},
    {7, 2, {7, 4}, {{2, 4}, {1, 2}}, 8, 2, 0, {}},
    {8, 2, {8, 5}, {{2, 5}, {1, 3}}, 8, 2, 1, {5, 8}},
    {9, 2, {9, 6}, {{3, 6}, {2, 4}}, 8, 1, 0, {}},
    {10, 3, {10, 6, 4}, {{3, 6}, {2, 4}, {1, 2}}, 26, 3, 2, {}},
    {11, 3, {11, 7, 4}, {{3, 7}, {2, 4}, {1, 2}}, 26, 3, 2, {}},
    {12, 3, {12, 8, 5}, {{4, 8}, {2, 5}, {1, 3}}, 26, 3, 1, {}},
    {13, 3, {13, 8, 5}, {{4, 8}, {2, 5}, {1, 3}}, 26, 3, 2, {}},
    {14, 3, {14, 9, 6}, {{4, 9}, {3, 6}, {2, 4}}, 26, 2, 2, {}},
    {15, 3, {15, 10, 6}, {{5, 10}, {3, 6}, {2, 4}}, 26, 3, 2, {}},
    {16, 3, {16, 10, 7}, {{5, 10}, {3, 6}, {2, 4}}, 26, 3, 1, {}},
    {17, 3, {17, 11, 7}, {{5, 11}, {3, 7}, {2, 4}}, 26, 3, 0, {7}},
    {18, 3, {18, 12, 8}, {{6, 12}, {4, 8}, {2, 5}}, 26, 2, 1, {}},
    {19, 3, {19, 12, 8}, {{6, 12}, {4, 8}, {2, 5}}, 26, 3, 1, {8}},
    {20, 3, {20, 13, 8}, {{6, 13}, {4, 8}, {2, 5}}, 26, 3, 0, {8}},
    {21, 3, {21, 14, 9}, {{7, 14}, {4, 9}, {3, 6}}, 26, 2, 1, {}},
    {22, 3, {22, 14, 9}, {{7, 14}, {4, 9}, {3, 6}}, 26, 3, 1, {6, 9}},
    {23, 3, {23, 15, 10}, {{7, 15}, {5, 10}, {3, 6}}, 26, 2, 2, {2, 5, 10, 15, 20, 23}},
    {24, 3, {24, 16, 10}, {{8, 16}, {5, 10}, {3, 6}}, 26, 3, 2, {2, 5, 8, 10, 13, 16, 18, 21, 24}},
    {25, 3, {25, 16, 11}, {{8, 16}, {5, 10}, {3, 7}}, 26, 3, 1, {3, 7, 10, 15, 23}},
    {26, 3, {26, 17, 11}, {{8, 17}, {5, 11}, {3, 7}}, 26, 2, 1, {2, 5, 7, 11, 22, 24}},
    {27, 3, {27, 18, 12}, {{9, 18}, {6, 12}, {4, 8}}, 26, 1, 0, {}},
};

} // namespace trunkline::test
