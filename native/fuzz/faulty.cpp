// A parser with a deliberate fault. scripts/fuzz-native.mjs requires that it is found. No part of the product.
#include <cstdint>
#include <cstring>
#include <memory>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto copy = std::make_unique<uint8_t[]>(size);
  std::memcpy(copy.get(), data, size);
  // The length field is not compared with the size.
  if (size < 4 || std::memcmp(copy.get(), "om", 2) != 0) return 0;
  uint32_t sum = 0;
  for (size_t i = 0; i < copy[2]; ++i) sum += copy[3 + i];
  return sum == UINT32_MAX ? -1 : 0;
}
