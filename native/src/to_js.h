#pragma once

#include <napi.h>

#include <vector>

namespace omni {

template <typename Item>
Napi::Array ToJsArray(Napi::Env env, const std::vector<Item>& items, Napi::Object (*convert)(Napi::Env, const Item&)) {
  Napi::Array result = Napi::Array::New(env, items.size());
  for (size_t i = 0; i < items.size(); ++i) result.Set(static_cast<uint32_t>(i), convert(env, items[i]));
  return result;
}

}  // namespace omni
