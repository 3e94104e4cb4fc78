#include "circuit/circuit_ended.hpp"

#include <boost/asio/multiple_exceptions.hpp>

namespace trunkline {

std::shared_ptr<const CircuitEnded> circuit_end_of(const std::exception_ptr& thrown) {
  if (!thrown) return nullptr;
  try {
    std::rethrow_exception(thrown);
  } catch (const CircuitEnded& ended) {
    return std::make_shared<const CircuitEnded>(ended);
  } catch (const boost::asio::multiple_exceptions& several) {
    return circuit_end_of(several.first_exception());
  } catch (...) {
    return nullptr;
  }
}

bool is_circuit_end(const std::exception& thrown) {
  if (dynamic_cast<const CircuitEnded*>(&thrown)) return true;
  const auto* const several = dynamic_cast<const boost::asio::multiple_exceptions*>(&thrown);
  return several && circuit_end_of(several->first_exception()) != nullptr;
}

} // namespace trunkline
