// An addon with deliberate faults. scripts/sanitize.mjs requires that each is reported. No part of the product.
#include <node_api.h>

#include <climits>
#include <cstring>

namespace {

/** Keeps the compiler from seeing through a fault, and so from removing it. */
template <typename T>
T Opaque(T value) {
  asm volatile("" : "+r"(value) : : "memory");
  return value;
}

int Overflow() {
  char* bytes = Opaque(new char[8]());
  const int read = bytes[Opaque(8)];
  delete[] bytes;
  return read;
}

int UseAfterFree() {
  int* number = Opaque(new int(1));
  delete number;
  return *Opaque(number);
}

int Undefined() { return Opaque(INT_MAX) + Opaque(1); }

int Leak() {
  Opaque(new char[1234]());
  return 0;
}

napi_value Commit(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  char kind[32] = {};
  napi_get_value_string_utf8(env, argument, kind, sizeof(kind), nullptr);
  int result = 0;
  if (std::strcmp(kind, "heap-buffer-overflow") == 0) result = Overflow();
  if (std::strcmp(kind, "heap-use-after-free") == 0) result = UseAfterFree();
  if (std::strcmp(kind, "signed integer overflow") == 0) result = Undefined();
  if (std::strcmp(kind, "memory leak") == 0) result = Leak();
  napi_value value = nullptr;
  napi_create_int32(env, result, &value);
  return value;
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value function = nullptr;
  napi_create_function(env, "commit", NAPI_AUTO_LENGTH, Commit, nullptr, &function);
  napi_set_named_property(env, exports, "commit", function);
  return exports;
}
