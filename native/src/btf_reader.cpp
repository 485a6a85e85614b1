#include "btf_reader.h"

#include <cerrno>
#include <set>

#include "error.h"

namespace omni {
namespace {

/** Of structs within structs; the kernel's own limit (MAX_RESOLVE_DEPTH). In a damaged file a struct may contain itself. */
constexpr int kMaxDepth = 32;
/** Of one struct, with those of its anonymous structs and unions. */
constexpr uint32_t kMaxMembers = BTF_MAX_VLEN;

class BtfReader {
 public:
  BtfReader(const btf* types, const std::string& object) : btf_(types), object_(object) {}

  /** Without names: everything that is named. */
  void Read(const std::optional<std::vector<std::string>>& names) {
    if (names) {
      for (const std::string& name : *names) AddNamed(name);
      return;
    }
    for (uint32_t id = 1; id < btf__type_cnt(btf_); ++id) {
      const btf_type* type = TypeOf(id);
      if (!NameOf(type->name_off).empty()) Add(id);
    }
  }

  BtfTypes Take() { return {std::move(structs_), std::move(enums_)}; }

 private:
  [[noreturn]] static void Fail(int error, const std::string& what, std::string detail) {
    throw NativeError({.error = error, .syscall = "BTF", .object = what, .log = {}, .detail = std::move(detail)});
  }

  const btf_type* TypeOf(uint32_t id) const {
    const btf_type* type = btf__type_by_id(btf_, id);
    if (type == nullptr) Fail(EINVAL, "type " + std::to_string(id), "is not in the BTF of " + object_);
    // libbpf accepts a header of any length, behind which the types begin.
    if (reinterpret_cast<uintptr_t>(type) % alignof(btf_type) != 0) {
      Fail(EINVAL, "type " + std::to_string(id), "is not aligned in the BTF of " + object_);
    }
    return type;
  }

  std::string NameOf(uint32_t offset) const {
    const char* name = btf__name_by_offset(btf_, offset);
    return name != nullptr ? name : "";
  }

  void AddNamed(const std::string& name) {
    for (const uint32_t kind : {uint32_t{BTF_KIND_STRUCT}, uint32_t{BTF_KIND_ENUM}, uint32_t{BTF_KIND_ENUM64}}) {
      const int id = btf__find_by_name_kind(btf_, name.c_str(), kind);
      if (id > 0) return Add(static_cast<uint32_t>(id));
    }
    Fail(ENOENT, name, "no such struct or enum in the BTF of " + object_);
  }

  void Add(uint32_t id) {
    const btf_type* type = TypeOf(id);
    const std::string name = NameOf(type->name_off);
    if (!btf_is_struct(type) && !btf_is_any_enum(type)) return;
    if (!seen_.insert(name).second) return;
    if (btf_is_any_enum(type)) {
      enums_.push_back({name, EnumValues(type)});
      return;
    }
    if (++depth_ > kMaxDepth) Fail(ELOOP, name, "lies in too many structs");
    uint32_t left = kMaxMembers;
    std::vector<Member> members;
    AddMembers(type, {name, 0, 0}, left, members);
    structs_.push_back({name, type->size, std::move(members)});
    --depth_;
  }

  std::vector<std::pair<std::string, double>> EnumValues(const btf_type* type) const {
    std::vector<std::pair<std::string, double>> values;
    for (uint16_t i = 0; i < btf_vlen(type); ++i) {
      if (btf_is_enum(type)) {
        const struct btf_enum& item = btf_enum(type)[i];
        const double value = btf_kflag(type) ? item.val : static_cast<double>(static_cast<uint32_t>(item.val));
        values.emplace_back(NameOf(item.name_off), value);
      } else {
        const struct btf_enum64& item = btf_enum64(type)[i];
        const uint64_t bits = btf_enum64_value(&item);
        const double value =
            btf_kflag(type) ? static_cast<double>(static_cast<int64_t>(bits)) : static_cast<double>(bits);
        values.emplace_back(NameOf(item.name_off), value);
      }
    }
    return values;
  }

  /** Where the members of a struct or union belong. */
  struct Place {
    const std::string& owner;
    uint32_t base;
    int depth;
  };

  /** Members of anonymous structs and unions are the parent's own, as in C. `left`: how many more `owner` may have. */
  void AddMembers(const btf_type* type, const Place& place, uint32_t& left, std::vector<Member>& members) {
    if (place.depth > kMaxDepth) Fail(ELOOP, place.owner, "has too many anonymous members within each other");
    for (uint16_t i = 0; i < btf_vlen(type); ++i) {
      if (left-- == 0) Fail(E2BIG, place.owner, "has too many members");
      const btf_member& member = btf_members(type)[i];
      const std::string name = NameOf(member.name_off);
      const uint32_t bits = btf_member_bit_offset(type, i);
      if (btf_member_bitfield_size(type, i) != 0 || bits % 8 != 0) {
        Fail(EINVAL, place.owner + "." + name, "is a bit-field");
      }
      const uint32_t offset = place.base + bits / 8;
      if (!name.empty()) {
        members.push_back(Describe(place.owner, name, offset, member.type));
        continue;
      }
      const btf_type* inner = TypeOf(Resolve(member.type));
      if (!btf_is_composite(inner)) Fail(EINVAL, place.owner, "has a member without a name");
      AddMembers(inner, {place.owner, offset, place.depth + 1}, left, members);
    }
  }

  Member Describe(const std::string& owner, const std::string& name, uint32_t offset, uint32_t id) {
    const int64_t size = btf__resolve_size(btf_, id);
    const btf_type* type = TypeOf(id);
    if (size < 0) Fail(static_cast<int>(-size), owner + "." + name, "has no size");
    Member member{name, offset, static_cast<uint32_t>(size), {}, std::nullopt};
    // Through typedefs, so that a typedef of an array is seen; the element keeps its own name.
    const btf_type* resolved = TypeOf(Resolve(id));
    if (btf_is_array(resolved)) {
      member.elements = btf_array(resolved)->nelems;
      id = btf_array(resolved)->type;
      type = TypeOf(id);
      if (btf_is_array(TypeOf(Resolve(id)))) {
        Fail(EINVAL, owner + "." + name, "has more than one dimension");
      }
    }
    member.type = TypeName(type, id);
    const uint32_t target = Resolve(id);
    if (!NameOf(TypeOf(target)->name_off).empty()) Add(target);
    return member;
  }

  /** `__u32` for a typedef or an integer, `struct x`, `enum x`, `*` for pointers. */
  std::string TypeName(const btf_type* type, uint32_t id) {
    while (btf_is_mod(type)) {
      id = type->type;
      type = TypeOf(id);
    }
    const std::string name = NameOf(type->name_off);
    if (btf_is_ptr(type)) return "*";
    if (btf_is_struct(type)) return "struct " + name;
    if (btf_is_union(type)) return "union " + name;
    if (btf_is_any_enum(type)) return "enum " + name;
    return name;
  }

  uint32_t Resolve(uint32_t id) {
    const int resolved = btf__resolve_type(btf_, id);
    if (resolved < 0) Fail(-resolved, "type " + std::to_string(id), {});
    return static_cast<uint32_t>(resolved);
  }

  const btf* btf_;
  const std::string& object_;
  int depth_ = 0;
  std::set<std::string> seen_;
  std::vector<Struct> structs_;
  std::vector<Enum> enums_;
};

}  // namespace

BtfTypes ReadBtf(const btf* types, const std::string& object, const std::optional<std::vector<std::string>>& names) {
  BtfReader reader(types, object);
  reader.Read(names);
  return reader.Take();
}

}  // namespace omni
