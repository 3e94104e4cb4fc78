// Copies files to another machine, one circuit per file. No file waits for another, and none for a round trip: the
// sender waits for credit only, and at the end for the receipts.
//
//   file_push receive tcp://127.0.0.1:7000 DIRECTORY
//   file_push send tcp://127.0.0.1:7000 FILE...
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <vector>

using namespace trunkline;
namespace fs = std::filesystem;

namespace {

constexpr std::int32_t op_put = 1, op_bytes = 2, op_stored = 3; // what they mean is this service's own business

awaitable<void> store_one(Circuit circuit, fs::path directory) {
  const std::optional<Fragment> put = co_await circuit.receive();
  if (!put) co_return;
  const fs::path name = put->subject;
  if (name.empty() || name != name.filename() || name == "." || name == "..") {
    circuit.close(End(error::access_denied, "\"" + put->subject + "\" is not the name of a file"));
    co_return;
  }
  const fs::path temporary = directory / (name.string() + ".part");
  std::ofstream file(temporary, std::ios::binary);
  Fragment stored(op_stored);
  // The loop's end is a promise that everything is here: a sender that dies in the middle ends it by an exception.
  while (auto fragment = co_await circuit.receive()) {
    file << fragment->payload.text();
    stored.part += std::ssize(fragment->payload.text());
  }
  file.close();
  fs::rename(temporary, directory / name);
  co_await circuit.send(std::move(stored));
}

// The long form of a service: one call is the whole life of one peer, which here runs a task for each circuit.
awaitable<void> store(LocalPeer& peer, CircuitInbox& circuits, fs::path directory) {
  while (auto circuit = co_await circuits.next()) // nullopt: this peer is ending
    peer.spawn(store_one, std::move(*circuit), directory);
}

awaitable<void> send_one(Circuit& circuit, fs::path path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  std::string chunk(64 * 1024, '\0');
  while (file.read(chunk.data(), std::ssize(chunk)) || file.gcount() > 0) {
    const std::string_view bytes(chunk.data(), static_cast<std::size_t>(file.gcount()));
    co_await circuit.send(Fragment(op_bytes, bytes));
  }
  circuit.finish(); // everything above arrives first; dropping the circuit without it would be a reset
}

awaitable<void> send_all(Node& node, std::string address, std::vector<fs::path> files) {
  const std::shared_ptr<LocalPeer> me = node.new_peer("sender");
  std::vector<Circuit> circuits;
  for (const fs::path& path : files) {
    circuits.push_back(me->join_or_start(address, "store", Fragment(op_put, path.filename().string(), {})));
    co_await send_one(circuits.back(), path);
  }
  for (Circuit& circuit : circuits) {
    const std::optional<Fragment> stored = co_await circuit.receive(); // throws the reason when there is no receipt
    std::cout << stored.value().part << " bytes stored on circuit " << circuit.id() << "\n";
  }
  co_await node.close();
}

} // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  asio::io_context io(1);
  Node node(io.get_executor());
  if (arguments.size() > 2 && arguments[0] == "send")
    return run(io, send_all(node, arguments[1], {arguments.begin() + 2, arguments.end()}));
  if (arguments.size() != 3 || arguments[0] != "receive") {
    std::cerr << "file_push receive ADDRESS DIRECTORY\nfile_push send ADDRESS FILE...\n";
    return 2;
  }
  const fs::path directory = arguments[2];
  // The lambda is no coroutine: it hands its capture to one by value.
  node.register_service("store", [directory](LocalPeer& peer, CircuitInbox& in) { return store(peer, in, directory); });
  std::cout << "listening on " << node.listen(arguments[1]) << std::endl;
  io.run();
}
