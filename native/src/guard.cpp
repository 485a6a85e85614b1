#include "guard.h"

namespace omni {

Napi::Error ToJs(Napi::Env env, const NativeError& failed) {
  const Failure& failure = failed.failure();
  Napi::Error error = Napi::Error::New(env, failed.what());
  error.Set("code", ErrorName(failure.error));
  error.Set("errno", Napi::Number::New(env, failure.error));
  error.Set("syscall", failure.syscall);
  error.Set("object", failure.object);
  if (!failure.log.empty()) error.Set("log", failure.log);
  return error;
}

}  // namespace omni
