// The page of the admin port, compiled in from services/admin/page.
#pragma once

#include "transport/web_pages.hpp"

namespace trunkline::admin {

/// Adds its files; made by transport/embed_pages.py.
void add_inspector_pages(WebPages& pages);

} // namespace trunkline::admin
