// Sends one large file, and shows how much of it the far side has stored. Neither side holds more than a window of it.
//
//   upload receive tcp://127.0.0.1:7000 DIRECTORY
//   upload send tcp://127.0.0.1:7000 FILE
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <vector>

using namespace trunkline;
namespace fs = std::filesystem;

namespace {

constexpr std::int32_t op_file = 1, op_bytes = 2, op_stored = 3;
constexpr std::size_t chunk_bytes = 64 * 1024;
constexpr std::int64_t report_bytes = 1024 * 1024;

awaitable<void> store(fs::path directory, Circuit circuit) {
  const std::optional<Fragment> file = co_await circuit.receive(); // name and size: they came with the opening
  const fs::path name = file.value().subject;
  if (name.empty() || name != name.filename() || name == "." || name == "..") {
    circuit.close(End(error::access_denied, "\"" + name.string() + "\" is not the name of a file"));
    co_return;
  }
  const fs::path temporary = directory / (name.string() + ".part");
  std::ofstream out(temporary, std::ios::binary);
  std::int64_t stored = 0, reported = 0;
  while (auto bytes = co_await circuit.receive()) { // taking a chunk is what lets the sender send another one
    out << bytes->payload.text();
    stored += std::ssize(bytes->payload.text());
    if (stored - reported < report_bytes) continue;
    Fragment progress(op_stored);
    progress.part = reported = stored;
    circuit.send_one_way(progress); // never waits: without credit it is left out, and the next one says more
  }
  out.close();
  if (!out || stored != file->part) throw std::runtime_error("cannot store " + temporary.string());
  fs::rename(temporary, directory / name); // the name exists when all of the file does
  Fragment all(op_stored);
  all.part = stored;
  co_await circuit.send(std::move(all));
}

awaitable<void> push(Circuit& circuit, fs::path path) {
  std::ifstream file(path, std::ios::binary);
  std::string chunk(chunk_bytes, '\0');
  while (file.read(chunk.data(), std::ssize(chunk)) || file.gcount() > 0) {
    const std::string_view bytes(chunk.data(), static_cast<std::size_t>(file.gcount()));
    co_await circuit.send(Fragment(op_bytes, bytes)); // waits when the far side is a window behind
  }
  circuit.finish(); // without it, the end of this circuit would be a reset, and the file not whole
}

awaitable<void> watch(Circuit& circuit, std::int64_t size) {
  std::int64_t stored = 0;
  while (auto progress = co_await circuit.receive()) {
    stored = progress->part;
    std::cout << stored * 100 / std::max<std::int64_t>(size, 1) << " % stored" << std::endl;
  }
  if (stored != size) throw std::runtime_error("the far side has stored " + std::to_string(stored) + " bytes");
}

awaitable<void> upload(Node& node, std::string address, fs::path path) {
  using namespace asio::experimental::awaitable_operators;
  Fragment file(op_file, path.filename().string(), {});
  file.part = static_cast<std::int64_t>(fs::file_size(path));
  const std::int64_t size = file.part;
  Circuit circuit = node.new_peer("uploader")->join_or_start(address, "store", std::move(file));
  co_await (push(circuit, path) && watch(circuit, size)); // both at once: reports come while chunks go
  std::cout << size << " bytes stored" << std::endl;
  co_await node.close();
}

} // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() != 3 || (arguments[0] != "send" && arguments[0] != "receive")) {
    std::cerr << "upload receive ADDRESS DIRECTORY\nupload send ADDRESS FILE\n";
    return 2;
  }
  asio::io_context io(1);
  Node node(io.get_executor());
  if (arguments[0] == "send") return run(io, upload(node, arguments[1], arguments[2]));
  const fs::path directory = arguments[2];
  node.serve("store", [directory](Circuit circuit) { return store(directory, std::move(circuit)); });
  std::cout << "listening on " << node.listen(arguments[1]) << std::endl;
  io.run();
}
