// What a command has found out: for a person as columns, for a script as one JSON object per row.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::cli {

struct Cell {
  Cell(std::string words) : text(std::move(words)) {}
  Cell(const char* words) : text(words) {}
  Cell(bool value) : text(value ? "true" : "false"), literal(true) {}
  template <std::unsigned_integral T> Cell(T value) : text(std::to_string(value)), literal(true) {}

  std::string text;
  bool literal = false; // in JSON without quotes
};

struct Table {
  explicit Table(std::vector<std::string> names) : columns(std::move(names)) {}

  std::vector<std::string> columns;
  std::vector<std::vector<Cell>> rows; // each as long as `columns`
  std::string note;                    // for a person, where there are no rows
};

/// Columns of equal width under their names; a single row as "name  value" lines.
std::string text_of(const Table& table);
/// One object per row, each on its line.
std::string json_of(const Table& table);

} // namespace trunkline::cli
