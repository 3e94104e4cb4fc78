// Prints docs/quarkchain-opcodes.md.
#include "tests/services/quarkchain/protocol/opcode_page.hpp"

#include <cstdio>

int main() { return std::fputs(trunkline::test::opcode_page().c_str(), stdout) < 0; }
