// libFuzzer harness: any bytes as the .BTF section of an object, if libbpf accepts them.
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <memory>

#include "btf_reader.h"
#include "error.h"

namespace {

struct FreeBtf {
  void operator()(btf* value) const { btf__free(value); }
};

/** The reader may refuse what libbpf accepted with the addon's own error, and throws nothing else. */
void Read(const btf* types, const std::optional<std::vector<std::string>>& names) {
  try {
    omni::ReadBtf(types, "fuzz.o", names);
  } catch (const omni::NativeError&) {
  }
}

int Silent(libbpf_print_level, const char*, va_list) { return 0; }

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  libbpf_set_print(Silent);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::unique_ptr<btf, FreeBtf> types(btf__new(data, static_cast<uint32_t>(size)));
  if (types == nullptr) return -1;
  Read(types.get(), std::nullopt);
  Read(types.get(), std::vector<std::string>{"outer", "colour"});
  return 0;
}
