#include "services/admin/metrics.hpp"

#include "circuit/trunk.hpp"
#include "fragment/input_file.hpp"
#include "peer/channel/network.hpp"
#include "trunkline/version.hpp"

#include <fmt/format.h>

#include <dirent.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <stdexcept>

namespace trunkline::admin {
namespace {

constexpr MetricFamily families[] = {
    {"trunkline_build_info", false, "Always 1; the version is a label.", "version"},

    {"trunkline_links", false, "Open links.", "state"},
    {"trunkline_links_opened_total", true, "Links on which both sides have said Hello."},
    {"trunkline_links_lost_total", true, "Links that ended otherwise than in order."},
    {"trunkline_dials_total", true, "Attempts to connect."},
    {"trunkline_dials_held_back_total", true, "Attempts that waited because one had failed a moment before."},
    {"trunkline_reconnects_total", true, "Links to a node whose last one was over."},
    {"trunkline_connections_turned_away_total", true, "Connections closed at a limit or for want of descriptors."},
    {"trunkline_connections_unrecognised_total", true, "Connections that spoke something else."},
    {"trunkline_link_bytes_sent_total", true, "Bytes of the protocol written to links."},
    {"trunkline_link_bytes_received_total", true, "Bytes of the protocol read from links."},
    {"trunkline_link_frames_received_total", true, "Frames read from links."},
    {"trunkline_link_round_trip_seconds_max", false, "The longest of the last round trips of the open links."},
    {"trunkline_link_output_bytes", false, "Bytes ready on all links and not yet written."},
    {"trunkline_link_unread_bytes", false, "Bytes received on all links and not yet consumed."},
    {"trunkline_circuits", false, "Circuits on open links."},
    {"trunkline_circuits_opened_total", true, "Circuits that this side has opened."},
    {"trunkline_circuits_refused_total", true, "Circuits of far sides that were refused."},
    {"trunkline_circuits_lost_total", true, "Circuits that were let go and whose last words may not have arrived."},
    {"trunkline_circuits_held", false, "Circuits that are over and whose handle a service still has."},
    {"trunkline_peers", false, "Local peers that run."},
    {"trunkline_peers_ending", false, "Local peers that have ended and whose service has not returned."},
    {"trunkline_services_failed_total", true, "Exceptions that left a service."},
    {"trunkline_callers_left_total", true, "Handlers that ended because their caller had."},
    {"trunkline_opens_cancelled_total", true, "Circuits that their openers gave up within a second, unanswered."},
    {"trunkline_opens_delayed_total", true, "Opens that waited because their node cancels too many."},
    {"trunkline_reading_pauses_total", true, "Times that a link was not read because it says too much."},

    {"trunkline_syncs_running", false, "Syncs that others asked for and that run."},
    {"trunkline_syncs_total", true, "Syncs that others asked for, by how they ended.", "result"},
    {"trunkline_sync_files_total", true, "Files sent or received by syncs that were done."},
    {"trunkline_sync_bytes_total", true, "Bytes of these files."},

    {"trunkline_network_messages_sent_total", true, "Messages sent on channels."},
    {"trunkline_network_messages_received_total", true, "Messages received on channels."},
    {"trunkline_network_bytes_sent_total", true, "Payload bytes of messages sent."},
    {"trunkline_network_bytes_received_total", true, "Payload bytes of messages received."},
    {"trunkline_network_send_failures_total", true, "Messages that were not sent."},
    {"trunkline_network_processor_failures_total", true, "Exceptions that left a processor of a channel."},
    {"trunkline_network_drops_total", true, "Messages received for a channel that nobody processes."},
    {"trunkline_network_queue_bytes", false, "Bytes of messages that wait to be sent."},
    {"trunkline_network_queue_messages", false, "Messages that wait to be sent."},
    {"trunkline_network_connections", false, "Connections of the network.", "direction"},
    {"trunkline_network_evictions_total", true, "Idle connections closed for another, or for being idle."},

    {"trunkline_quarkchain_connections", false, "Connections of the cluster framing."},
    {"trunkline_quarkchain_connections_accepted_total", true, "Connections accepted."},
    {"trunkline_quarkchain_connections_turned_away_total", true, "Connections closed at a limit."},
    {"trunkline_quarkchain_dials_total", true, "Attempts to connect to slaves or clusters."},
    {"trunkline_quarkchain_active", false, "1 when the master has booted its cluster, or the slave has a master."},
    {"trunkline_quarkchain_slaves", false, "Slaves that are connected."},
    {"trunkline_quarkchain_peers", false, "Other clusters, or virtual peers of a slave."},
    {"trunkline_quarkchain_requests_refused_total", true, "Requests answered with an error, by who asked.", "from"},
    {"trunkline_quarkchain_requests_unserved_total", true, "Requests for what is not served, by who asked.", "from"},

    {"process_resident_memory_bytes", false, "Resident memory size in bytes."},
    {"process_virtual_memory_bytes", false, "Virtual memory size in bytes."},
    {"process_cpu_seconds_total", true, "User and system CPU time in seconds."},
    {"process_open_fds", false, "Open file descriptors."},
    {"process_max_fds", false, "Largest number of open file descriptors."},
    {"process_start_time_seconds", false, "Start time since the Unix epoch in seconds."},
};

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (value == std::floor(value) && std::abs(value) < 9e15) return fmt::format("{:.0f}", value);
  return fmt::format("{}", value);
}

/// Of a label's value; a help text has neither quotes nor line breaks, which a test holds.
std::string label_text(std::string_view text) {
  std::string escaped;
  for (const char letter : text) {
    if (letter == '\\' || letter == '"') escaped += '\\';
    if (letter == '\n') escaped += "\\n";
    else escaped += letter;
  }
  return escaped;
}

double seconds_of(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; }

std::size_t open_descriptors() {
  DIR* const directory = ::opendir("/proc/self/fd");
  if (!directory) return 0;
  std::size_t count = 0;
  while (const dirent* const entry = ::readdir(directory)) count += entry->d_name[0] != '.';
  ::closedir(directory);
  return count - 1; // the directory itself
}

/// When the process began, in seconds since 1970; 0 when the system does not say.
double start_time() {
  InputFile file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t behind_name = line.rfind(')');
  if (behind_name == std::string::npos) return 0;
  constexpr int fields_before = 19; // of proc(5): starttime is the 22nd
  std::size_t at = behind_name + 2;
  for (int i = 0; i < fields_before && at != std::string::npos; ++i) {
    at = line.find(' ', at);
    if (at != std::string::npos) ++at;
  }
  if (at == std::string::npos) return 0;
  const double since_boot = std::stod(line.substr(at)) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  timespec now{};
  timespec up{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  return static_cast<double>(now.tv_sec - up.tv_sec) + since_boot;
}

} // namespace

std::span<const MetricFamily> metric_families() { return families; }

void MetricPage::add(std::string_view name, double value, std::string_view label_value) {
  const auto family = std::ranges::find(families, name, &MetricFamily::name);
  if (family == std::end(families)) throw std::logic_error("there is no metric " + std::string(name));
  if (family->label.empty() != label_value.empty())
    throw std::logic_error("metric " + std::string(name) + " has the label \"" + std::string(family->label) + "\"");
  std::string line(name);
  if (!label_value.empty()) line += fmt::format("{{{}=\"{}\"}}", family->label, label_text(label_value));
  samples_[family->name].push_back(line + " " + number_text(value) + "\n");
}

std::string MetricPage::take() {
  std::string text;
  for (const MetricFamily& family : families) {
    const auto found = samples_.find(family.name);
    if (found == samples_.end()) continue;
    text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", family.name, family.help, family.name,
                        family.is_counter ? "counter" : "gauge");
    for (const std::string& line : found->second) text += line;
  }
  samples_.clear();
  return text;
}

void add_process(MetricPage& page) {
  page.add("trunkline_build_info", 1, TRUNKLINE_VERSION_STRING);
  InputFile file("/proc/self/statm");
  std::uint64_t pages = 0;
  std::uint64_t resident = 0;
  const auto page_bytes = static_cast<double>(::sysconf(_SC_PAGESIZE));
  if (file >> pages >> resident) {
    page.add("process_virtual_memory_bytes", static_cast<double>(pages) * page_bytes);
    page.add("process_resident_memory_bytes", static_cast<double>(resident) * page_bytes);
  }
  rusage used{};
  if (::getrusage(RUSAGE_SELF, &used) == 0)
    page.add("process_cpu_seconds_total", seconds_of(used.ru_utime) + seconds_of(used.ru_stime));
  page.add("process_open_fds", static_cast<double>(open_descriptors()));
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0)
    page.add("process_max_fds", limit.rlim_cur == RLIM_INFINITY ? std::numeric_limits<double>::infinity()
                                                                : static_cast<double>(limit.rlim_cur));
  if (const double started = start_time(); started > 0) page.add("process_start_time_seconds", started);
}

void add_node(MetricPage& page, const Node& node, const LinkBook& book) {
  const auto add = [&page](std::string_view name, auto value) { page.add(name, static_cast<double>(value)); };
  const NodeCounters counters = node.counters();
  std::size_t draining = 0;
  std::size_t open = 0;
  std::size_t circuits = 0;
  std::size_t output = 0;
  std::size_t unread = 0;
  std::chrono::nanoseconds slowest{0};
  for (const LinkInfo& link : node.links()) {
    const Machine& machine = link.trunk->machine();
    ++(link.draining ? draining : open);
    circuits += machine.circuits_count();
    output += machine.output_bytes();
    unread += machine.memory_bytes();
    slowest = std::max(slowest, machine.counters().round_trip);
  }
  page.add("trunkline_links", static_cast<double>(open), "open");
  page.add("trunkline_links", static_cast<double>(draining), "draining");
  add("trunkline_links_opened_total", counters.trunks_opened);
  add("trunkline_links_lost_total", counters.trunks_lost);
  add("trunkline_dials_total", counters.dials);
  add("trunkline_dials_held_back_total", counters.dials_held_back);
  add("trunkline_reconnects_total", counters.reconnects);
  add("trunkline_connections_turned_away_total", counters.connections_turned_away);
  add("trunkline_connections_unrecognised_total", counters.connections_unrecognised);
  const LinkTotals totals = book.totals();
  add("trunkline_link_bytes_sent_total", totals.bytes_sent);
  add("trunkline_link_bytes_received_total", totals.bytes_received);
  add("trunkline_link_frames_received_total", totals.frames_received);
  add("trunkline_link_round_trip_seconds_max", std::chrono::duration<double>(slowest).count());
  add("trunkline_link_output_bytes", output);
  add("trunkline_link_unread_bytes", unread);
  add("trunkline_circuits", circuits);
  add("trunkline_circuits_opened_total", totals.circuits_opened);
  add("trunkline_circuits_refused_total", counters.circuits_refused);
  add("trunkline_circuits_lost_total", counters.circuits_lost);
  add("trunkline_circuits_held", counters.circuits_held);
  add("trunkline_peers", node.local_peers().size());
  add("trunkline_peers_ending", counters.peers_ending);
  add("trunkline_services_failed_total", counters.services_failed);
  add("trunkline_callers_left_total", counters.callers_left);
  add("trunkline_opens_cancelled_total", counters.opens_cancelled);
  add("trunkline_opens_delayed_total", counters.opens_delayed);
  add("trunkline_reading_pauses_total", counters.reading_pauses);
}

void add_network(MetricPage& page, const NetworkMetrics& network) {
  const auto add = [&page](std::string_view name, auto value) { page.add(name, static_cast<double>(value)); };
  Traffic all;
  std::uint64_t failures = 0;
  for (const auto& [name, channel] : network.channels) {
    all.messages_sent += channel.messages_sent;
    all.messages_received += channel.messages_received;
    all.bytes_sent += channel.bytes_sent;
    all.bytes_received += channel.bytes_received;
    failures += channel.failures();
  }
  add("trunkline_network_messages_sent_total", all.messages_sent);
  add("trunkline_network_messages_received_total", all.messages_received);
  add("trunkline_network_bytes_sent_total", all.bytes_sent);
  add("trunkline_network_bytes_received_total", all.bytes_received);
  add("trunkline_network_send_failures_total", failures);
  add("trunkline_network_processor_failures_total", network.processor_failures);
  add("trunkline_network_drops_total", network.drops_unknown_channel);
  add("trunkline_network_queue_bytes", network.queue_bytes);
  add("trunkline_network_queue_messages", network.queue_messages);
  page.add("trunkline_network_connections", static_cast<double>(network.connections_inbound), "inbound");
  page.add("trunkline_network_connections", static_cast<double>(network.connections_outbound), "outbound");
  add("trunkline_network_evictions_total", network.evictions);
}

} // namespace trunkline::admin
