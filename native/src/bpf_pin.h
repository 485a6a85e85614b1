// Descriptors of pinned objects, and their info records.
#pragma once

#include <linux/bpf.h>

#include <optional>
#include <string>
#include <vector>

#include "fd.h"

namespace omni {

enum class PinKind { kMap, kProgram, kLink };

/** Throws ENOENT if there is no such pin, EINVAL if it pins another kind of object. */
Fd OpenPin(const std::string& path, PinKind kind);
std::optional<Fd> OpenPinIfPresent(const std::string& path, PinKind kind);

/** Pins `fd` at `path`, in place of what is pinned there, if anything, in one step (rename on bpffs). */
void ReplacePin(int fd, const std::string& path);
/** Throws EEXIST. */
void CreatePin(int fd, const std::string& path);

bpf_map_info MapInfoOf(int fd, const std::string& object);
bpf_link_info LinkInfoOf(int fd, const std::string& object);

struct ProgramRecord {
  bpf_prog_info info;
  std::vector<uint32_t> mapIds;
  /** 16 hex digits. */
  std::string tag;
};
ProgramRecord ProgramInfoOf(int fd, const std::string& object);

}  // namespace omni
