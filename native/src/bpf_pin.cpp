#include "bpf_pin.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "error.h"

namespace omni {
namespace {

const char* KindName(PinKind kind) {
  switch (kind) {
    case PinKind::kMap:
      return "map";
    case PinKind::kProgram:
      return "program";
    case PinKind::kLink:
      return "link";
  }
  return "object";
}

/** The anonymous inode's name is the only thing that tells the kinds apart before one reads the wrong info record. */
bool IsKind(int fd, PinKind kind) {
  std::array<char, 64> target{};
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = readlink(self.c_str(), target.data(), target.size() - 1);
  if (length < 0) ThrowErrno("readlink", self);
  const std::string name(target.data(), static_cast<size_t>(length));
  switch (kind) {
    case PinKind::kMap:
      return name.find("bpf-map") != std::string::npos;
    case PinKind::kProgram:
      return name.find("bpf-prog") != std::string::npos;
    case PinKind::kLink:
      return name.find("bpf_link") != std::string::npos || name.find("bpf-link") != std::string::npos;
  }
  return false;
}

template <typename Info>
void ReadInfo(int fd, Info& info, const std::string& object) {
  __u32 length = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &length) != 0) ThrowErrno("bpf(BPF_OBJ_GET_INFO_BY_FD)", object);
}

std::string Hex(const __u8* bytes, size_t count) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

}  // namespace

std::optional<Fd> OpenPinIfPresent(const std::string& path, PinKind kind) {
  Fd fd(bpf_obj_get(path.c_str()));
  if (!fd.valid()) {
    if (errno == ENOENT) return std::nullopt;
    ThrowErrno("bpf(BPF_OBJ_GET)", path);
  }
  if (!IsKind(fd.get(), kind)) {
    throw NativeError({.error = EINVAL,
                       .syscall = "bpf(BPF_OBJ_GET)",
                       .object = path,
                       .log = {},
                       .detail = std::string("is pinned, but is no ") + KindName(kind)});
  }
  return fd;
}

Fd OpenPin(const std::string& path, PinKind kind) {
  std::optional<Fd> fd = OpenPinIfPresent(path, kind);
  if (!fd) ThrowError(ENOENT, "bpf(BPF_OBJ_GET)", path);
  return *std::move(fd);
}

void CreatePin(int fd, const std::string& path) {
  if (bpf_obj_pin(fd, path.c_str()) != 0) ThrowErrno("bpf(BPF_OBJ_PIN)", path);
}

void ReplacePin(int fd, const std::string& path) {
  // bpffs takes no dot in a name. A process that was killed here may have left one behind.
  const std::string temporary = path + "__new";
  if (unlink(temporary.c_str()) != 0 && errno != ENOENT) ThrowErrno("unlink", temporary);
  CreatePin(fd, temporary);
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    ThrowError(error, "rename", path);
  }
}

bpf_map_info MapInfoOf(int fd, const std::string& object) {
  bpf_map_info info{};
  ReadInfo(fd, info, object);
  return info;
}

bpf_link_info LinkInfoOf(int fd, const std::string& object) {
  bpf_link_info info{};
  ReadInfo(fd, info, object);
  return info;
}

ProgramRecord ProgramInfoOf(int fd, const std::string& object) {
  ProgramRecord record{};
  ReadInfo(fd, record.info, object);
  record.tag = Hex(record.info.tag, sizeof(record.info.tag));
  record.mapIds.resize(record.info.nr_map_ids);
  if (!record.mapIds.empty()) {
    bpf_prog_info request{};
    request.nr_map_ids = record.info.nr_map_ids;
    request.map_ids = reinterpret_cast<uintptr_t>(record.mapIds.data());
    ReadInfo(fd, request, object);
  }
  return record;
}

}  // namespace omni
