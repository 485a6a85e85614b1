// Registration only: who exports what is in each file.
#include <napi.h>

#include "exports.h"
#include "libbpf_log.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  omni::CaptureLibbpfLog();
  omni::ExportBtf(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(omni_native, Init)
