#include "services/quarkchain/chain/number.hpp"

#include "services/quarkchain/chain/big_endian.hpp"

#include <boost/multiprecision/cpp_int.hpp>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <vector>

namespace trunkline::quarkchain {
namespace {

using boost::multiprecision::cpp_int;

/// Digits of 2^2048, the largest number that is ever read.
constexpr std::size_t digits_max = 617;

std::span<const std::byte> without_zeros(std::span<const std::byte> bytes) noexcept {
  const auto first = std::find_if(bytes.begin(), bytes.end(), [](std::byte byte) { return byte != std::byte{0}; });
  return bytes.subspan(static_cast<std::size_t>(first - bytes.begin()));
}

cpp_int to_cpp_int(std::span<const std::byte> bytes) {
  cpp_int number;
  const auto* first = reinterpret_cast<const unsigned char*>(bytes.data());
  if (!bytes.empty()) import_bits(number, first, first + bytes.size());
  return number;
}

std::vector<std::byte> to_bytes(const cpp_int& number) {
  std::vector<unsigned char> bytes;
  if (number != 0) export_bits(number, std::back_inserter(bytes), 8);
  const auto span = std::as_bytes(std::span(bytes));
  return {span.begin(), span.end()};
}

/// At most digits_max digits after leading zeros.
std::optional<std::vector<std::byte>> bytes_from_decimal(std::string_view digits) {
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty()) return std::vector<std::byte>();
  if (digits.size() > digits_max) return std::nullopt;
  return to_bytes(cpp_int(std::string(digits)));
}

std::string decimal_from_bytes(std::span<const std::byte> bytes) { return to_cpp_int(bytes).str(); }

std::optional<std::uint64_t> u64_from_bytes(std::span<const std::byte> bytes) noexcept {
  bytes = without_zeros(bytes);
  if (bytes.size() > 8) return std::nullopt;
  std::uint64_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | static_cast<std::uint64_t>(byte);
  return value;
}

BigUint big_from(const cpp_int& number) {
  auto big = BigUint::from_bytes(to_bytes(number));
  if (!big) throw std::overflow_error("number of more than " + std::to_string(BigUint::bytes_max) + " bytes");
  return *std::move(big);
}

// Amounts that exist have fewer than 16 bytes: they are added up in two words, and only what is larger needs more.
__extension__ using Small = unsigned __int128;
constexpr std::size_t small_bytes_max = sizeof(Small);

Small small_from(std::string_view bytes) noexcept {
  Small value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

BigUint big_from_small(Small number) {
  std::byte bytes[small_bytes_max];
  put_big(bytes, static_cast<std::uint64_t>(number >> 64));
  put_big(bytes + 8, static_cast<std::uint64_t>(number));
  return *BigUint::from_bytes(bytes);
}

} // namespace

BigUint::BigUint(std::uint64_t value) {
  std::byte bytes[8];
  put_big(bytes, value);
  bytes_ = text_of(without_zeros(bytes));
}

std::optional<BigUint> BigUint::from_bytes(std::span<const std::byte> bytes) {
  bytes = without_zeros(bytes);
  if (bytes.size() > bytes_max) return std::nullopt;
  BigUint value;
  value.bytes_ = text_of(bytes);
  return value;
}

std::optional<BigUint> BigUint::from_decimal(std::string_view digits) {
  const auto bytes = bytes_from_decimal(digits);
  return bytes ? from_bytes(*bytes) : std::nullopt;
}

std::string BigUint::to_decimal() const {
  const auto small = to_u64();
  return small ? std::to_string(*small) : decimal_from_bytes(bytes_of(bytes_));
}

std::optional<std::uint64_t> BigUint::to_u64() const noexcept { return u64_from_bytes(bytes_of(bytes_)); }

BigUint operator+(const BigUint& a, const BigUint& b) {
  if (a.bytes_.size() < small_bytes_max && b.bytes_.size() < small_bytes_max)
    return big_from_small(small_from(a.bytes_) + small_from(b.bytes_));
  return big_from(to_cpp_int(bytes_of(a.bytes_)) + to_cpp_int(bytes_of(b.bytes_)));
}

BigUint operator-(const BigUint& a, const BigUint& b) {
  if (a < b) throw std::overflow_error(a.to_decimal() + " - " + b.to_decimal() + " is below 0");
  if (a.bytes_.size() <= small_bytes_max) return big_from_small(small_from(a.bytes_) - small_from(b.bytes_));
  return big_from(to_cpp_int(bytes_of(a.bytes_)) - to_cpp_int(bytes_of(b.bytes_)));
}

BigUint operator*(const BigUint& a, const BigUint& b) {
  if (a.bytes_.size() + b.bytes_.size() <= small_bytes_max)
    return big_from_small(small_from(a.bytes_) * small_from(b.bytes_));
  return big_from(to_cpp_int(bytes_of(a.bytes_)) * to_cpp_int(bytes_of(b.bytes_)));
}

BigUint operator/(const BigUint& a, const BigUint& b) {
  if (b.is_zero()) throw std::domain_error(a.to_decimal() + " / 0");
  if (a.bytes_.size() <= small_bytes_max && b.bytes_.size() <= small_bytes_max)
    return big_from_small(small_from(a.bytes_) / small_from(b.bytes_));
  return big_from(to_cpp_int(bytes_of(a.bytes_)) / to_cpp_int(bytes_of(b.bytes_)));
}

BigUint BigUint::scaled(const BigUint& value, std::uint64_t numerator, std::uint64_t denominator) {
  if (denominator == 0) throw std::domain_error("scaled by " + std::to_string(numerator) + " / 0");
  return big_from(to_cpp_int(bytes_of(value.bytes_)) * numerator / denominator);
}

template <std::size_t Size> FixedUint<Size>::FixedUint(std::uint64_t value) noexcept {
  put_big(bytes_.data() + Size - 8, value);
}

template <std::size_t Size> std::optional<FixedUint<Size>> FixedUint<Size>::from_decimal(std::string_view digits) {
  const auto bytes = bytes_from_decimal(digits);
  return bytes ? from_bytes(*bytes) : std::nullopt;
}

template <std::size_t Size>
std::optional<FixedUint<Size>> FixedUint<Size>::from_bytes(std::span<const std::byte> bytes) noexcept {
  bytes = without_zeros(bytes);
  if (bytes.size() > Size) return std::nullopt;
  FixedUint value;
  std::copy(bytes.begin(), bytes.end(), value.bytes_.end() - static_cast<std::ptrdiff_t>(bytes.size()));
  return value;
}

template <std::size_t Size> std::string FixedUint<Size>::to_decimal() const {
  const auto small = to_u64();
  return small ? std::to_string(*small) : decimal_from_bytes(bytes_);
}

template <std::size_t Size> std::optional<std::uint64_t> FixedUint<Size>::to_u64() const noexcept {
  return u64_from_bytes(bytes_);
}

template class FixedUint<16>;
template class FixedUint<32>;
template class FixedUint<256>;

} // namespace trunkline::quarkchain
