#pragma once

#include <napi.h>

namespace omni {

void ExportBpfObject(Napi::Env env, Napi::Object exports);
void ExportBpfProgram(Napi::Env env, Napi::Object exports);
void ExportBpfTestRun(Napi::Env env, Napi::Object exports);
void ExportBpfLink(Napi::Env env, Napi::Object exports);
void ExportBpfProgramMap(Napi::Env env, Napi::Object exports);
void ExportBpfMap(Napi::Env env, Napi::Object exports);
void ExportRingBuffer(Napi::Env env, Napi::Object exports);
void ExportBtf(Napi::Env env, Napi::Object exports);
void ExportProbe(Napi::Env env, Napi::Object exports);
void ExportLinks(Napi::Env env, Napi::Object exports);
void ExportLinkChanges(Napi::Env env, Napi::Object exports);
void ExportAddresses(Napi::Env env, Napi::Object exports);
void ExportRoutes(Napi::Env env, Napi::Object exports);
void ExportNeighbours(Napi::Env env, Napi::Object exports);
void ExportNeighbourTable(Napi::Env env, Napi::Object exports);
void ExportNetlinkMonitor(Napi::Env env, Napi::Object exports);
void ExportNetdev(Napi::Env env, Napi::Object exports);
void ExportEthtool(Napi::Env env, Napi::Object exports);
void ExportUeventMonitor(Napi::Env env, Napi::Object exports);
void ExportRandom(Napi::Env env, Napi::Object exports);
void ExportPacketSocket(Napi::Env env, Napi::Object exports);
void ExportUdpSocket(Napi::Env env, Napi::Object exports);
void ExportMisc(Napi::Env env, Napi::Object exports);

}  // namespace omni
