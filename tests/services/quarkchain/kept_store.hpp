// A store that outlives what is opened on it, as a disk outlives the process.
#pragma once

#include "services/quarkchain/store/store.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline::quarkchain::test {

class KeptStore final : public Store {
 public:
  explicit KeptStore(std::shared_ptr<Store> on) : on_(std::move(on)) {}
  std::optional<std::string> get(std::string_view key) const override { return on_->get(key); }
  void write(const StoreBatch& batch) override { on_->write(batch); }
  void scan(std::string_view prefix, std::string_view from,
            const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    on_->scan(prefix, from, visit);
  }

 private:
  std::shared_ptr<Store> on_;
};

} // namespace trunkline::quarkchain::test
