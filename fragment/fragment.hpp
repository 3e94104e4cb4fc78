// The value that peers exchange. Its public members are sent. Its addressing is sent once, when its circuit opens; a
// fragment only points to it.
#pragma once

#include "fragment/compiler.hpp"
#include "fragment/ids.hpp"
#include "fragment/payload.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline {

/// The names of a peer. They do not change during its life.
struct PeerName {
  PeerId id;
  std::string service;
  /// The URL of the peer as its own node prints it, without a circuit.
  std::string url;
};

/// The names of a circuit, as one of its two sides sees them. They do not change during its life.
struct CircuitNames {
  std::shared_ptr<const PeerName> local;
  std::shared_ptr<const PeerName> remote;
  CircuitId circuit_id = 0;
  std::string name;        // given by the opener
  std::string user_string; // given by the opener; the library does not read it
};

/// A small map of strings, in the order of insertion, which the wire keeps. Keys that begin with '#' belong to the
/// library. Lookup is linear.
class Args {
 public:
  using Item = std::pair<std::string_view, std::string_view>;
  /// A fragment with more is refused by `send`, and breaks the trunk on which it is received.
  static constexpr std::size_t items_max = 128;

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Item;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = Item;

    Iterator() = default;
    explicit Iterator(const char* at) : at_(at) {}
    Item operator*() const noexcept;
    Iterator& operator++() noexcept;
    Iterator operator++(int) noexcept;
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const char* at_ = nullptr;
  };

  Args() = default;
  Args(Args&&) noexcept = default;
  Args& operator=(Args&&) noexcept = default;
  Args(const Args& other) : packed_(other.packed_ ? std::make_unique<Packed>(*other.packed_) : nullptr) {}
  Args& operator=(const Args& other) { return *this = Args(other); }

  /// Sets a user key. Errors: std::invalid_argument for a key that begins with '#' or is empty.
  void set(std::string_view key, std::string_view value);
  /// Sets '#' + key, for the library and the protocols built into it.
  void set_system(std::string_view key, std::string_view value);
  /// The value of a key, if it is set. A system key is given with its '#'. The view is valid until the args change.
  std::optional<std::string_view> find(std::string_view key) const noexcept;
  bool empty() const noexcept { return packed_ == nullptr; }
  std::size_t size() const noexcept { return packed_ ? packed_->count : 0; }
  Iterator begin() const noexcept { return packed_ ? Iterator(packed_->bytes.data()) : Iterator(); }
  Iterator end() const noexcept {
    return packed_ ? Iterator(packed_->bytes.data() + packed_->bytes.size()) : Iterator();
  }
  void clear() noexcept { packed_.reset(); }
  friend bool operator==(const Args& one, const Args& other) noexcept {
    return one.packed_ && other.packed_ ? one.packed_->bytes == other.packed_->bytes : one.packed_ == other.packed_;
  }

  /// Appends without checking the key, for decoders: a received key may be empty, a system key, or there twice.
  void append(std::string_view key, std::string_view value);

 private:
  void put(std::string_view key, std::string_view value);

  // Each item is two sizes of 32 bits, the key and the value: received args then occupy about what they were charged.
  struct Packed {
    std::string bytes;
    std::size_t count = 0;
  };
  std::unique_ptr<Packed> packed_; // null when empty: most fragments have none, and are moved often
};

/// An error is a fragment whose `err` is not empty.
enum class FragmentType : std::uint8_t { data, error };

/// One message on a circuit. A new member also goes into `clear`, the codec (circuit/native), proto/ and docs/wire.md:
/// see docs/adding.md.
class Fragment {
 public:
  Fragment() = default;
  explicit Fragment(std::int32_t operation) : op(operation) {}
  Fragment(std::int32_t operation, Payload bytes) : op(operation), payload(std::move(bytes)) {}
  Fragment(std::int32_t operation, std::string about, Payload bytes)
      : op(operation), subject(std::move(about)), payload(std::move(bytes)) {}
  /// Makes a fragment that arrives on the far side's `errors` queue; the circuit stays open. With an empty text it is
  /// an ordinary fragment.
  static Fragment error(std::string text, std::int32_t operation = 0);

  std::int32_t op = 0; // the user's opcode
  std::int64_t part = 0; // the user's number: a position, a sequence, a correlation
  std::string subject;
  Args args;
  Payload payload;
  std::string err; // not empty: delivered on `errors`

  /// Resets every member to its default; cheap for a fragment that was moved from.
  void clear() noexcept {
    op = 0;
    part = 0;
    subject.clear();
    args.clear();
    payload = Payload();
    err.clear();
    names_.reset();
    serial_ = 0;
    deadline_ = TimePoint();
  }

  FragmentType type() const noexcept { return err.empty() ? FragmentType::data : FragmentType::error; }

  /// When the caller gives up waiting for the reply to this fragment; none when it waits for ever. What a far side
  /// said arrives as the time that was left when it was written.
  std::optional<std::chrono::steady_clock::time_point> deadline() const noexcept {
    if (deadline_ == TimePoint() || cancels()) return std::nullopt;
    return deadline_;
  }
  void set_deadline(std::chrono::steady_clock::time_point deadline) noexcept { deadline_ = deadline; }

  // For the library: a word about a call, which `receive` does not show.
  /// Makes the word that the call of this part was given up.
  static Fragment cancelling(std::int64_t part);
  bool cancels() const noexcept { return deadline_ == TimePoint::min(); }
  bool says_deadline() const noexcept { return deadline_ != TimePoint(); }

  /// The number of this fragment among those received on its circuit, from 1; 0 for one that was not received.
  std::uint64_t serial() const noexcept { return serial_; }
  // The addressing of a received fragment; empty for one that was not received.
  PeerId from_peer_id() const noexcept { return names_ ? names_->remote->id : PeerId(); }
  PeerId to_peer_id() const noexcept { return names_ ? names_->local->id : PeerId(); }
  std::string_view from_service() const noexcept { return names_ ? names_->remote->service : std::string_view(); }
  std::string_view to_service() const noexcept { return names_ ? names_->local->service : std::string_view(); }
  CircuitId circuit_id() const noexcept { return names_ ? names_->circuit_id : 0; }

  /// Sets the addressing and the serial; called by the trunk when it delivers the fragment.
  void stamp(std::shared_ptr<const CircuitNames> names, std::uint64_t serial) noexcept {
    names_ = std::move(names);
    serial_ = serial;
  }

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  std::shared_ptr<const CircuitNames> names_;
  std::uint64_t serial_ = 0;
  TimePoint deadline_{}; // the epoch: none; the least: it cancels
};

} // namespace trunkline
