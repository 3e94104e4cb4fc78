#include "async/abi.hpp"

namespace trunkline::abi {

const char TRUNKLINE_ABI_BOOST(BOOST_VERSION) = 0;
const char TRUNKLINE_ABI_DEPRECATED = 0;
const char TRUNKLINE_ABI_TS_EXECUTORS = 0;
const char TRUNKLINE_ABI_FRAMES = 0;
const char TRUNKLINE_ABI_BLOCKS = 0;
const char TRUNKLINE_ABI_TRACKING = 0;
const char TRUNKLINE_ABI_THREADS = 0;
const char TRUNKLINE_ABI_REACTOR = 0;

} // namespace trunkline::abi
