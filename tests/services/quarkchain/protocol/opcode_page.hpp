// docs/quarkchain-opcodes.md, made from the table of opcodes.
#pragma once

#include <string>

namespace trunkline::test {

std::string opcode_page();

} // namespace trunkline::test
