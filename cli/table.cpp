#include "cli/table.hpp"
#include "fragment/json_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace trunkline::cli {
namespace {

std::string in_lines(const Table& table) {
  std::size_t width = 0;
  for (const std::string& name : table.columns) width = std::max(width, name.size());
  std::string text;
  for (std::size_t i = 0; i < table.columns.size(); ++i)
    text += fmt::format("{:<{}}  {}\n", table.columns[i], width, table.rows.front()[i].text);
  return text;
}

std::string in_columns(const Table& table) {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    std::size_t width = table.columns[i].size();
    for (const auto& row : table.rows) width = std::max(width, row[i].text.size());
    widths.push_back(width);
  }
  std::string text;
  const auto add = [&](const auto& texts) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) line += fmt::format("{:<{}}  ", texts[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add(table.columns);
  for (const auto& row : table.rows) {
    std::vector<std::string> texts;
    for (const Cell& cell : row) texts.push_back(cell.text);
    add(texts);
  }
  return text;
}

} // namespace

std::string text_of(const Table& table) {
  if (table.rows.empty()) return table.note.empty() ? std::string() : table.note + "\n";
  return table.rows.size() == 1 ? in_lines(table) : in_columns(table);
}

std::string json_of(const Table& table) {
  std::string text;
  for (const auto& row : table.rows) {
    JsonLine line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (row[i].literal) line.add_json(table.columns[i], row[i].text);
      else line.add(table.columns[i], row[i].text);
    }
    text += line.take() + "\n";
  }
  return text;
}

} // namespace trunkline::cli
