// Registration only: who exports what is in each file.
#include <napi.h>

#include "exports.h"
#include "libbpf_log.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  omni::CaptureLibbpfLog();
  omni::ExportBpfObject(env, exports);
  omni::ExportBpfProgram(env, exports);
  omni::ExportBpfTestRun(env, exports);
  omni::ExportBpfLink(env, exports);
  omni::ExportBpfProgramMap(env, exports);
  omni::ExportBpfMap(env, exports);
  omni::ExportRingBuffer(env, exports);
  omni::ExportBtf(env, exports);
  omni::ExportProbe(env, exports);
  omni::ExportLinks(env, exports);
  omni::ExportLinkChanges(env, exports);
  omni::ExportAddresses(env, exports);
  omni::ExportRoutes(env, exports);
  omni::ExportNeighbours(env, exports);
  omni::ExportNeighbourTable(env, exports);
  omni::ExportNetlinkMonitor(env, exports);
  omni::ExportNetdev(env, exports);
  omni::ExportEthtool(env, exports);
  omni::ExportUeventMonitor(env, exports);
  omni::ExportRandom(env, exports);
  omni::ExportPacketSocket(env, exports);
  omni::ExportUdpSocket(env, exports);
  omni::ExportMisc(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(omni_native, Init)
