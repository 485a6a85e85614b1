// reseed: OpenSSL's random generators.
#include <dlfcn.h>

#include <cerrno>

#include "error.h"
#include "exports.h"
#include "guard.h"

namespace omni {
namespace {

/**
 * RAND_poll(3) reseeds the primary generator from the system; those of the threads, which `node:crypto` draws from, follow
 * before they give out anything more. Node exports OpenSSL's functions to addons, or links to a library that does; by name,
 * so that an addon does not depend on which.
 */
Napi::Value Reseed(const Napi::CallbackInfo& info) {
  if (info.Length() != 0) throw Napi::TypeError::New(info.Env(), "reseed: takes no arguments");
  auto* poll = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "RAND_poll"));
  if (poll != nullptr && poll() != 1) ThrowError(EIO, "RAND_poll", "OpenSSL");
  return Napi::Boolean::New(info.Env(), poll != nullptr);
}

}  // namespace

void ExportRandom(Napi::Env env, Napi::Object exports) {
  Export<Reseed>(env, exports, "reseed");
}

}  // namespace omni
