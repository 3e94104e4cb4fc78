// Certificates of those who vouch for the keys of others.
#pragma once

#include <memory>
#include <string>

struct x509_store_st;

namespace trunkline {

/// From a file in PEM that nobody else may write. Errors: error::unusable_file.
std::shared_ptr<x509_store_st> load_authorities(const std::string& path);

} // namespace trunkline
