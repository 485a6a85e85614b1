#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <unistd.h>

#include <cerrno>

#include "args.h"
#include "bpf_pin.h"
#include "error.h"
#include "exports.h"
#include "guard.h"
#include "libbpf_log.h"
#include "libbpf_options.h"

namespace omni {
namespace {

std::string InterfaceText(int ifindex) { return "ifindex " + std::to_string(ifindex); }

Napi::Value AttachXdp(const Napi::CallbackInfo& info) {
  Args args(info, "attachXdp");
  const std::string program = args.Path("program");
  const int ifindex = args.Ifindex("ifindex");
  const std::string mode = args.Text("mode", 16);
  if (mode != "native" && mode != "generic") args.Reject("mode", "'native' or 'generic'");
  const std::string pin = args.Path("pin");
  args.Done();

  const Fd programFd = OpenPin(program, PinKind::kProgram);
  auto options = LibbpfOptions<bpf_link_create_opts>();
  options.flags = mode == "native" ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
  const Fd link(bpf_link_create(programFd.get(), ifindex, BPF_XDP, &options));
  if (!link.valid()) ThrowErrno("bpf(BPF_LINK_CREATE)", InterfaceText(ifindex));
  // If this fails, closing the unpinned link detaches the program again.
  CreatePin(link.get(), pin);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("linkId", Napi::Number::New(info.Env(), LinkInfoOf(link.get(), pin).id));
  return result;
}

/** Where our filter is: at clsact ingress, with a handle and a priority of our choice. */
bpf_tc_hook TcHook(int ifindex) {
  auto hook = LibbpfOptions<bpf_tc_hook>();
  hook.ifindex = ifindex;
  hook.attach_point = BPF_TC_INGRESS;
  return hook;
}

bpf_tc_opts TcFilter() {
  auto options = LibbpfOptions<bpf_tc_opts>();
  options.handle = 1;
  options.priority = 1;
  return options;
}

Napi::Value AttachTcIngress(const Napi::CallbackInfo& info) {
  Args args(info, "attachTcIngress");
  const std::string program = args.Path("program");
  const int ifindex = args.Ifindex("ifindex");
  args.Done();

  LogCapture log;
  const Fd programFd = OpenPin(program, PinKind::kProgram);
  bpf_tc_hook hook = TcHook(ifindex);
  const int created = bpf_tc_hook_create(&hook);
  if (created != 0 && created != -EEXIST) {
    throw NativeError({.error = -created,
                       .syscall = "RTM_NEWQDISC",
                       .object = InterfaceText(ifindex),
                       .log = log.text(),
                       .detail = {}});
  }
  bpf_tc_opts options = TcFilter();
  options.prog_fd = programFd.get();
  options.flags = BPF_TC_F_REPLACE;
  const int attached = bpf_tc_attach(&hook, &options);
  if (attached != 0) {
    throw NativeError({.error = -attached,
                       .syscall = "RTM_NEWTFILTER",
                       .object = InterfaceText(ifindex),
                       .log = log.text(),
                       .detail = {}});
  }
  return info.Env().Undefined();
}

/** EINVAL: no clsact there. ENODEV: no such interface. */
bool NothingThere(int result) { return result == -ENOENT || result == -EINVAL || result == -ENODEV; }

Napi::Value DetachTcIngress(const Napi::CallbackInfo& info) {
  Args args(info, "detachTcIngress");
  const int ifindex = args.Ifindex("ifindex");
  args.Done();

  LogCapture log;
  const bpf_tc_hook hook = TcHook(ifindex);
  const bpf_tc_opts options = TcFilter();
  const int result = bpf_tc_detach(&hook, &options);
  if (result != 0 && !NothingThere(result)) {
    throw NativeError({.error = -result,
                       .syscall = "RTM_DELTFILTER",
                       .object = InterfaceText(ifindex),
                       .log = log.text(),
                       .detail = {}});
  }
  return info.Env().Undefined();
}

Napi::Value TcIngress(const Napi::CallbackInfo& info) {
  Args args(info, "tcIngress");
  const int ifindex = args.Ifindex("ifindex");
  args.Done();

  LogCapture log;
  const bpf_tc_hook hook = TcHook(ifindex);
  bpf_tc_opts options = TcFilter();
  const int result = bpf_tc_query(&hook, &options);
  if (NothingThere(result)) return info.Env().Undefined();
  if (result != 0) {
    throw NativeError({.error = -result,
                       .syscall = "RTM_GETTFILTER",
                       .object = InterfaceText(ifindex),
                       .log = log.text(),
                       .detail = {}});
  }
  return Napi::Number::New(info.Env(), options.prog_id);
}

Napi::Value UpdateLink(const Napi::CallbackInfo& info) {
  Args args(info, "updateLink");
  const std::string link = args.Path("link");
  const std::string program = args.Path("program");
  args.Done();
  const Fd linkFd = OpenPin(link, PinKind::kLink);
  const Fd programFd = OpenPin(program, PinKind::kProgram);
  if (bpf_link_update(linkFd.get(), programFd.get(), nullptr) != 0) ThrowErrno("bpf(BPF_LINK_UPDATE)", link);
  return info.Env().Undefined();
}

Napi::Value LinkInfo(const Napi::CallbackInfo& info) {
  Args args(info, "linkInfo");
  const std::string pin = args.Path("pin");
  args.Done();
  const auto fd = OpenPinIfPresent(pin, PinKind::kLink);
  if (!fd) return info.Env().Undefined();
  const bpf_link_info record = LinkInfoOf(fd->get(), pin);
  Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  result.Set("linkId", Napi::Number::New(env, record.id));
  result.Set("programId", Napi::Number::New(env, record.prog_id));
  result.Set("ifindex", Napi::Number::New(env, record.type == BPF_LINK_TYPE_XDP ? record.xdp.ifindex : 0));
  return result;
}

Napi::Value DetachLink(const Napi::CallbackInfo& info) {
  Args args(info, "detachLink");
  const std::string pin = args.Path("pin");
  args.Done();
  const Fd fd = OpenPin(pin, PinKind::kLink);
  if (bpf_link_detach(fd.get()) != 0) ThrowErrno("bpf(BPF_LINK_DETACH)", pin);
  if (unlink(pin.c_str()) != 0) ThrowErrno("unlink", pin);
  return info.Env().Undefined();
}

}  // namespace

void ExportBpfLink(Napi::Env env, Napi::Object exports) {
  Export<AttachXdp>(env, exports, "attachXdp");
  Export<AttachTcIngress>(env, exports, "attachTcIngress");
  Export<DetachTcIngress>(env, exports, "detachTcIngress");
  Export<TcIngress>(env, exports, "tcIngress");
  Export<UpdateLink>(env, exports, "updateLink");
  Export<LinkInfo>(env, exports, "linkInfo");
  Export<DetachLink>(env, exports, "detachLink");
}

}  // namespace omni
