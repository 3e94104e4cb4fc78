// trunkline serve: a node that answers syncs of one directory until it is told to end.
#include "async/signal.hpp"
#include "async/within.hpp"
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/identity.hpp"
#include "cli/location.hpp"
#include "cli/logger.hpp"
#include "cli/node.hpp"
#include "cli/signals.hpp"
#include "cli/web/pages.hpp"
#include "fragment/quote.hpp"
#include "services/sync/path.hpp"
#include "services/sync/service.hpp"
#include "services/web/files.hpp"
#include "services/web/status.hpp"
#include "transport/address.hpp"
#include "transport/stdio.hpp"
#include "transport/tls_context.hpp"
#include "transport/web_socket.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <spdlog/spdlog.h>

#include <unistd.h>

#include <chrono>
#include <csignal>
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
  bool quiet = false;
  bool verbose = false;
  int grace_seconds = 10;
};

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
    case LogLevel::info: return spdlog::level::debug; // trunks come and go; what a person asked for is the syncs
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

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

/// Whether this process had a terminal, and has it no more: then SIGHUP is a request to end.
class Terminal {
 public:
  bool is_gone() const noexcept { return had_ && !is_there(); }

 private:
  static bool is_there() noexcept {
    for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
      if (::isatty(number)) return true;
    return false;
  }
  bool had_ = is_there();
};

/// What SIGHUP reads again.
struct Reloading {
  bool reloads() const noexcept { return identity->reloads() || web; }
  void reload(Node& node) {
    if (web) web->reload();
    identity->reload(node);
  }

  NodeIdentity* identity;
  std::shared_ptr<WebTls> web; // null: none
  Terminal terminal;
};

/// Until a signal that asks for the end; SIGHUP asks for the keys to be read again, where there are any.
awaitable<void> until_end_signal(Node* node, asio::signal_set* signals, Logger logger, Reloading* reloading) {
  for (;;) {
    const int number = co_await signals->async_wait(asio::use_awaitable);
    if (number != SIGHUP || !reloading->reloads() || reloading->terminal.is_gone()) co_return;
    try {
      reloading->reload(*node);
      logger->info("read again: keys, known nodes, policy and certificates");
    } catch (const std::exception& failure) {
      logger->error("not read again: {}", text_of(failure));
    }
  }
}

/// Until a signal: then syncs that run may end within the grace, or until the next signal.
awaitable<void> serve_until_signal(Node* node, std::shared_ptr<sync::Service> service, asio::signal_set* signals,
                                   std::chrono::seconds grace, Logger logger, Visitor*, Reloading* reloading) {
  using namespace asio::experimental::awaitable_operators;
  co_await until_end_signal(node, signals, logger, reloading);
  service->refuse_new();
  if (service->running_count() > 0) {
    logger->info("ending; what runs may take {} s more", grace.count());
    co_await (service->drained() || sleep_for(grace) || signals->async_wait(asio::use_awaitable));
  }
  co_await node->drain(std::chrono::milliseconds(200));
  co_await node->close();
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

awaitable<void> serve_until_left(Node* node, std::shared_ptr<sync::Service> service, asio::signal_set* signals,
                                 std::chrono::seconds grace, Logger logger, Visitor* visitor, Reloading* reloading) {
  using namespace asio::experimental::awaitable_operators;
  const auto first =
      co_await (until_left(visitor) || serve_until_signal(node, service, signals, grace, logger, visitor, reloading));
  if (first.index() == 0) co_await node->close();
}

/// The medium of --web, and what it listens on.
struct WebPort {
  std::shared_ptr<Medium> medium;
  std::string address;
  std::shared_ptr<WebTls> tls; // null: none
};

/// With a certificate it is one of HTTPS, to which nodes that know this node's key come as well.
WebPort make_web_port(const ServeOptions& options, const NodeIdentity& identity, const Logger& logger) {
  constexpr std::string_view usual_address = "127.0.0.1:8080";
  auto pages = std::make_shared<WebPages>();
  if (options.web_directory.empty()) add_built_in_pages(*pages);
  else pages->add_directory(options.web_directory);
  WebSocketOptions settings;
  settings.pages = std::move(pages);
  settings.origins = options.web_origins;
  settings.on_refused = [logger](const std::string& remote, const std::string& why) {
    logger->warn("{} was refused: {}", remote, why);
  };
  WebPort port;
  if (options.web_certificate.empty()) {
    port.medium = make_web_socket_medium(std::move(settings));
  } else {
    WebTlsOptions files;
    files.certificate_file = options.web_certificate;
    files.key_file = options.web_key;
    port.tls = std::make_shared<WebTls>(std::move(files));
    port.medium = make_web_socket_tls_medium(identity.identity(), std::move(settings), port.tls);
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

int serve(const ServeOptions& options) {
  if (options.stdio && !options.listen.empty()) throw UsageError("--stdio and --listen exclude each other");
  if (options.stdio && options.web) throw UsageError("--stdio and --web exclude each other");
  if (!options.stdio && options.listen.empty() && !options.web)
    throw UsageError("--listen ADDRESS, --web or --stdio is needed");
  for (const std::string& address : options.listen) check_listen_address(address, options.identity.insecure);
  raise_files_limit();
  // Whoever started it over ssh sees its log between the lines of the other side.
  const bool is_quiet = options.quiet || (options.stdio && !options.verbose);
  const Logger logger = make_logger(is_quiet          ? LogLevel::warning
                                    : options.verbose ? LogLevel::debug
                                                      : LogLevel::info);
  const auto root = sync::Root::open(options.root);

  NodeIdentity identity(options.identity, key_of_listening, options.listen,
                        [logger](const std::string& line) { logger->warn("{}", line); });
  WebPort port;
  if (options.web) port = make_web_port(options, identity, logger);
  Reloading reloading{&identity, port.tls, Terminal()};

  asio::io_context io(1);
  const auto digest_threads = sync::DigestThreads::of_this_machine();
  NodeOptions node_settings = node_options(node_name);
  identity.apply(node_settings);
  node_settings.log = [logger](LogLevel level, std::string_view line) { logger->log(level_of(level), line); };
  const auto stdio = std::make_shared<StdioMedium>();
  Visitor visitor;
  if (options.stdio) {
    node_settings.media.emplace(stdio->scheme(), stdio);
    node_settings.on_link = [&visitor](LinkChange change, const LinkInfo&) { visitor.note(change); };
  }
  if (options.web) node_settings.media.emplace(port.medium->scheme(), port.medium);
  Node node(io.get_executor(), std::move(node_settings));
  sync::ServiceOptions settings;
  settings.root = root;
  settings.read_only = options.read_only;
  settings.tuning = sync_tuning();
  settings.digest_threads = digest_threads;
  settings.log = [logger](const std::string& line) { logger->info("{}", line); };
  settings.on_note = [logger](const sync::Note& note) { log_note(logger, note); };
  const auto service = sync::Service::register_at(node, std::move(settings));

  if (options.web) {
    web::FilesOptions files;
    files.root = root;
    files.read_only = options.read_only;
    files.log = [logger](const std::string& line) { logger->info("{}", line); };
    web::serve_files(node, std::move(files));
    web::StatusOptions status;
    status.name = node_name;
    web::serve_status(node, std::move(status));
  }

  asio::signal_set signals(io);
  add_end_signals(signals);
  for (const std::string& address : options.listen) std::printf("listening on %s\n", node.listen(address).c_str());
  if (options.web) print_page(node.listen(port.address), port.tls != nullptr);
  std::fflush(stdout);
  std::exception_ptr failure;
  if (options.stdio) node.listen(StdioMedium::own_address());
  const auto serving = options.stdio ? serve_until_left : serve_until_signal;
  asio::co_spawn(io, serving(&node, service, &signals, std::chrono::seconds(options.grace_seconds), logger, &visitor, &reloading),
                 [&](std::exception_ptr thrown) {
                   failure = std::move(thrown);
                   signals.cancel();
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
  command->add_option("--grace", options->grace_seconds, "How long syncs may go on after SIGINT, SIGTERM or SIGHUP")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0, 86'400));
  command->add_flag("-q,--quiet", options->quiet, "Log only trouble");
  command->add_flag("-v,--verbose", options->verbose, "Log connections and every file, too");
  add_identity_options(*command, options->identity, key_of_listening);
  add_policy_option(*command, options->identity);
  add_insecure_option(*command, options->identity);
  command->footer(std::string("Prints the real addresses, as \"listening on tcp://127.0.0.1:41234\". With a key, a policy or a\n"
                              "certificate, SIGHUP reads them again; otherwise it ends the program.\n\nExample:\n"
                              "  trunkline serve --root /srv/mirror --listen tcp://127.0.0.1:7000\n\n") +
                  exit_codes_text);
  return {command, [options, web] {
            options->web = web->count() > 0;
            return serve(*options);
          }};
}

} // namespace trunkline::cli
