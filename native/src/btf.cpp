// btfTypes()
#include <bpf/btf.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "args.h"
#include "btf_reader.h"
#include "error.h"
#include "exports.h"
#include "guard.h"
#include "to_js.h"

namespace omni {
namespace {

struct FreeBtf {
  void operator()(btf* value) const { btf__free(value); }
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

Napi::Value ReadTypes(const Napi::CallbackInfo& info) {
  Args args(info, "btfTypes");
  const std::string object = args.Path("object");
  std::optional<std::vector<std::string>> names;
  if (args.Has("names")) names = args.TextList("names");
  args.Done();
  const std::unique_ptr<btf, FreeBtf> parsed(btf__parse_elf(object.c_str(), nullptr));
  if (parsed == nullptr) ThrowErrno("btf__parse_elf", object);
  const BtfTypes types = ReadBtf(parsed.get(), object, names);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("structs", ToJsArray<Struct>(info.Env(), types.structs, ToJs));
  result.Set("enums", ToJsArray<Enum>(info.Env(), types.enums, ToJs));
  return result;
}

}  // namespace

void ExportBtf(Napi::Env env, Napi::Object exports) { Export<ReadTypes>(env, exports, "btfTypes"); }

}  // namespace omni
