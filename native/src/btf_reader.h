// BTF as plain records (docs.kernel.org/bpf/btf.html).
#pragma once

#include <bpf/btf.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace omni {

struct Member {
  std::string name;
  uint32_t offset;
  uint32_t size;
  std::string type;
  std::optional<uint32_t> elements;
};

struct Struct {
  std::string name;
  uint32_t size;
  std::vector<Member> members;
};

struct Enum {
  std::string name;
  std::vector<std::pair<std::string, double>> values;
};

struct BtfTypes {
  std::vector<Struct> structs;
  std::vector<Enum> enums;
};

/** Without names: everything that is named. `object` is for messages. Throws NativeError for what it cannot express. */
BtfTypes ReadBtf(const btf* types, const std::string& object, const std::optional<std::vector<std::string>>& names);

}  // namespace omni
