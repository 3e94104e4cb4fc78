// XXH3 by the widest vectors that the processor has, where the package can choose them as it runs. The digests are the same.
#pragma once

#include <xxhash.h>

#ifdef TRUNKLINE_XXH3_DISPATCH
#include <xxh_x86dispatch.h>
#endif
