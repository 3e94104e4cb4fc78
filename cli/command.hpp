// What the subcommands of the program `trunkline` share: how they are added, and what they exit with.
#pragma once

#include <CLI/CLI.hpp>

namespace trunkline::cli {

/// Exit codes, with the numbers of rsync where rsync has one.
enum Exit : int {
  exit_ok = 0,          // everything is equal, or the server was stopped
  exit_usage = 1,       // the command line is wrong
  exit_socket = 10,     // no connection, or it broke
  exit_file = 11,       // a directory or file of the command line cannot be used
  exit_protocol = 12,   // the far side refused, or spoke something else
  exit_interrupted = 20,
  exit_partial = 23,    // some files could not be synced; the others are equal
  exit_timeout = 30,
};

/// Each adds its subcommand; the callback sets `exit_code` and throws nothing.
void add_serve(CLI::App& app, int& exit_code);
void add_sync(CLI::App& app, int& exit_code);

/// One line on standard error: `trunkline: TEXT`.
void say_error(const std::string& text);

/// The exit code for an exception that ended a command, whose text goes to standard error as one line.
int exit_for(std::exception_ptr failure);

} // namespace trunkline::cli
