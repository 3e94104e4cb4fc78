// Files that are read. All code that reads a file as a stream or as a whole uses this: a std::ifstream would be
// inherited by a program that another thread starts meanwhile.
#pragma once

#include <array>
#include <istream>
#include <streambuf>
#include <string>

namespace trunkline {

/// A file to read; closed on exec from its first moment. Like std::ifstream in binary mode: `fail()` when it could not
/// be opened, `bad()` when it could not be read, and errno says why.
class InputFile : public std::istream {
 public:
  InputFile() : std::istream(nullptr) { rdbuf(&bytes_); }
  explicit InputFile(const std::string& path) : InputFile() { open(path); }

  void open(const std::string& path);

 private:
  class Bytes final : public std::streambuf {
   public:
    Bytes() = default;
    Bytes(const Bytes&) = delete;
    Bytes& operator=(const Bytes&) = delete;
    ~Bytes() override;
    bool open(const std::string& path);

   private:
    int_type underflow() override;

    int fd_ = -1;
    std::array<char, 16384> buffer_;
  };

  Bytes bytes_;
};

/// The content of a file. Errors: std::system_error with the number that the system gave, and the path.
std::string content_of_file(const std::string& path);

} // namespace trunkline
