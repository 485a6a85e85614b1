#include <bpf/bpf.h>

#include <cerrno>

#include "args.h"
#include "bpf_pin.h"
#include "error.h"
#include "exports.h"
#include "guard.h"

namespace omni {
namespace {

/** What the kernel takes (kernel/bpf/cpumap.c). */
constexpr uint32_t kMaxQueue = 16384;

Napi::Value SetProgram(const Napi::CallbackInfo& info) {
  Args args(info, "setProgram");
  const std::string map = args.Path("map");
  const uint32_t key = args.Integer("key", 0, UINT32_MAX);
  const std::string program = args.Path("program");
  const uint32_t queue = args.Has("queue") ? args.Integer("queue", 1, kMaxQueue) : 0;
  args.Done();

  const Fd mapFd = OpenPin(map, PinKind::kMap);
  const uint32_t wanted = queue == 0 ? BPF_MAP_TYPE_PROG_ARRAY : BPF_MAP_TYPE_CPUMAP;
  if (MapInfoOf(mapFd.get(), map).type != wanted) ThrowError(EINVAL, "bpf(BPF_MAP_UPDATE_ELEM)", map);
  const Fd programFd = OpenPin(program, PinKind::kProgram);
  bpf_cpumap_val entry{};
  entry.qsize = queue;
  entry.bpf_prog.fd = programFd.get();
  const int slot = programFd.get();
  const void* value = queue == 0 ? static_cast<const void*>(&slot) : &entry;
  if (bpf_map_update_elem(mapFd.get(), &key, value, BPF_ANY) != 0) ThrowErrno("bpf(BPF_MAP_UPDATE_ELEM)", map);
  return info.Env().Undefined();
}

}  // namespace

void ExportBpfProgramMap(Napi::Env env, Napi::Object exports) { Export<SetProgram>(env, exports, "setProgram"); }

}  // namespace omni
