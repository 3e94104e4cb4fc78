#include "services/sync/budgets.hpp"

#include <string>

namespace trunkline::sync {

void ListingShare::add(std::size_t bytes) {
  if (!share_.add(bytes))
    throw Failure(Failure::Kind::denied, "the listings here would take more than " +
                                             std::to_string(share_.budget().amount_max()) +
                                             " bytes together, which is listing_bytes_max");
}

} // namespace trunkline::sync
