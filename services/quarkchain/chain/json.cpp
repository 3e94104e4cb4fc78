#include "services/quarkchain/chain/json.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>

#include "fragment/utf8.hpp"

#include <fmt/format.h>

#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t described_max = 40;

/// What Boost's parser says, as a tree.
class TreeBuilder {
 public:
  static constexpr std::size_t max_object_size = ~std::size_t{0};
  static constexpr std::size_t max_array_size = ~std::size_t{0};
  static constexpr std::size_t max_key_size = ~std::size_t{0};
  static constexpr std::size_t max_string_size = ~std::size_t{0};
  using Code = boost::json::error_code;
  using View = boost::json::string_view;

  Json take() { return std::move(root_); }

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) { return begin(Json::Kind::object); }
  bool on_object_end(std::size_t, Code&) { return end(); }
  bool on_array_begin(Code&) { return begin(Json::Kind::list); }
  bool on_array_end(std::size_t, Code&) { return end(); }
  bool on_key_part(View part, std::size_t, Code&) { return gather(part); }
  bool on_key(View part, std::size_t, Code&) {
    gather(part);
    name_ = std::exchange(gathered_, {});
    return true;
  }
  bool on_string_part(View part, std::size_t, Code&) { return gather(part); }
  bool on_string(View part, std::size_t, Code&) { return gathered(Json::Kind::text, part); }
  bool on_number_part(View part, Code&) { return gather(part); }
  bool on_int64(std::int64_t, View part, Code&) { return gathered(Json::Kind::number, part); }
  bool on_uint64(std::uint64_t, View part, Code&) { return gathered(Json::Kind::number, part); }
  bool on_double(double, View part, Code&) { return gathered(Json::Kind::number, part); }
  bool on_bool(bool value, Code&) {
    Json json;
    json.kind = Json::Kind::boolean;
    json.boolean = value;
    add(std::move(json));
    return true;
  }
  bool on_null(Code&) {
    add(Json());
    return true;
  }
  bool on_comment_part(View, Code&) { return true; }
  bool on_comment(View, Code&) { return true; }

 private:
  bool gather(View part) {
    gathered_.append(part.data(), part.size());
    return true;
  }
  bool gathered(Json::Kind kind, View part) {
    gather(part);
    Json json;
    json.kind = kind;
    json.text = std::exchange(gathered_, {});
    add(std::move(json));
    return true;
  }
  bool begin(Json::Kind kind) {
    Json json;
    json.kind = kind;
    open_.push_back(add(std::move(json)));
    return true;
  }
  bool end() {
    open_.pop_back();
    return true;
  }
  Json* add(Json&& json) {
    // A container does not grow while one of its own elements is open, so what open_ points to stays in its place.
    if (open_.empty()) return &(root_ = std::move(json));
    Json& into = *open_.back();
    if (into.kind == Json::Kind::list) return &into.items.emplace_back(std::move(json));
    return &into.members.emplace_back(std::move(name_), std::move(json)).value;
  }

  Json root_;
  std::vector<Json*> open_;
  std::string name_;
  std::string gathered_;
};

std::string shortened(const std::string& text) {
  if (text.size() <= described_max) return text;
  return std::string(utf8_prefix(text, described_max)) + "...";
}

} // namespace

Json Json::parse(std::string_view text) {
  boost::json::parse_options options;
  options.max_depth = depth_max;
  boost::json::basic_parser<TreeBuilder> parser(options);
  boost::json::error_code error;
  const std::size_t consumed = parser.write_some(false, text.data(), text.size(), error);
  std::size_t rest = consumed;
  while (!error && rest < text.size() && std::string_view(" \t\r\n").find(text[rest]) != std::string_view::npos) ++rest;
  if (!error && rest < text.size()) error = boost::json::error::extra_data;
  if (error) throw JsonError(fmt::format("JSON at byte {}: {}", rest, error.message()));
  return parser.handler().take();
}

const Json* Json::find(std::string_view name) const noexcept {
  for (auto member = members.rbegin(); member != members.rend(); ++member)
    if (member->name == name) return &member->value;
  return nullptr;
}

std::string Json::describe() const {
  switch (kind) {
    case Kind::null: return "null";
    case Kind::boolean: return boolean ? "true" : "false";
    case Kind::number: return "the number " + shortened(text);
    case Kind::text: return "the text \"" + shortened(text) + "\"";
    case Kind::list: return "a list of " + std::to_string(items.size());
    case Kind::object: return "an object";
  }
  return "nothing";
}

} // namespace trunkline::quarkchain
