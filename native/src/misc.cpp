#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "args.h"
#include "error.h"
#include "exports.h"
#include "guard.h"

namespace omni {
namespace {

/** By number, capabilities(7). */
constexpr std::array<const char*, 41> kCapabilities = {"CAP_CHOWN",
                                                       "CAP_DAC_OVERRIDE",
                                                       "CAP_DAC_READ_SEARCH",
                                                       "CAP_FOWNER",
                                                       "CAP_FSETID",
                                                       "CAP_KILL",
                                                       "CAP_SETGID",
                                                       "CAP_SETUID",
                                                       "CAP_SETPCAP",
                                                       "CAP_LINUX_IMMUTABLE",
                                                       "CAP_NET_BIND_SERVICE",
                                                       "CAP_NET_BROADCAST",
                                                       "CAP_NET_ADMIN",
                                                       "CAP_NET_RAW",
                                                       "CAP_IPC_LOCK",
                                                       "CAP_IPC_OWNER",
                                                       "CAP_SYS_MODULE",
                                                       "CAP_SYS_RAWIO",
                                                       "CAP_SYS_CHROOT",
                                                       "CAP_SYS_PTRACE",
                                                       "CAP_SYS_PACCT",
                                                       "CAP_SYS_ADMIN",
                                                       "CAP_SYS_BOOT",
                                                       "CAP_SYS_NICE",
                                                       "CAP_SYS_RESOURCE",
                                                       "CAP_SYS_TIME",
                                                       "CAP_SYS_TTY_CONFIG",
                                                       "CAP_MKNOD",
                                                       "CAP_LEASE",
                                                       "CAP_AUDIT_WRITE",
                                                       "CAP_AUDIT_CONTROL",
                                                       "CAP_SETFCAP",
                                                       "CAP_MAC_OVERRIDE",
                                                       "CAP_MAC_ADMIN",
                                                       "CAP_SYSLOG",
                                                       "CAP_WAKE_ALARM",
                                                       "CAP_BLOCK_SUSPEND",
                                                       "CAP_AUDIT_READ",
                                                       "CAP_PERFMON",
                                                       "CAP_BPF",
                                                       "CAP_CHECKPOINT_RESTORE"};

Napi::Value BootTimeNs(const Napi::CallbackInfo& info) {
  NoArgs(info, "bootTimeNs");
  timespec now{};
  if (clock_gettime(CLOCK_BOOTTIME, &now) != 0) ThrowErrno("clock_gettime", "CLOCK_BOOTTIME");
  const uint64_t ns = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  return Napi::BigInt::New(info.Env(), ns);
}

Napi::Value MountBpffs(const Napi::CallbackInfo& info) {
  Args args(info, "mountBpffs");
  const std::string path = args.Path("path");
  args.Done();
  if (mount("bpf", path.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0) ThrowErrno("mount", path);
  return info.Env().Undefined();
}

Napi::Value IsBpffs(const Napi::CallbackInfo& info) {
  Args args(info, "isBpffs");
  const std::string path = args.Path("path");
  args.Done();
  struct statfs record{};
  if (statfs(path.c_str(), &record) != 0) ThrowErrno("statfs", path);
  return Napi::Boolean::New(info.Env(), record.f_type == BPF_FS_MAGIC);
}

Napi::Value Capabilities(const Napi::CallbackInfo& info) {
  NoArgs(info, "capabilities");
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) ThrowErrno("capget", {});
  Napi::Array names = Napi::Array::New(info.Env());
  uint32_t count = 0;
  for (size_t i = 0; i < kCapabilities.size(); ++i) {
    if ((data[i / 32].effective >> (i % 32) & 1) != 0) names.Set(count++, kCapabilities[i]);
  }
  return names;
}

}  // namespace

void ExportMisc(Napi::Env env, Napi::Object exports) {
  Export<BootTimeNs>(env, exports, "bootTimeNs");
  Export<MountBpffs>(env, exports, "mountBpffs");
  Export<IsBpffs>(env, exports, "isBpffs");
  Export<Capabilities>(env, exports, "capabilities");
}

}  // namespace omni
