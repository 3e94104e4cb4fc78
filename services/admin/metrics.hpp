// The metrics of a program for Prometheus: which there are, and the text in which they are scraped.
#pragma once

#include "peer/node.hpp"
#include "services/admin/link_book.hpp"

#include <cstdint>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline {
struct NetworkMetrics;
}

namespace trunkline::admin {

/// One name, under which there are one or more values. docs/operating.md lists all of them; a test compares.
struct MetricFamily {
  std::string_view name;
  bool is_counter; // otherwise a gauge
  std::string_view help;
  std::string_view label = {}; // the only one; empty: none
};

/// In the order in which they are written.
std::span<const MetricFamily> metric_families();

/// The values of one scrape. Labels have a bounded number of values each: no address, id or path is one.
class MetricPage {
 public:
  /// Errors: std::logic_error for a name that is not among the families, or without its label.
  void add(std::string_view name, double value, std::string_view label_value = {});
  /// In Prometheus' text format, version 0.0.4.
  std::string take();

 private:
  std::map<std::string_view, std::vector<std::string>> samples_; // by family
};

/// What every process has: memory, processor time, descriptors.
void add_process(MetricPage& page);
void add_node(MetricPage& page, const Node& node, const LinkBook& book);
void add_network(MetricPage& page, const NetworkMetrics& network);

} // namespace trunkline::admin
