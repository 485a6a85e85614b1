#include <cstring>

#include "args.h"
#include "bpf_pin.h"
#include "exports.h"
#include "guard.h"

namespace omni {
namespace {

Napi::Value ProgramInfo(const Napi::CallbackInfo& info) {
  Args args(info, "programInfo");
  const std::string pin = args.Path("pin");
  args.Done();
  const Fd fd = OpenPin(pin, PinKind::kProgram);
  const ProgramRecord record = ProgramInfoOf(fd.get(), pin);
  Napi::Env env = info.Env();
  Napi::Array maps = Napi::Array::New(env, record.mapIds.size());
  for (size_t i = 0; i < record.mapIds.size(); ++i) {
    maps.Set(static_cast<uint32_t>(i), Napi::Number::New(env, record.mapIds[i]));
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("id", Napi::Number::New(env, record.info.id));
  result.Set("name", std::string(record.info.name, strnlen(record.info.name, sizeof(record.info.name))));
  result.Set("tag", record.tag);
  result.Set("loadTimeNs", Napi::BigInt::New(env, static_cast<uint64_t>(record.info.load_time)));
  result.Set("runTimeNs", Napi::BigInt::New(env, static_cast<uint64_t>(record.info.run_time_ns)));
  result.Set("runCount", Napi::BigInt::New(env, static_cast<uint64_t>(record.info.run_cnt)));
  result.Set("mapIds", maps);
  return result;
}

}  // namespace

void ExportBpfProgram(Napi::Env env, Napi::Object exports) { Export<ProgramInfo>(env, exports, "programInfo"); }

}  // namespace omni
