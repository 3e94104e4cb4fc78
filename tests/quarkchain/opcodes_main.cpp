// Prints docs/quarkchain-opcodes.md.
#include "tests/quarkchain/opcode_page.hpp"

#include <cstdio>

int main() { return std::fputs(trunkline::test::opcode_page().c_str(), stdout) < 0; }
