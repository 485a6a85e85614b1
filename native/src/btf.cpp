// Structs and enums of an object's BTF (docs.kernel.org/bpf/btf.html).
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "args.h"
#include "error.h"
#include "exports.h"
#include "guard.h"
#include "to_js.h"

namespace omni {
namespace {

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

class BtfReader {
 public:
  explicit BtfReader(std::string object) : object_(std::move(object)), btf_(btf__parse_elf(object_.c_str(), nullptr)) {
    if (btf_ == nullptr) ThrowErrno("btf__parse_elf", object_);
  }

  /** Without names: everything that is named. */
  void Read(const std::optional<std::vector<std::string>>& names) {
    if (names) {
      for (const std::string& name : *names) AddNamed(name);
      return;
    }
    for (uint32_t id = 1; id < btf__type_cnt(btf_.get()); ++id) {
      const btf_type* type = btf__type_by_id(btf_.get(), id);
      if (!NameOf(type->name_off).empty()) Add(id);
    }
  }

  const std::vector<Struct>& structs() const { return structs_; }
  const std::vector<Enum>& enums() const { return enums_; }

 private:
  struct FreeBtf {
    void operator()(btf* value) const { btf__free(value); }
  };

  [[noreturn]] void Fail(int error, const std::string& what, std::string detail) {
    throw NativeError({.error = error, .syscall = "BTF", .object = what, .log = {}, .detail = std::move(detail)});
  }

  std::string NameOf(uint32_t offset) const {
    const char* name = btf__name_by_offset(btf_.get(), offset);
    return name != nullptr ? name : "";
  }

  void AddNamed(const std::string& name) {
    for (const uint32_t kind : {uint32_t{BTF_KIND_STRUCT}, uint32_t{BTF_KIND_ENUM}, uint32_t{BTF_KIND_ENUM64}}) {
      const int id = btf__find_by_name_kind(btf_.get(), name.c_str(), kind);
      if (id > 0) return Add(static_cast<uint32_t>(id));
    }
    Fail(ENOENT, name, "no such struct or enum in the BTF of " + object_);
  }

  void Add(uint32_t id) {
    const btf_type* type = btf__type_by_id(btf_.get(), id);
    const std::string name = NameOf(type->name_off);
    if (!btf_is_struct(type) && !btf_is_any_enum(type)) return;
    if (!seen_.insert(name).second) return;
    if (btf_is_any_enum(type)) {
      enums_.push_back({name, EnumValues(type)});
      return;
    }
    std::vector<Member> members;
    AddMembers(type, name, 0, members);
    structs_.push_back({name, type->size, std::move(members)});
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

  /** Members of anonymous structs and unions are the parent's own, as in C. */
  void AddMembers(const btf_type* type, const std::string& owner, uint32_t base, std::vector<Member>& members) {
    for (uint16_t i = 0; i < btf_vlen(type); ++i) {
      const btf_member& member = btf_members(type)[i];
      const std::string name = NameOf(member.name_off);
      const uint32_t bits = btf_member_bit_offset(type, i);
      if (btf_member_bitfield_size(type, i) != 0 || bits % 8 != 0) Fail(EINVAL, owner + "." + name, "is a bit-field");
      const uint32_t offset = base + bits / 8;
      if (name.empty()) {
        AddMembers(btf__type_by_id(btf_.get(), Resolve(member.type)), owner, offset, members);
      } else {
        members.push_back(Describe(owner, name, offset, member.type));
      }
    }
  }

  Member Describe(const std::string& owner, const std::string& name, uint32_t offset, uint32_t id) {
    const int64_t size = btf__resolve_size(btf_.get(), id);
    const btf_type* type = btf__type_by_id(btf_.get(), id);
    if (size < 0) Fail(static_cast<int>(-size), owner + "." + name, "has no size");
    Member member{name, offset, static_cast<uint32_t>(size), {}, std::nullopt};
    // Through typedefs, so that a typedef of an array is seen; the element keeps its own name.
    const btf_type* resolved = btf__type_by_id(btf_.get(), Resolve(id));
    if (btf_is_array(resolved)) {
      member.elements = btf_array(resolved)->nelems;
      id = btf_array(resolved)->type;
      type = btf__type_by_id(btf_.get(), id);
      if (btf_is_array(btf__type_by_id(btf_.get(), Resolve(id)))) {
        Fail(EINVAL, owner + "." + name, "has more than one dimension");
      }
    }
    member.type = TypeName(type, id);
    const uint32_t target = Resolve(id);
    if (!NameOf(btf__type_by_id(btf_.get(), target)->name_off).empty()) Add(target);
    return member;
  }

  /** `__u32` for a typedef or an integer, `struct x`, `enum x`, `*` for pointers. */
  std::string TypeName(const btf_type* type, uint32_t id) {
    while (btf_is_mod(type)) {
      id = type->type;
      type = btf__type_by_id(btf_.get(), id);
    }
    const std::string name = NameOf(type->name_off);
    if (btf_is_ptr(type)) return "*";
    if (btf_is_struct(type)) return "struct " + name;
    if (btf_is_union(type)) return "union " + name;
    if (btf_is_any_enum(type)) return "enum " + name;
    return name;
  }

  uint32_t Resolve(uint32_t id) {
    const int resolved = btf__resolve_type(btf_.get(), id);
    if (resolved < 0) Fail(-resolved, "type " + std::to_string(id), {});
    return static_cast<uint32_t>(resolved);
  }

  std::string object_;
  std::unique_ptr<btf, FreeBtf> btf_;
  std::set<std::string> seen_;
  std::vector<Struct> structs_;
  std::vector<Enum> enums_;
};

Napi::Object ToJs(Napi::Env env, const Struct& source) {
  Napi::Array members = Napi::Array::New(env, source.members.size());
  for (size_t i = 0; i < source.members.size(); ++i) {
    const Member& member = source.members[i];
    Napi::Object item = Napi::Object::New(env);
    item.Set("name", member.name);
    item.Set("offset", Napi::Number::New(env, member.offset));
    item.Set("size", Napi::Number::New(env, member.size));
    item.Set("type", member.type);
    if (member.elements) item.Set("elements", Napi::Number::New(env, *member.elements));
    members.Set(static_cast<uint32_t>(i), item);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("name", source.name);
  result.Set("size", Napi::Number::New(env, source.size));
  result.Set("members", members);
  return result;
}

Napi::Object ToJs(Napi::Env env, const Enum& source) {
  Napi::Object values = Napi::Object::New(env);
  for (const auto& [name, value] : source.values) values.Set(name, Napi::Number::New(env, value));
  Napi::Object result = Napi::Object::New(env);
  result.Set("name", source.name);
  result.Set("values", values);
  return result;
}

Napi::Value BtfTypes(const Napi::CallbackInfo& info) {
  Args args(info, "btfTypes");
  const std::string object = args.Path("object");
  std::optional<std::vector<std::string>> names;
  if (args.Has("names")) names = args.TextList("names");
  args.Done();
  BtfReader reader(object);
  reader.Read(names);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("structs", ToJsArray<Struct>(info.Env(), reader.structs(), ToJs));
  result.Set("enums", ToJsArray<Enum>(info.Env(), reader.enums(), ToJs));
  return result;
}

}  // namespace

void ExportBtf(Napi::Env env, Napi::Object exports) { Export<BtfTypes>(env, exports, "btfTypes"); }

}  // namespace omni
