// Warns in a build with a compiler that miscompiles coroutines. Every public header that declares or expects coroutines
// includes it: the compiler itself gives no diagnostic, and a miscompiled program may simply do nothing.
#pragma once

#if defined(__GNUC__) && !defined(__clang__) && !defined(TRUNKLINE_GCC12_ACKNOWLEDGED)
#if __GNUC__ < 12 || (__GNUC__ == 12 && __GNUC_MINOR__ < 3)
#warning \
    "g++ before 12.3 miscompiles common coroutine code without a diagnostic: read docs/hazards/gcc12-coroutines.md, build with clang, or define TRUNKLINE_GCC12_ACKNOWLEDGED"
#endif
#endif
