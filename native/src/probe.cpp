// probe(): each feature is tried with the smallest program or map that needs it.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <vector>

#include "args.h"
#include "bpf_pin.h"
#include "error.h"
#include "exports.h"
#include "fd.h"
#include "guard.h"
#include "libbpf_log.h"
#include "libbpf_options.h"

namespace omni {
namespace {

using Program = std::vector<bpf_insn>;

constexpr bpf_insn MoveImmediate(uint8_t reg, int32_t value) {
  return {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = reg, .src_reg = 0, .off = 0, .imm = value};
}
constexpr bpf_insn CallHelper(int32_t helper) {
  return {.code = BPF_JMP | BPF_CALL, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = helper};
}
constexpr bpf_insn StoreDoubleWord(uint8_t reg, int16_t offset, int32_t value) {
  return {.code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = reg, .src_reg = 0, .off = offset, .imm = value};
}
/** `source` gets what was in memory before. */
constexpr bpf_insn FetchAddDoubleWord(uint8_t reg, int16_t offset, uint8_t source) {
  return {.code = BPF_STX | BPF_ATOMIC | BPF_DW,
          .dst_reg = reg,
          .src_reg = source,
          .off = offset,
          .imm = BPF_ADD | BPF_FETCH};
}
constexpr bpf_insn kExit = {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0};

class Prober {
 public:
  /** Logs why not, if `result` is no descriptor. */
  Fd Try(const char* feature, int result) {
    if (result < 0) log_ += std::string(feature) + ": " + ErrorName(errno) + "\n";
    return Fd(result);
  }

  Fd TryProgram(const char* feature, bpf_prog_type type, const Program& program) {
    return Try(feature, bpf_prog_load(type, "omni_probe", "GPL", program.data(), program.size(), nullptr));
  }

  Fd TryMap(const char* feature, bpf_map_type type, uint32_t keySize, uint32_t valueSize, uint32_t entries,
            const bpf_map_create_opts* options) {
    return Try(feature, bpf_map_create(type, "omni_probe", keySize, valueSize, entries, options));
  }

  /**
   * The loopback device has no native XDP: a kernel that attaches XDP by links gets as far as noticing that (EOPNOTSUPP,
   * or EEXIST and EBUSY where something is attached), an older one does not know this kind of link (EINVAL). Attaches
   * nothing.
   */
  bool TryXdpLink(const Fd& program) {
    if (!program.valid()) return false;
    const unsigned loopback = if_nametoindex("lo");
    if (loopback == 0) return true;
    auto options = LibbpfOptions<bpf_link_create_opts>();
    options.flags = XDP_FLAGS_DRV_MODE;
    const Fd link(bpf_link_create(program.get(), static_cast<int>(loopback), BPF_XDP, &options));
    if (link.valid() || errno != EINVAL) return true;
    log_ += "xdpLink: " + ErrorName(errno) + "\n";
    return false;
  }

  /** Notes a program that loads, but is interpreted. */
  bool Compiled(const Fd& program, const char* what) {
    if (!program.valid()) return false;
    if (ProgramInfoOf(program.get(), "probe").info.jited_prog_len > 0) return true;
    log_ += std::string("jit: ") + what + "\n";
    return false;
  }

  /** A value `struct { struct bpf_spin_lock lock; unsigned int value; }`. */
  void TryTypes(bool& types, bool& spinLock) {
    struct FreeBtf {
      void operator()(btf* value) const { btf__free(value); }
    };
    const std::unique_ptr<btf, FreeBtf> description(btf__new_empty());
    if (!description) ThrowErrno("btf__new_empty", {});
    btf* raw = description.get();
    const int word = btf__add_int(raw, "unsigned int", 4, 0);
    const int lock = btf__add_struct(raw, "bpf_spin_lock", 4);
    btf__add_field(raw, "val", word, 0, 0);
    const int value = btf__add_struct(raw, "omni_probe", 8);
    btf__add_field(raw, "lock", lock, 0, 0);
    btf__add_field(raw, "value", word, 32, 0);
    const int error = btf__load_into_kernel(raw);
    types = error == 0;
    if (!types) {
      log_ += "btf: " + ErrorName(-error) + "\n";
      return;
    }
    auto options = LibbpfOptions<bpf_map_create_opts>();
    options.btf_fd = static_cast<uint32_t>(btf__fd(raw));
    options.btf_key_type_id = static_cast<uint32_t>(word);
    options.btf_value_type_id = static_cast<uint32_t>(value);
    spinLock = TryMap("spinLock", BPF_MAP_TYPE_HASH, 4, 8, 1, &options).valid();
  }

  const std::string& log() const { return log_; }

 private:
  std::string log_;
};

Napi::Value Probe(const Napi::CallbackInfo& info) {
  NoArgs(info, "probe");
  LogCapture log;
  Prober prober;
  const Program pass = {MoveImmediate(BPF_REG_0, XDP_PASS), kExit};
  const Program bootClock = {CallHelper(BPF_FUNC_ktime_get_boot_ns), MoveImmediate(BPF_REG_0, XDP_PASS), kExit};
  const Program fetchAdd = {StoreDoubleWord(BPF_REG_10, -8, 0), MoveImmediate(BPF_REG_0, XDP_PASS),
                            FetchAddDoubleWord(BPF_REG_10, -8, BPF_REG_0), MoveImmediate(BPF_REG_0, XDP_PASS), kExit};

  const bool bpf = prober.TryMap("bpf", BPF_MAP_TYPE_ARRAY, 4, 8, 1, nullptr).valid();
  const Fd xdp = prober.TryProgram("xdpProgram", BPF_PROG_TYPE_XDP, pass);
  const Fd atomics = prober.TryProgram("atomics", BPF_PROG_TYPE_XDP, fetchAdd);
  // arm64 before 5.18 interprets programs with such operations.
  const bool jit = prober.Compiled(xdp, "off") && (!atomics.valid() || prober.Compiled(atomics, "not for atomics"));
  const bool xdpLink = prober.TryXdpLink(xdp);
  const bool schedCls = prober.TryProgram("schedClsProgram", BPF_PROG_TYPE_SCHED_CLS, pass).valid();
  const auto page = static_cast<uint32_t>(sysconf(_SC_PAGESIZE));
  const bool ringbuf = prober.TryMap("ringbuf", BPF_MAP_TYPE_RINGBUF, 0, 0, page, nullptr).valid();
  const bool bootTime = prober.TryProgram("bootTime", BPF_PROG_TYPE_XDP, bootClock).valid();
  bool types = false;
  bool spinLock = false;
  prober.TryTypes(types, spinLock);
  utsname system{};
  if (uname(&system) != 0) ThrowErrno("uname", {});

  Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  result.Set("kernel", system.release);
  result.Set("btf", types);
  result.Set("bpf", bpf);
  result.Set("xdpProgram", xdp.valid());
  result.Set("xdpLink", xdpLink);
  result.Set("atomics", atomics.valid());
  result.Set("schedClsProgram", schedCls);
  result.Set("ringbuf", ringbuf);
  result.Set("spinLock", spinLock);
  result.Set("jit", jit);
  result.Set("bootTime", bootTime);
  result.Set("log", prober.log() + log.text());
  return result;
}

}  // namespace

void ExportProbe(Napi::Env env, Napi::Object exports) { Export<Probe>(env, exports, "probe"); }

}  // namespace omni
