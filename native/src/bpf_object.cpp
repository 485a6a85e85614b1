// loadObject: plain data in, off-thread, plain data out.
#include <optional>
#include <utility>

#include "args.h"
#include "bpf_load.h"
#include "error.h"
#include "exports.h"
#include "guard.h"
#include "to_js.h"

namespace omni {
namespace {

Napi::Object ToJs(Napi::Env env, const LoadedProgram& program) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("name", program.name);
  result.Set("id", Napi::Number::New(env, program.id));
  result.Set("tag", program.tag);
  result.Set("instructions", Napi::Number::New(env, program.instructions));
  result.Set("jitedBytes", Napi::Number::New(env, program.jitedBytes));
  result.Set("verifiedInstructions", Napi::Number::New(env, program.verifiedInstructions));
  return result;
}

class LoadWorker : public Napi::AsyncWorker {
 public:
  LoadWorker(Napi::Env env, LoadRequest request)
      : Napi::AsyncWorker(env, "omni:loadObject"),
        deferred_(Napi::Promise::Deferred::New(env)),
        request_(std::move(request)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    try {
      result_ = LoadObject(request_);
    } catch (const NativeError& error) {
      failure_ = error.failure();
    } catch (const std::exception& error) {
      SetError(error.what());
    }
  }

  void OnOK() override {
    Napi::Env env = Env();
    if (failure_) return deferred_.Reject(ToJs(env, NativeError(*failure_)).Value());
    Napi::Object value = Napi::Object::New(env);
    value.Set("programs", ToJsArray(env, result_.programs, ToJs));
    value.Set("log", result_.log);
    deferred_.Resolve(value);
  }

  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  LoadRequest request_;
  LoadResult result_;
  std::optional<Failure> failure_;
};

Napi::Value LoadObjectAsync(const Napi::CallbackInfo& info) {
  Args args(info, "loadObject");
  LoadRequest request;
  request.object = args.Path("object");
  request.pinMaps = args.Path("pinMaps");
  request.pinPrograms = args.TextRecord("pinPrograms");
  request.rodata = args.DataRecord("rodata");
  if (args.Has("maxEntries")) request.maxEntries = args.IntegerRecord("maxEntries", 1, UINT32_MAX);
  if (args.Has("stats")) request.stats = args.Flag("stats");
  args.Done();
  // Deletes itself when it is done; the environment waits for it at teardown.
  auto* worker = new LoadWorker(info.Env(), std::move(request));
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace

void ExportBpfObject(Napi::Env env, Napi::Object exports) { Export<LoadObjectAsync>(env, exports, "loadObject"); }

}  // namespace omni
