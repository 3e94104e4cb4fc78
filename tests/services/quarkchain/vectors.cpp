#include "tests/services/quarkchain/vectors.hpp"

#include "services/quarkchain/chain/bytes.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>

namespace trunkline::test {

using quarkchain::Json;

const Json& vectors(const char* name) {
  static std::map<std::string, Json> loaded;
  const auto known = loaded.find(name);
  if (known != loaded.end()) return known->second;
  std::ifstream file(std::string(QUARKCHAIN_VECTORS) + "/" + name, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (text.empty()) throw std::runtime_error(std::string("no vectors ") + QUARKCHAIN_VECTORS + "/" + name);
  return loaded.emplace(name, Json::parse(text)).first->second;
}

const Json& at(const Json& object, std::string_view name) {
  const Json* found = object.find(name);
  if (!found) throw std::runtime_error("vector without " + std::string(name));
  return *found;
}

const std::string& text_at(const Json& object, std::string_view name) {
  const Json& text = at(object, name);
  if (text.kind != Json::Kind::text) throw std::runtime_error(std::string(name) + " is " + text.describe());
  return text.text;
}

std::uint64_t number_at(const Json& object, std::string_view name) { return std::stoull(at(object, name).text); }

std::vector<std::byte> bytes_of_hex(std::string_view hex) {
  const auto bytes = quarkchain::from_hex(hex);
  if (!bytes) throw std::runtime_error("not hexadecimal: " + std::string(hex));
  const auto span = quarkchain::bytes_of(*bytes);
  return {span.begin(), span.end()};
}

std::vector<std::byte> bytes_at(const Json& object, std::string_view name) {
  return bytes_of_hex(text_at(object, name));
}

bool same(const Json& a, const Json& b) {
  return a.kind == b.kind && a.boolean == b.boolean && a.text == b.text &&
         std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), same) &&
         std::equal(a.members.begin(), a.members.end(), b.members.begin(), b.members.end(),
                    [](const auto& x, const auto& y) { return x.name == y.name && same(x.value, y.value); });
}

const std::vector<Sample>& samples() {
  static const std::vector<Sample> all = [] {
    std::vector<Sample> found;
    for (const char* file : {"structs.json", "cluster_messages.json", "p2p_messages.json"})
      for (const Json& vector : at(vectors(file), "vectors").items)
        found.push_back({text_at(vector, "type"), bytes_at(vector, "hex")});
    return found;
  }();
  return all;
}

} // namespace trunkline::test
