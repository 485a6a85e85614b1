#include "error.h"

#include <bpf/libbpf.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace omni {
namespace {

// Used by the kernel inside but never given an E-name for user space (include/linux/errno.h).
constexpr int kKernelNotSupported = 524;

struct LibbpfCode {
  int error;
  const char* name;
};

constexpr std::array<LibbpfCode, 14> kLibbpfCodes = {{
    {LIBBPF_ERRNO__LIBELF, "LIBBPF_LIBELF"},
    {LIBBPF_ERRNO__FORMAT, "LIBBPF_FORMAT"},
    {LIBBPF_ERRNO__KVERSION, "LIBBPF_KVERSION"},
    {LIBBPF_ERRNO__ENDIAN, "LIBBPF_ENDIAN"},
    {LIBBPF_ERRNO__INTERNAL, "LIBBPF_INTERNAL"},
    {LIBBPF_ERRNO__RELOC, "LIBBPF_RELOC"},
    {LIBBPF_ERRNO__LOAD, "LIBBPF_LOAD"},
    {LIBBPF_ERRNO__VERIFY, "LIBBPF_VERIFY"},
    {LIBBPF_ERRNO__PROG2BIG, "LIBBPF_PROG2BIG"},
    {LIBBPF_ERRNO__KVER, "LIBBPF_KVER"},
    {LIBBPF_ERRNO__PROGTYPE, "LIBBPF_PROGTYPE"},
    {LIBBPF_ERRNO__WRNGPID, "LIBBPF_WRNGPID"},
    {LIBBPF_ERRNO__INVSEQ, "LIBBPF_INVSEQ"},
    {LIBBPF_ERRNO__NLPARSE, "LIBBPF_NLPARSE"},
}};

std::string ErrorText(int error) {
  if (error == kKernelNotSupported) return "Operation not supported by the kernel";
  std::array<char, 256> text{};
  libbpf_strerror(error, text.data(), text.size());
  return text.data();
}

std::string Message(const Failure& failure) {
  std::string message = failure.syscall;
  if (!failure.object.empty()) message += " " + failure.object;
  message += ": " + (failure.detail.empty() ? ErrorText(failure.error) : failure.detail);
  return message + " (" + ErrorName(failure.error) + ")";
}

}  // namespace

std::string ErrorName(int error) {
  for (const LibbpfCode& code : kLibbpfCodes) {
    if (code.error == error) return code.name;
  }
  if (error == kKernelNotSupported) return "ENOTSUPP";
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : "E" + std::to_string(error);
}

NativeError::NativeError(Failure failure) : failure_(std::move(failure)), message_(Message(failure_)) {}

void ThrowErrno(std::string_view syscall, std::string_view object) { ThrowError(errno, syscall, object); }

void ThrowError(int error, std::string_view syscall, std::string_view object) {
  throw NativeError(
      {.error = error, .syscall = std::string(syscall), .object = std::string(object), .log = {}, .detail = {}});
}

}  // namespace omni
