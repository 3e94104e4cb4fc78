// trunkline serve: a node that answers syncs of one directory until it is told to end.
#include "async/signal.hpp"
#include "async/within.hpp"
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/identity.hpp"
#include "cli/location.hpp"
#include "cli/logger.hpp"
#include "cli/node.hpp"
#include "cli/operate/admin.hpp"
#include "cli/operate/configuration.hpp"
#include "cli/operate/limits.hpp"
#include "cli/operate/link_log.hpp"
#include "cli/operate/listening.hpp"
#include "cli/operate/operation.hpp"
#include "cli/operate/running_configuration.hpp"
#include "cli/operate/trunk_limits.hpp"
#include "cli/web/pages.hpp"
#include "fragment/json_line.hpp"
#include "fragment/quote.hpp"
#include "services/sync/path.hpp"
#include "services/sync/service.hpp"
#include "services/web/files.hpp"
#include "services/web/status.hpp"
#include "transport/address.hpp"
#include "transport/socket_options.hpp"
#include "transport/stdio.hpp"
#include "transport/tls_context.hpp"
#include "transport/web_socket.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::cli {
namespace {

constexpr const char* node_name = "serve";

struct ServeOptions {
  std::string root;
  std::vector<std::string> listen;
  bool web = false;
  std::string web_address;   // empty: the usual one
  std::string web_directory; // empty: the page that is compiled in
  std::vector<std::string> web_origins;
  std::string web_certificate; // empty: without encryption
  std::string web_key;         // empty: in the file of the certificate
  bool stdio = false; // the only connection is to whoever started this
  bool read_only = false;
  IdentityOptions identity;
  LogOptions log;
  AdminOptions admin;
  ConfigurationOptions configuration;
  LimitOptions limits;
  bool quiet = false;
  bool verbose = false;
  int grace_seconds = 10;
};

/// Trunks come and go; what a person asked for is the syncs.
LogLevel level_of(LogLevel level) { return level == LogLevel::info ? LogLevel::debug : level; }

void log_note(const Logger& logger, const sync::Note& note) {
  switch (note.kind) {
    case sync::Note::Kind::error: logger->warn("{}", sync::printable_sentence(note.text)); break;
    case sync::Note::Kind::deleted: logger->debug("deleted {}", sync::printable(note.path)); break;
    case sync::Note::Kind::skipped: logger->debug("skipped {}", sync::printable(note.path)); break;
    default: logger->debug("synced {}", sync::printable(note.path));
  }
}

/// With --stdio: the only connection that there is.
struct Visitor {
  void note(LinkChange change) {
    is_there = is_there || change == LinkChange::opened;
    has_left = has_left || change == LinkChange::over;
    changed.notify_all();
  }

  bool is_there = false;
  bool has_left = false;
  Signal changed;
};

/// A line for people, its parts for programs.
void log_sync(const Logger& logger, const admin::LinkBook& book, const sync::Answered& answered, const std::string& line) {
  std::uint64_t link = book.number_of(answered.trunk);
  if (link == 0) // it has left by now
    if (const admin::LinkBook::Named* const ended = book.named_in(answered.remote)) link = ended->number;
  JsonLine members;
  members.add("event", "sync").add("remote", answered.remote).add("node", answered.node.to_string());
  if (!answered.node_name.empty()) members.add("node_name", answered.node_name);
  if (answered.identity) members.add("identity", answered.identity->to_string());
  else members.add_null("identity");
  if (link > 0) members.add("link", link);
  members.add("circuit", std::uint64_t{answered.circuit});
  if (answered.is_understood) members.add("direction", answered.takes ? "push" : "pull").add_path(answered.path);
  members.add("files", answered.report.files).add("bytes", answered.report.bytes);
  members.add("deleted", answered.report.deleted).add("errors", answered.report.errors);
  members.add("seconds", std::chrono::duration<double>(answered.took).count());
  if (!answered.failure.empty()) members.add("failure", answered.failure);
  const std::string object = members.take();
  log_with(logger, answered.failure.empty() ? LogLevel::info : LogLevel::warning,
           line + (link > 0 ? " (link " + std::to_string(link) + " circuit " + std::to_string(answered.circuit) + ")" : ""),
           std::string_view(object).substr(1, object.size() - 2));
}

void add_metrics(admin::MetricPage& page, const sync::Service& service) {
  const sync::AnsweredCounters& answered = service.answered();
  page.add("trunkline_syncs_running", static_cast<double>(service.running_count()));
  page.add("trunkline_syncs_total", static_cast<double>(answered.done), "done");
  page.add("trunkline_syncs_total", static_cast<double>(answered.failed), "failed");
  page.add("trunkline_sync_files_total", static_cast<double>(answered.files));
  page.add("trunkline_sync_bytes_total", static_cast<double>(answered.bytes));
}

/// What serving needs besides the node.
struct Serving {
  Node* node;
  std::shared_ptr<sync::Service> service;
  Operation* operation;
  const int* grace_seconds; // which may change
  Logger logger;
  Visitor* visitor;
};

/// Until a signal: then syncs that run may end within the grace, or until the next signal.
awaitable<void> serve_until_signal(Serving* serving) {
  using namespace asio::experimental::awaitable_operators;
  const int number = co_await serving->operation->until_asked_to_end();
  serving->operation->stopping(); // who comes from now on finds the successor
  serving->service->refuse_new();
  const std::chrono::seconds grace(*serving->grace_seconds);
  if (const std::size_t running = serving->service->running_count(); running > 0) {
    serving->logger->info("{}: ending, and no longer listening; {} syncs may take {} s more, a second signal ends them",
                          name_of_signal(number), running, grace.count());
    co_await (serving->service->drained() || sleep_for(grace) || serving->operation->until_asked_to_end());
  }
  co_await serving->node->drain(std::chrono::milliseconds(200));
  co_await serving->node->close();
}

awaitable<void> until_there(Visitor* visitor) {
  while (!visitor->is_there && !visitor->has_left) co_await visitor->changed.wait();
}

/// The connection to whoever started this has come and gone, or has not come.
awaitable<void> until_left(Visitor* visitor) {
  constexpr std::chrono::seconds patience{30}; // until it says Hello
  try {
    co_await within(patience, until_there(visitor));
  } catch (const boost::system::system_error& failure) {
    if (failure.code() != error::timed_out) throw;
    visitor->has_left = true;
  }
  while (!visitor->has_left) co_await visitor->changed.wait();
}

awaitable<void> serve_until_left(Serving* serving) {
  using namespace asio::experimental::awaitable_operators;
  const auto first = co_await (until_left(serving->visitor) || serve_until_signal(serving));
  if (first.index() == 0) co_await serving->node->close();
}

/// The medium of --web, and what it listens on.
struct WebPort {
  std::shared_ptr<Medium> medium;
  std::string address;
  std::shared_ptr<WebTls> tls; // null: none
};

/// With a certificate it is one of HTTPS, to which nodes that know this node's key come as well.
WebPort make_web_port(const ServeOptions& options, WebSocketOptions settings, const NodeIdentity& identity,
                      const Listening& listening, const Logger& logger) {
  constexpr std::string_view usual_address = "127.0.0.1:8080";
  auto pages = std::make_shared<WebPages>();
  if (options.web_directory.empty()) add_built_in_pages(*pages);
  else pages->add_directory(options.web_directory);
  settings.pages = std::move(pages);
  settings.origins = options.web_origins;
  settings.on_refused = [logger](const std::string& remote, const std::string& why) {
    logger->warn("{} was refused: {}", remote, why);
  };
  WebPort port;
  if (options.web_certificate.empty()) {
    port.medium = make_web_socket_medium(std::move(settings), listening.tcp("tcp"), make_web_socket_medium()->scheme());
  } else {
    WebTlsOptions files;
    files.certificate_file = options.web_certificate;
    files.key_file = options.web_key;
    port.tls = std::make_shared<WebTls>(std::move(files));
    const std::string scheme(make_web_socket_tls_medium(nullptr)->scheme());
    port.medium = make_web_socket_tls_medium(identity.identity(), std::move(settings), port.tls, listening.tcp(scheme));
  }
  HostPort where;
  const std::string_view given = options.web_address.empty() ? usual_address : std::string_view(options.web_address);
  if (parse_host_port(given, where) != HostPortFlaw::none)
    throw UsageError("--web \"" + std::string(given) + "\" is not HOST:PORT");
  port.address = to_address(port.medium->scheme(), where.host, where.port);
  check_listen_address(port.address, options.identity.insecure);
  return port;
}

void print_page(const std::string& listening, bool is_encrypted) {
  const std::string page(without_pin(listening));
  std::printf("listening on %s\npage at %s%s/\n", listening.c_str(), is_encrypted ? "https" : "http",
              page.substr(page.find(':')).c_str());
}

/// Everything of a serving node that has limits, before it is made.
struct Limited {
  void add_to(LimitTable& table) {
    add_limits(table, node);
    add_limits(table, sync_service);
    add_limits(table, tcp);
    add_limits(table, web_socket);
    add_limits(table, web_files);
    add_limits(table, web_status);
    add_limits(table, admin_port);
  }

  NodeOptions node = node_options(node_name);
  sync::ServiceOptions sync_service;
  TcpOptions tcp;
  WebSocketOptions web_socket;
  web::FilesOptions web_files;
  web::StatusOptions web_status;
  admin::PortOptions admin_port;

  Limited() { sync_service.tuning = sync_tuning(); }
};

LogLevel usual_level(const ServeOptions& options) {
  // Whoever started it over ssh sees its log between the lines of the other side.
  const bool is_quiet = options.quiet || (options.stdio && !options.verbose);
  return is_quiet ? LogLevel::warning : options.verbose ? LogLevel::debug : LogLevel::info;
}

/// Addresses that are new are listened on. Ending to listen on one needs a restart: others have been told of it.
void follow_listen(RunningConfiguration& running, ServeOptions& options, Node& node, const Logger& logger) {
  auto current = std::make_shared<std::vector<std::string>>(options.listen);
  running.follow("listen", options.listen, [current, &options, &node, logger] {
    const auto has = [](const std::vector<std::string>& all, const std::string& one) { return std::ranges::find(all, one) != all.end(); };
    for (const std::string& address : options.listen) {
      if (has(*current, address)) continue;
      check_listen_address(address, options.identity.insecure);
      logger->info("listening on {}", node.listen(address));
      current->push_back(address);
    }
    for (const std::string& address : *current)
      if (!has(options.listen, address)) logger->warn("listen: {} goes on, and needs a restart to end", address);
  });
}

int serve(ServeOptions& options) {
  if (options.stdio && !options.listen.empty()) throw UsageError("--stdio and --listen exclude each other");
  if (options.stdio && options.web) throw UsageError("--stdio and --web exclude each other");
  if (!options.stdio && options.listen.empty() && !options.web)
    throw UsageError("--listen ADDRESS, --web or --stdio is needed");
  for (const std::string& address : options.listen) check_listen_address(address, options.identity.insecure);
  raise_files_limit();
  const Logger logger = make_logger(least_level(options.log, usual_level(options)), options.log);
  const auto root = sync::Root::open(options.root);

  NodeIdentity identity(options.identity, key_of_listening, options.listen,
                        [logger](const std::string& line) { logger->warn("{}", line); });

  asio::io_context io(1);
  Operation operation(io, logger);
  const auto digest_threads = sync::DigestThreads::of_this_machine();
  Limited limited;
  LimitTable limits;
  limited.add_to(limits);
  limits.set(options.limits);
  NodeOptions& node_settings = limited.node;
  identity.apply(node_settings);
  Listening listening(limited.tcp);
  listening.apply(node_settings.media, node_settings.identity);
  operation.on_stopping([&listening] { listening.close(); });
  const auto book = std::make_shared<admin::LinkBook>();
  node_settings.log = [logger, book](LogLevel level, std::string_view line) {
    log_with_link(logger, *book, level_of(level), line);
  };
  const auto stdio = std::make_shared<StdioMedium>();
  Visitor visitor;
  if (options.stdio) node_settings.media.emplace(stdio->scheme(), stdio);
  node_settings.on_link = [&visitor, book](LinkChange change, const LinkInfo& link) {
    book->note(change, link);
    visitor.note(change);
  };
  WebPort port;
  if (options.web) {
    port = make_web_port(options, limited.web_socket, identity, listening, logger);
    node_settings.media.emplace(port.medium->scheme(), port.medium);
  }
  RunningConfiguration running(options.configuration, logger);
  follow_trunk_limits(running, options.limits, node_settings);
  Node node(io.get_executor(), std::move(node_settings));
  sync::ServiceOptions& settings = limited.sync_service;
  settings.root = root;
  settings.read_only = options.read_only;
  settings.digest_threads = digest_threads;
  settings.on_answered = [logger, book](const sync::Answered& answered, const std::string& line) {
    log_sync(logger, *book, answered, line);
  };
  settings.on_note = [logger](const sync::Note& note) { log_note(logger, note); };
  const auto service = sync::Service::register_at(node, std::move(settings));

  if (options.web) {
    web::FilesOptions& files = limited.web_files;
    files.root = root;
    files.read_only = options.read_only;
    files.log = [logger, book](const std::string& line) { log_with_link(logger, *book, LogLevel::info, line); };
    web::serve_files(node, std::move(files));
    web::StatusOptions& status = limited.web_status;
    status.name = node_name;
    web::serve_status(node, std::move(status));
  }

  if (running.has_file()) operation.on_reload(running.file(), [&running] { running.read_again(); });
  if (identity.reloads() || running.has_file())
    operation.on_reload("keys, known nodes and policy", [&identity, &node] { identity.reload(&node); });
  if (port.tls) operation.on_reload("certificates", [tls = port.tls] { tls->reload(); });
  for (const std::string& address : options.listen) std::printf("listening on %s\n", node.listen(address).c_str());
  if (options.web) print_page(node.listen(port.address), port.tls != nullptr);
  AdminPort admin_port(options.admin, "serve " + options.root, operation, options.limits);
  admin_port.open(node, book, [service](admin::MetricPage& page) { add_metrics(page, *service); });
  std::fflush(stdout);
  follow_log(running, options.log, logger, [&options] { return usual_level(options); });
  for (bool* const flag : {&options.quiet, &options.verbose})
    running.follow(flag == &options.quiet ? "quiet" : "verbose", *flag,
                   [&options, logger] { set_log_level(logger, least_level(options.log, usual_level(options))); });
  running.follow("grace", options.grace_seconds, [] {});
  running.follow("policy", options.identity.policy_file, [&] { identity.set_policy(options.identity.policy_file); });
  if (!options.stdio) follow_listen(running, options, node, logger);
  admin_port.follow(running, options.limits, logger);
  for (const std::string& address : listening.unused())
    logger->warn("a socket for {} was handed over, and no --listen names it", address);
  std::exception_ptr failure;
  if (options.stdio) node.listen(StdioMedium::own_address());
  operation.ready("serving " + options.root);
  Serving serving{&node,  service, &operation, &options.grace_seconds, logger, &visitor};
  asio::co_spawn(io, options.stdio ? serve_until_left(&serving) : serve_until_signal(&serving),
                 [&](std::exception_ptr thrown) {
                   failure = std::move(thrown);
                   admin_port.close();
                   operation.close();
                 });
  io.run();
  if (digest_threads) digest_threads->join();
  if (failure) std::rethrow_exception(failure);
  return static_cast<int>(ExitCode::equal);
}

} // namespace

Command add_serve(CLI::App& program) {
  const auto options = std::make_shared<ServeOptions>();
  CLI::App* const command = program.add_subcommand("serve", "Answer syncs of one directory, and show it to browsers");
  command->add_option("--root", options->root, "The directory; nothing outside of it can be read or written")
      ->required()
      ->type_name("DIR");
  command->add_option("--listen", options->listen, address_forms() + "; port 0: a free one; may be repeated")
      ->type_name("ADDRESS");
  CLI::Option* const web =
      command
          ->add_option("--web", options->web_address,
                       "Serve a web page, too, that shows the directory, gets and puts files (127.0.0.1:8080)")
          ->type_name("HOST:PORT")
          ->expected(0, 1);
  command->add_option("--web-directory", options->web_directory, "Give these files to browsers instead of the page")
      ->type_name("DIR")
      ->needs(web);
  command
      ->add_option("--web-origin", options->web_origins,
                   "Let pages of this origin connect, too, as \"https://example.org\"; may be repeated")
      ->type_name("ORIGIN")
      ->needs(web);
  CLI::Option* const certificate =
      command
          ->add_option("--web-certificate", options->web_certificate,
                       "Serve the page over HTTPS: the chain of certificates, in PEM, and its key unless --web-key is given")
          ->type_name("FILE")
          ->needs(web);
  command->add_option("--web-key", options->web_key, "The private key of --web-certificate, in PEM")
      ->type_name("FILE")
      ->needs(certificate);
  command->add_flag("--stdio", options->stdio,
                    "Instead: serve whoever started this, over standard input and output, and end with them");
  command->add_flag("--read-only", options->read_only, "Others may read, not write");
  command->add_option("--grace", options->grace_seconds, "How long syncs may go on after SIGINT or SIGTERM")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0, 86'400));
  command->add_flag("-q,--quiet", options->quiet, "Log only trouble");
  command->add_flag("-v,--verbose", options->verbose, "Log connections and every file, too");
  add_admin_options(*command, options->admin);
  add_log_options(*command, options->log);
  add_identity_options(*command, options->identity, key_of_listening);
  add_policy_option(*command, options->identity);
  add_insecure_option(*command, options->identity);
  Limited limited;
  LimitTable limits;
  limited.add_to(limits);
  add_limit_options(*command, options->limits, limits);
  add_configuration_options(*command, options->configuration);
  command->footer(std::string("Prints the real addresses, as \"listening on tcp://127.0.0.1:41234\". SIGHUP reads --config,\n"
                              "keys, known nodes, policy and certificates again, SIGUSR1 opens the log file again; neither ends a "
                              "sync.\nSIGTERM stops listening at once and lets what runs end.\n\nExample:\n"
                              "  trunkline serve --root /srv/mirror --listen tcp://127.0.0.1:7000\n\n") +
                  exit_codes_text);
  return {command, [options, web] {
            options->web = web->count() > 0;
            return serve(*options);
          }};
}

} // namespace trunkline::cli
