// Protobuf messages over a circuit: the payload is the message, and the op says which.
#include "circuit/typed.hpp"
#include "examples/run.hpp"
#include "examples/weather.pb.h"
#include "peer/node.hpp"

#include <iostream>

using namespace trunkline;

namespace {

constexpr std::int32_t op_reading = 1;
constexpr std::int32_t op_summary = 2;

awaitable<void> summarize(Circuit circuit) {
  weather::Summary summary;
  double celsius_sum = 0;
  double celsius_max = -300;
  while (auto reading = co_await receive_message<weather::Reading>(circuit)) {
    summary.set_readings(summary.readings() + 1);
    celsius_sum += reading->celsius();
    if (reading->celsius() > celsius_max) {
      celsius_max = reading->celsius();
      summary.set_warmest(reading->station());
    }
  }
  summary.set_celsius_mean(celsius_sum / summary.readings());
  co_await send_message(circuit, op_summary, summary);
}

awaitable<void> program(Node& station, Node& office) {
  const std::shared_ptr<LocalPeer> me = station.new_peer("station");
  const std::string there = office.listen("tcp://127.0.0.1:0");

  Circuit circuit = me->join_or_start(there, "summarize", std::nullopt);
  weather::Reading reading;
  for (const auto& [name, celsius] : {std::pair("Bergen", 11.5), std::pair("Lisbon", 24.0), std::pair("Graz", 18.5)}) {
    reading.set_station(name);
    reading.set_celsius(celsius);
    co_await send_message(circuit, op_reading, reading);
  }
  circuit.finish();
  const std::optional<weather::Summary> summary = co_await receive_message<weather::Summary>(circuit);
  std::cout << summary.value().readings() << " readings, mean " << summary.value().celsius_mean() << ", warmest in "
            << summary.value().warmest() << std::endl;

  // What cannot be decoded is an error of this fragment; the error says type, op and size.
  Circuit other = me->join_or_start(there, "summarize", Fragment(op_reading, "\xff\xff not a message"));
  try {
    co_await other.receive();
  } catch (const boost::system::system_error& failure) {
    std::cout << "garbage: " << failure.what() << std::endl;
  }
  co_await station.close();
  co_await office.close();
}

} // namespace

int main() {
  asio::io_context io(1);
  NodeOptions options;
  options.expose_errors = true; // let the text of an exception in a service cross the wire
  Node station(io.get_executor());
  Node office(io.get_executor(), options);
  office.serve("summarize", summarize);
  return run(io, program(station, office));
}
