// class BpfMap
#include "bpf_map.h"

#include <cstring>
#include <optional>

#include "args.h"
#include "error.h"
#include "exports.h"
#include "guard.h"
#include "map_tracker.h"

namespace omni {
namespace {

Napi::Value ToJs(Napi::Env env, const std::optional<Bytes>& value) {
  if (!value) return env.Undefined();
  return Napi::Buffer<uint8_t>::Copy(env, value->data(), value->size());
}

class BpfMap : public Wrapped<BpfMap> {
 public:
  static constexpr napi_type_tag kTypeTag = {0x6f6d6e692d6d6170, 0x5f3b1c8e2d7a4906};

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "BpfMap",
        {Expose<&BpfMap::Lookup>("lookup"), Expose<&BpfMap::Update>("update"), Expose<&BpfMap::Delete>("delete"),
         Expose<&BpfMap::Take>("take"), Expose<&BpfMap::Entries>("entries"),
         Expose<&BpfMap::UpdateBatch>("updateBatch"), Expose<&BpfMap::Track>("track"),
         Expose<&BpfMap::ForeignChanges>("foreignChanges"), Expose<&BpfMap::Close>("close")});
  }

  explicit BpfMap(const Napi::CallbackInfo& info) : Wrapped(info) {
    Guard(info.Env(), [&] {
      Args args(info, "BpfMap");
      const std::string pin = args.Path("pin");
      args.Done();
      map_.emplace(pin);
      DefineInfo(info);
    });
  }

  Napi::Value Lookup(const Napi::CallbackInfo& info) {
    Args args(info, "BpfMap.lookup");
    const Bytes key = Key(args);
    const bool lock = args.Has("lock") && args.Flag("lock");
    args.Done();
    return ToJs(info.Env(), Open("bpf(BPF_MAP_LOOKUP_ELEM)").Lookup(key, lock));
  }

  Napi::Value Update(const Napi::CallbackInfo& info) {
    Args args(info, "BpfMap.update");
    const Bytes key = Key(args);
    const Bytes value = Sized(args, "value", map_->valueSize());
    const std::string mode = args.Has("mode") ? args.Text("mode", 16) : "any";
    uint64_t flags = BPF_ANY;
    if (mode == "create") {
      flags = BPF_NOEXIST;
    } else if (mode == "replace") {
      flags = BPF_EXIST;
    } else if (mode != "any") {
      args.Reject("mode", "'any', 'create' or 'replace'");
    }
    if (args.Has("lock") && args.Flag("lock")) flags |= BPF_F_LOCK;
    args.Done();
    Open("bpf(BPF_MAP_UPDATE_ELEM)").Update(key.data(), value.data(), flags);
    if (tracker_) tracker_->Wrote(key.data(), value.data());
    return info.Env().Undefined();
  }

  Napi::Value Delete(const Napi::CallbackInfo& info) {
    Args args(info, "BpfMap.delete");
    const Bytes key = Key(args);
    args.Done();
    const bool deleted = Open("bpf(BPF_MAP_DELETE_ELEM)").Delete(key);
    if (tracker_) tracker_->Deleted(key.data());
    return Napi::Boolean::New(info.Env(), deleted);
  }

  Napi::Value Take(const Napi::CallbackInfo& info) {
    Args args(info, "BpfMap.take");
    const Bytes key = Key(args);
    args.Done();
    const std::optional<Bytes> value = Open("bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM)").Take(key);
    if (tracker_) tracker_->Deleted(key.data());
    return ToJs(info.Env(), value);
  }

  Napi::Value Entries(const Napi::CallbackInfo& info) {
    NoArgs(info, "BpfMap.entries");
    const MapHandle::Entries entries = Open("bpf(BPF_MAP_LOOKUP_BATCH)").ReadAll();
    Napi::Env env = info.Env();
    Napi::Object result = Napi::Object::New(env);
    result.Set("count", Napi::Number::New(env, entries.count));
    result.Set("keys", Napi::Buffer<uint8_t>::Copy(env, entries.keys.data(), entries.keys.size()));
    result.Set("values", Napi::Buffer<uint8_t>::Copy(env, entries.values.data(), entries.values.size()));
    return result;
  }

  Napi::Value UpdateBatch(const Napi::CallbackInfo& info) {
    Args args(info, "BpfMap.updateBatch");
    const uint32_t count = args.Integer("count", 0, UINT32_MAX);
    const Bytes keys = Sized(args, "keys", size_t{count} * map_->info().key_size);
    const Bytes values = Sized(args, "values", size_t{count} * map_->valueSize());
    args.Done();
    Open("bpf(BPF_MAP_UPDATE_BATCH)").UpdateAll(count, keys, values);
    for (uint32_t at = 0; tracker_ && at < count; ++at) {
      tracker_->Wrote(keys.data() + size_t{at} * map_->info().key_size, values.data() + at * map_->valueSize());
    }
    return info.Env().Undefined();
  }

  Napi::Value Track(const Napi::CallbackInfo& info) {
    Args args(info, "BpfMap.track");
    const Bytes mask = Sized(args, "mask", map_->valueSize());
    args.Done();
    tracker_.emplace(Open("bpf(BPF_MAP_LOOKUP_BATCH)"), mask);
    return info.Env().Undefined();
  }

  Napi::Value ForeignChanges(const Napi::CallbackInfo& info) {
    NoArgs(info, "BpfMap.foreignChanges");
    if (!tracker_) throw Napi::TypeError::New(info.Env(), "BpfMap.foreignChanges: the map is not tracked");
    const MapChanges changes = tracker_->Compare(Open("bpf(BPF_MAP_LOOKUP_BATCH)"));
    Napi::Env env = info.Env();
    Napi::Object result = Napi::Object::New(env);
    const auto set = [&](const char* name, const std::string& keys) {
      result.Set(name, Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t*>(keys.data()), keys.size()));
    };
    set("added", changes.added);
    set("changed", changes.changed);
    set("removed", changes.removed);
    return result;
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    NoArgs(info, "BpfMap.close");
    map_->Close();
    tracker_.reset();
    return info.Env().Undefined();
  }

 private:
  void DefineInfo(const Napi::CallbackInfo& info) {
    const bpf_map_info& record = map_->info();
    Napi::Env env = info.Env();
    Napi::Object result = Napi::Object::New(env);
    result.Set("id", Napi::Number::New(env, record.id));
    result.Set("type", Napi::Number::New(env, record.type));
    result.Set("keySize", Napi::Number::New(env, record.key_size));
    result.Set("valueSize", Napi::Number::New(env, record.value_size));
    result.Set("maxEntries", Napi::Number::New(env, record.max_entries));
    result.Set("flags", Napi::Number::New(env, record.map_flags));
    result.Set("name", std::string(record.name, strnlen(record.name, sizeof(record.name))));
    info.This().As<Napi::Object>().DefineProperty(Napi::PropertyDescriptor::Value("info", result, napi_enumerable));
  }

  static Bytes Sized(Args& args, const char* key, size_t size) {
    Bytes bytes = args.Data(key);
    if (bytes.size() != size)
      args.Reject(key, "of " + std::to_string(size) + " bytes, not " + std::to_string(bytes.size()));
    return bytes;
  }

  Bytes Key(Args& args) { return Sized(args, "key", map_->info().key_size); }

  MapHandle& Open(const char* syscall) {
    if (!map_->open()) ThrowError(EBADF, syscall, map_->pin());
    return *map_;
  }

  // Always set after construction.
  std::optional<MapHandle> map_;
  std::optional<MapTracker> tracker_;
};

}  // namespace

void ExportBpfMap(Napi::Env env, Napi::Object exports) { exports.Set("BpfMap", BpfMap::Define(env)); }

}  // namespace omni
