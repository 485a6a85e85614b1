// Classes that hand what a descriptor delivers to a JavaScript callback.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "guard.h"
#include "poll.h"

namespace omni {

/** Items read at one wake-up: the rest waits for the next turn of the loop, so that nothing else starves. */
constexpr size_t kItemsPerWakeUp = 64;

/**
 * `T` provides: `std::vector<Item> Read()`, without blocking, at most kItemsPerWakeUp items;
 * `static Napi::Value ToJs(Napi::Env, const Item&)`; `void Release()`, which closes its descriptors.
 */
template <typename T>
class Stream : public Wrapped<T> {
 public:
  explicit Stream(const Napi::CallbackInfo& info) : Wrapped<T>(info) {}

  /** `close()` of JavaScript. Idempotent. */
  Napi::Value Close(const Napi::CallbackInfo& info) {
    if (info.Length() != 0) throw Napi::TypeError::New(info.Env(), "close: takes no arguments");
    if (poll_) {
      poll_.reset();
      this->Unref();
    }
    static_cast<T*>(this)->Release();
    return info.Env().Undefined();
  }

 protected:
  /** From now on neither collected nor letting the loop end, until closed. */
  void Listen(Napi::Function callback, int fd, const char* resource) {
    Napi::Env env = callback.Env();
    callback_ = Napi::Persistent(callback);
    context_.emplace(env, resource);
    poll_ = std::make_unique<Poll>(env, fd, [this] { OnReady(); });
    this->Ref();
  }

 private:
  void OnReady() {
    Napi::Env env = callback_.Env();
    Napi::HandleScope scope(env);
    // The callback may close and drop this.
    const Napi::Object self = this->Value();
    Report(env, [&] {
      const auto items = Guard(env, [this] { return static_cast<T*>(this)->Read(); });
      for (const auto& item : items) {
        if (!poll_) return;
        Napi::HandleScope itemScope(env);
        Report(env, [&] { callback_.MakeCallback(self, {T::ToJs(env, item)}, *context_); });
      }
    });
  }

  /** What is thrown on the event loop is an uncaught exception, as in node's own callbacks. */
  template <typename Body>
  static void Report(Napi::Env env, Body body) {
    try {
      body();
    } catch (const Napi::Error& error) {
      napi_fatal_exception(env, error.Value());
    }
  }

  Napi::FunctionReference callback_;
  std::optional<Napi::AsyncContext> context_;
  std::unique_ptr<Poll> poll_;
};

}  // namespace omni
