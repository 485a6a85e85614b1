// Where C++ ends: nothing but a JavaScript exception leaves these wrappers.
#pragma once

#include <napi.h>

#include <exception>

#include "error.h"

namespace omni {

/** The `NativeError` of index.d.ts. */
Napi::Error ToJs(Napi::Env env, const NativeError& failed);

template <typename Body>
auto Guard(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const NativeError& error) {
    throw ToJs(env, error);
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Napi::Error::New(env, error.what());
  }
}

template <Napi::Value (*Function)(const Napi::CallbackInfo&)>
Napi::Value Guarded(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] { return Function(info); });
}

template <Napi::Value (*Function)(const Napi::CallbackInfo&)>
void Export(Napi::Env env, Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<Guarded<Function>>(env, name));
}

/**
 * A class exported to JavaScript. Each has a type tag, so that a method borrowed by an object of another class
 * throws instead of reading that object's memory as its own.
 */
template <typename T>
class Wrapped : public Napi::ObjectWrap<T> {
 public:
  explicit Wrapped(const Napi::CallbackInfo& info) : Napi::ObjectWrap<T>(info) {
    info.This().template As<Napi::Object>().TypeTag(&T::kTypeTag);
  }

 protected:
  /** A method for DefineClass, guarded. `Method` belongs to T or a base of it. */
  template <auto Method>
  static Napi::ClassPropertyDescriptor<T> Expose(const char* name) {
    using Callback = Napi::Value (T::*)(const Napi::CallbackInfo&);
    return Wrapped::InstanceMethod(name, static_cast<Callback>(&Wrapped::template Call<Method>));
  }

 private:
  template <auto Method>
  Napi::Value Call(const Napi::CallbackInfo& info) {
    if (!info.This().template As<Napi::Object>().CheckTypeTag(&T::kTypeTag)) {
      throw Napi::TypeError::New(info.Env(), "Illegal invocation");
    }
    return Guard(info.Env(), [&] { return (static_cast<T*>(this)->*Method)(info); });
  }
};

}  // namespace omni
