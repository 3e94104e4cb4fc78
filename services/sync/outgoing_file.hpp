// A file that is being read: what it looked like when it was opened, its data without the holes, and whether anybody
// wrote to it meanwhile.
#pragma once

#include "services/sync/root.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace trunkline::sync {

/// One reading of one file from beginning to end. Errors: FileError.
class OutgoingFile {
 public:
  OutgoingFile(std::shared_ptr<Directory> directory, std::string name);

  const Status& status() const noexcept { return status_; }
  /// Where the next `read` begins; holes lie before it.
  std::uint64_t offset() const noexcept { return offset_; }
  /// How much the next `read` wants to read at most; 0 at the end.
  std::size_t next_bytes(std::size_t bytes_max);
  /// The same, holes read as the zeros that they stand for.
  std::size_t next_bytes_with_holes(std::size_t bytes_max) const noexcept;
  /// Reads as much as fits, fewer only when the file has become shorter.
  std::size_t read(std::span<std::byte> into);
  /// The file is as it was when it was opened, as far as its size and times tell.
  bool unchanged() const;

 private:
  void find_data();

  std::shared_ptr<Directory> directory_;
  std::string name_;
  Status status_;
  Fd fd_;
  bool sparse_ = false;
  std::uint64_t offset_ = 0;
  std::uint64_t data_end_ = 0; // of the run of data that holds offset_
};

} // namespace trunkline::sync
