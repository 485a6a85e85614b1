#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "args.h"
#include "bpf_pin.h"
#include "error.h"
#include "exports.h"
#include "guard.h"
#include "libbpf_options.h"

namespace omni {
namespace {

/** What a program may add in front of or behind the packet. */
constexpr size_t kGrowth = 1024;
constexpr uint32_t kMaxRepeat = 10'000'000;

struct Run {
  Bytes data;
  uint32_t repeat = 1;
  uint32_t ingressIfindex = 0;
  uint32_t rxQueue = 0;
};

struct Outcome {
  uint32_t retval;
  uint32_t durationNs;
  Bytes data;
};

Outcome TestRunXdp(const std::string& pin, const Run& run) {
  const Fd fd = OpenPin(pin, PinKind::kProgram);
  const uint32_t type = ProgramInfoOf(fd.get(), pin).info.type;
  Outcome outcome{};
  outcome.data.resize(run.data.size() + kGrowth);

  xdp_md xdp{};
  xdp.data_end = static_cast<uint32_t>(run.data.size());
  xdp.ingress_ifindex = run.ingressIfindex;
  xdp.rx_queue_index = run.rxQueue;
  __sk_buff skb{};
  skb.ifindex = run.ingressIfindex;

  auto options = LibbpfOptions<bpf_test_run_opts>();
  options.data_in = run.data.data();
  options.data_size_in = static_cast<uint32_t>(run.data.size());
  options.data_out = outcome.data.data();
  options.data_size_out = static_cast<uint32_t>(outcome.data.size());
  options.repeat = static_cast<int>(run.repeat);
  if (run.ingressIfindex != 0 && type == BPF_PROG_TYPE_XDP) {
    options.ctx_in = &xdp;
    options.ctx_size_in = sizeof(xdp);
  } else if (run.ingressIfindex != 0) {
    options.ctx_in = &skb;
    options.ctx_size_in = sizeof(skb);
  }
  if (bpf_prog_test_run_opts(fd.get(), &options) != 0) ThrowErrno("bpf(BPF_PROG_TEST_RUN)", pin);
  outcome.retval = options.retval;
  outcome.durationNs = options.duration;
  outcome.data.resize(options.data_size_out);
  return outcome;
}

Napi::Value TestRun(const Napi::CallbackInfo& info) {
  Args args(info, "testRun");
  const std::string pin = args.Path("pin");
  Run run;
  run.data = args.Data("data");
  if (args.Has("repeat")) run.repeat = args.Integer("repeat", 1, kMaxRepeat);
  if (args.Has("ingressIfindex")) run.ingressIfindex = static_cast<uint32_t>(args.Ifindex("ingressIfindex"));
  if (args.Has("rxQueue")) run.rxQueue = args.Integer("rxQueue", 0, UINT16_MAX);
  args.Done();
  const Outcome outcome = TestRunXdp(pin, run);
  Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  result.Set("retval", Napi::Number::New(env, outcome.retval));
  result.Set("data", Napi::Buffer<uint8_t>::Copy(env, outcome.data.data(), outcome.data.size()));
  result.Set("durationNs", Napi::Number::New(env, outcome.durationNs));
  return result;
}

}  // namespace

void ExportBpfTestRun(Napi::Env env, Napi::Object exports) { Export<TestRun>(env, exports, "testRun"); }

}  // namespace omni
