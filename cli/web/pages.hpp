// The page of `trunkline serve --web`, compiled in from cli/web/page and cli/web/static.
#pragma once

#include "transport/web_pages.hpp"

namespace trunkline::cli {

/// Adds its files; made by transport/embed_pages.py.
void add_built_in_pages(WebPages& pages);

} // namespace trunkline::cli
