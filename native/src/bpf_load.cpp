// 1. open   2. .rodata   3. maps: reuse what is pinned, size and pin the rest   4. load   5. pin programs
#include "bpf_load.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <regex>

#include "bpf_pin.h"
#include "error.h"
#include "libbpf_log.h"

namespace omni {
namespace {

constexpr uint32_t kVerifierStats = 4;
constexpr size_t kStatsLogBytes = 64 * 1024;
/** A refused program of a million states logs hundreds of megabytes; the reason is at the end. */
constexpr size_t kMaxLogBytes = 256 * 1024;

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using ObjectPtr = std::unique_ptr<bpf_object, CloseObject>;

std::string Tail(const std::string& log) {
  if (log.size() <= kMaxLogBytes) return log;
  return "… (the first " + std::to_string(log.size() - kMaxLogBytes) + " bytes left out)\n" +
         log.substr(log.size() - kMaxLogBytes);
}

[[noreturn]] void Fail(int error, std::string syscall, std::string object, std::string detail, std::string log = {}) {
  throw NativeError({.error = error,
                     .syscall = std::move(syscall),
                     .object = std::move(object),
                     .log = Tail(log),
                     .detail = std::move(detail)});
}

void RequireBpffs(const std::string& path) {
  struct statfs info{};
  if (statfs(path.c_str(), &info) != 0) ThrowErrno("statfs", path);
  if (info.f_type != BPF_FS_MAGIC) Fail(EINVAL, "statfs", path, "is not on a bpf file system");
}

ObjectPtr Open(const LoadRequest& request, const LogCapture& log) {
  ObjectPtr object(bpf_object__open_file(request.object.c_str(), nullptr));
  if (object == nullptr) Fail(errno, "bpf_object__open", request.object, {}, log.text());
  return object;
}

/** One variable's place in an internal map's initial value. */
struct Variable {
  bpf_map* map;
  uint32_t offset;
  uint32_t size;
};

std::optional<Variable> FindReadOnlyVariable(bpf_object* object, const std::string& name) {
  const btf* types = bpf_object__btf(object);
  if (types == nullptr) return std::nullopt;
  for (uint32_t id = 1; id < btf__type_cnt(types); ++id) {
    const btf_type* section = btf__type_by_id(types, id);
    const char* sectionName = btf__name_by_offset(types, section->name_off);
    if (!btf_is_datasec(section) || std::strncmp(sectionName, ".rodata", 7) != 0) continue;
    for (uint16_t i = 0; i < btf_vlen(section); ++i) {
      const btf_var_secinfo& item = btf_var_secinfos(section)[i];
      const btf_type* variable = btf__type_by_id(types, item.type);
      if (name != btf__name_by_offset(types, variable->name_off)) continue;
      bpf_map* map = bpf_object__find_map_by_name(object, sectionName);
      if (map == nullptr) return std::nullopt;
      return Variable{map, item.offset, item.size};
    }
  }
  return std::nullopt;
}

void PatchReadOnly(bpf_object* object, const LoadRequest& request) {
  for (const auto& [name, bytes] : request.rodata) {
    const auto variable = FindReadOnlyVariable(object, name);
    if (!variable) Fail(ENOENT, "rodata", name, "no such variable in .rodata of " + request.object);
    if (variable->size != bytes.size()) {
      Fail(EINVAL, "rodata", name,
           "has " + std::to_string(variable->size) + " bytes, not " + std::to_string(bytes.size()));
    }
    size_t size = 0;
    // libbpf hands out its own copy of the section and loads it as it then is.
    auto* initial = static_cast<uint8_t*>(const_cast<void*>(bpf_map__initial_value(variable->map, &size)));
    if (initial == nullptr || variable->offset + bytes.size() > size)
      Fail(EINVAL, "rodata", name, "is outside of its section");
    std::memcpy(initial + variable->offset, bytes.data(), bytes.size());
  }
}

/** Empty: what is pinned can serve as `map`. Never max_entries: a pinned map keeps its own. */
std::string Incompatibility(const bpf_map* map, const bpf_map_info& pinned) {
  std::string text;
  const auto compare = [&text](const char* what, uint64_t wanted, uint64_t found) {
    if (wanted == found) return;
    text += (text.empty() ? "" : ", ") + std::string(what) + " " + std::to_string(found) + " instead of " +
            std::to_string(wanted);
  };
  compare("type", bpf_map__type(map), pinned.type);
  compare("key size", bpf_map__key_size(map), pinned.key_size);
  compare("value size", bpf_map__value_size(map), pinned.value_size);
  // The kernel adds this flag to device maps by itself.
  const bool deviceMap = pinned.type == BPF_MAP_TYPE_DEVMAP || pinned.type == BPF_MAP_TYPE_DEVMAP_HASH;
  const uint32_t ignored = deviceMap ? uint32_t{BPF_F_RDONLY_PROG} : 0;
  compare("flags", bpf_map__map_flags(map) & ~ignored, pinned.map_flags & ~ignored);
  compare("map_extra", bpf_map__map_extra(map), pinned.map_extra);
  return text;
}

void PrepareMap(bpf_map* map, const LoadRequest& request) {
  const std::string name = bpf_map__name(map);
  const std::string path = request.pinMaps + "/" + name;
  if (const auto entries = request.maxEntries.find(name); entries != request.maxEntries.end()) {
    const int error = bpf_map__set_max_entries(map, entries->second);
    if (error != 0) ThrowError(-error, "bpf_map__set_max_entries", name);
  }
  const auto pinned = OpenPinIfPresent(path, PinKind::kMap);
  // A reused map gets none: libbpf would compare its max_entries, and a failed load would unpin it.
  const int pathError = bpf_map__set_pin_path(map, pinned ? nullptr : path.c_str());
  if (pathError != 0) ThrowError(-pathError, "bpf_map__set_pin_path", path);
  if (!pinned) return;
  const std::string differs = Incompatibility(map, MapInfoOf(pinned->get(), path));
  if (!differs.empty()) Fail(EINVAL, "reuse", name, "the map pinned at " + path + " has " + differs);
  const int error = bpf_map__reuse_fd(map, pinned->get());
  if (error != 0) ThrowError(-error, "bpf_map__reuse_fd", path);
}

void PrepareMaps(bpf_object* object, const LoadRequest& request) {
  for (const auto& [name, entries] : request.maxEntries) {
    const bpf_map* map = bpf_object__find_map_by_name(object, name.c_str());
    if (map == nullptr) Fail(ENOENT, "maxEntries", name, "no such map in " + request.object);
  }
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (!bpf_map__is_internal(map)) PrepareMap(map, request);
  }
}

/** The program that libbpf says it could not load, else the object. */
std::string RefusedProgram(const std::string& log, const std::string& object) {
  static const std::regex pattern("prog '([^']+)': BPF program load failed");
  std::smatch match;
  return std::regex_search(log, match, pattern) ? match[1].str() : object;
}

class StatsLogs {
 public:
  explicit StatsLogs(bpf_object* object) {
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object) {
      std::string& buffer = logs_[bpf_program__name(program)];
      buffer.assign(kStatsLogBytes, '\0');
      int error = bpf_program__set_log_level(program, kVerifierStats);
      if (error == 0) error = bpf_program__set_log_buf(program, buffer.data(), buffer.size());
      if (error != 0) ThrowError(-error, "bpf_program__set_log_buf", bpf_program__name(program));
    }
  }

  std::string text() const {
    std::string result;
    for (const auto& [name, buffer] : logs_) {
      const std::string log = buffer.c_str();
      if (!log.empty()) result += name + ":\n" + log;
    }
    return result;
  }

 private:
  std::map<std::string, std::string> logs_;
};

LoadedProgram Describe(const bpf_program* program) {
  const std::string name = bpf_program__name(program);
  const ProgramRecord record = ProgramInfoOf(bpf_program__fd(program), name);
  return {.name = name,
          .id = record.info.id,
          .tag = record.tag,
          .instructions = static_cast<uint32_t>(record.info.xlated_prog_len / sizeof(bpf_insn)),
          .jitedBytes = record.info.jited_prog_len,
          .verifiedInstructions = record.info.verified_insns};
}

/** Maps that this load pinned, until it succeeded as a whole. */
class NewPins {
 public:
  explicit NewPins(bpf_object* object) : object_(object) {}
  NewPins(const NewPins&) = delete;
  NewPins& operator=(const NewPins&) = delete;
  ~NewPins() {
    if (object_ == nullptr) return;
    bpf_map* map = nullptr;
    // Reused maps have no pin path here: they are not ours to unpin.
    bpf_object__for_each_map(map, object_) {
      if (bpf_map__is_pinned(map) && bpf_map__pin_path(map) != nullptr) bpf_map__unpin(map, nullptr);
    }
  }
  void Keep() { object_ = nullptr; }

 private:
  bpf_object* object_;
};

}  // namespace

LoadResult LoadObject(const LoadRequest& request) {
  LogCapture log;
  RequireBpffs(request.pinMaps);
  const ObjectPtr object = Open(request, log);
  for (const auto& [name, path] : request.pinPrograms) {
    if (bpf_object__find_program_by_name(object.get(), name.c_str()) == nullptr) {
      Fail(ENOENT, "pinPrograms", name, "no such program in " + request.object);
    }
  }
  PatchReadOnly(object.get(), request);
  PrepareMaps(object.get(), request);
  std::optional<StatsLogs> stats;
  if (request.stats) stats.emplace(object.get());

  NewPins pins(object.get());
  const int error = bpf_object__load(object.get());
  if (error != 0) {
    const std::string refused = RefusedProgram(log.text(), request.object);
    const char* syscall = refused == request.object ? "bpf_object__load" : "bpf(BPF_PROG_LOAD)";
    Fail(-error, syscall, refused, {}, log.text() + (stats ? stats->text() : ""));
  }
  LoadResult result;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object.get()) result.programs.push_back(Describe(program));
  for (const auto& [name, path] : request.pinPrograms) {
    ReplacePin(bpf_program__fd(bpf_object__find_program_by_name(object.get(), name.c_str())), path);
  }
  pins.Keep();
  result.log = Tail(log.text() + (stats ? stats->text() : ""));
  return result;
}

}  // namespace omni
