// Failures of the kernel, as plain data that may cross threads.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace omni {

/** What a failed call leaves behind; becomes the `NativeError` of index.d.ts. */
struct Failure {
  /** Positive errno, or one of libbpf's own codes (>= 4000). */
  int error = 0;
  std::string syscall;
  std::string object;
  /** Verifier's log or extended ack. */
  std::string log;
  /** Replaces strerror's text in the message, where we know more. */
  std::string detail;
};

class NativeError : public std::exception {
 public:
  explicit NativeError(Failure failure);

  const Failure& failure() const { return failure_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  Failure failure_;
  std::string message_;
};

/** `EPERM` for 1; libbpf's codes as `LIBBPF_FORMAT`, …; `E<number>` for what nobody named. */
std::string ErrorName(int error);

/** Throws with the current errno. */
[[noreturn]] void ThrowErrno(std::string_view syscall, std::string_view object);
[[noreturn]] void ThrowError(int error, std::string_view syscall, std::string_view object);

}  // namespace omni
