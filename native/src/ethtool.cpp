// features(), setFeatures(): the ethtool ioctl (include/uapi/linux/ethtool.h).
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "args.h"
#include "error.h"
#include "exports.h"
#include "fd.h"
#include "guard.h"

namespace omni {
namespace {

/** What `ethtool -k` prints for groups of the kernel's features; `*` stands for any text. */
struct Group {
  const char* name;
  const char* prefix;
  const char* suffix;
};
constexpr std::array<Group, 12> kGroups = {{
    {"rx-checksumming", "rx-checksum", ""},
    {"tx-checksumming", "tx-checksum-", ""},
    {"scatter-gather", "tx-scatter-gather", ""},
    {"tcp-segmentation-offload", "tx-tcp", "-segmentation"},
    {"generic-segmentation-offload", "tx-generic-segmentation", ""},
    {"generic-receive-offload", "rx-gro", "rx-gro"},
    {"large-receive-offload", "rx-lro", ""},
    {"rx-vlan-offload", "rx-vlan-hw-parse", ""},
    {"tx-vlan-offload", "tx-vlan-hw-insert", ""},
    {"ntuple-filters", "rx-ntuple-filter", ""},
    {"receive-hashing", "rx-hashing", ""},
    {"udp-fragmentation-offload", "tx-udp-fragmentation", ""},
}};

struct State {
  bool active;
  /** The driver lets it be changed. */
  bool changeable;
};

class Ethtool {
 public:
  explicit Ethtool(std::string name) : name_(std::move(name)), fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (!fd_.valid()) ThrowErrno("socket", "AF_INET");
    ReadNames();
  }

  /** In the kernel's order. */
  const std::vector<std::string>& names() const { return names_; }

  std::vector<State> Read() {
    std::vector<uint32_t> buffer(sizeof(ethtool_gfeatures) / 4 + blocks() * sizeof(ethtool_get_features_block) / 4);
    auto* request = reinterpret_cast<ethtool_gfeatures*>(buffer.data());
    request->cmd = ETHTOOL_GFEATURES;
    request->size = static_cast<uint32_t>(blocks());
    Call("ETHTOOL_GFEATURES", buffer.data());
    std::vector<State> states;
    for (size_t i = 0; i < names_.size(); ++i) {
      const ethtool_get_features_block& block = request->features[i / 32];
      const uint32_t bit = uint32_t{1} << (i % 32);
      states.push_back({(block.active & bit) != 0, (block.available & bit) != 0 && (block.never_changed & bit) == 0});
    }
    return states;
  }

  /** By index in names(). */
  void Write(const std::map<size_t, bool>& features) {
    std::vector<uint32_t> buffer(sizeof(ethtool_sfeatures) / 4 + blocks() * sizeof(ethtool_set_features_block) / 4);
    auto* request = reinterpret_cast<ethtool_sfeatures*>(buffer.data());
    request->cmd = ETHTOOL_SFEATURES;
    request->size = static_cast<uint32_t>(blocks());
    for (const auto& [index, on] : features) {
      const uint32_t bit = uint32_t{1} << (index % 32);
      request->features[index / 32].valid |= bit;
      if (on) request->features[index / 32].requested |= bit;
    }
    Call("ETHTOOL_SFEATURES", buffer.data());
  }

 private:
  size_t blocks() const { return (names_.size() + 31) / 32; }

  void Call(const char* command, void* data) {
    ifreq request{};
    std::strncpy(request.ifr_name, name_.c_str(), IFNAMSIZ - 1);
    request.ifr_data = static_cast<char*>(data);
    if (ioctl(fd_.get(), SIOCETHTOOL, &request) < 0) ThrowErrno(command, name_);
  }

  void ReadNames() {
    std::array<uint32_t, sizeof(ethtool_sset_info) / 4 + 1> sizeBuffer{};
    auto* sizes = reinterpret_cast<ethtool_sset_info*>(sizeBuffer.data());
    sizes->cmd = ETHTOOL_GSSET_INFO;
    sizes->sset_mask = uint64_t{1} << ETH_SS_FEATURES;
    Call("ETHTOOL_GSSET_INFO", sizeBuffer.data());
    const uint32_t count = sizes->data[0];
    std::vector<uint8_t> buffer(sizeof(ethtool_gstrings) + size_t{count} * ETH_GSTRING_LEN);
    auto* strings = reinterpret_cast<ethtool_gstrings*>(buffer.data());
    strings->cmd = ETHTOOL_GSTRINGS;
    strings->string_set = ETH_SS_FEATURES;
    strings->len = count;
    Call("ETHTOOL_GSTRINGS", buffer.data());
    for (uint32_t i = 0; i < count; ++i) {
      const auto* text = reinterpret_cast<const char*>(strings->data + size_t{i} * ETH_GSTRING_LEN);
      names_.emplace_back(text, strnlen(text, ETH_GSTRING_LEN));
    }
  }

  std::string name_;
  Fd fd_;
  std::vector<std::string> names_;
};

/** The kernel's features that `name` stands for; a group's may be many. */
std::vector<size_t> Resolve(const std::vector<std::string>& names, const std::string& name) {
  const auto group = std::find_if(kGroups.begin(), kGroups.end(), [&](const Group& item) { return name == item.name; });
  std::vector<size_t> found;
  for (size_t i = 0; i < names.size(); ++i) {
    const bool member =
        group != kGroups.end() && names[i].starts_with(group->prefix) && names[i].ends_with(group->suffix);
    if (names[i] == name || member) found.push_back(i);
  }
  return found;
}

[[noreturn]] void Refuse(const std::string& link, const std::string& feature, const char* detail) {
  throw NativeError({.error = EOPNOTSUPP,
                     .syscall = "ETHTOOL_SFEATURES",
                     .object = link + " " + feature,
                     .log = {},
                     .detail = detail});
}

Napi::Value SetFeatures(const Napi::CallbackInfo& info) {
  Args args(info, "setFeatures");
  const std::string name = args.InterfaceName("name");
  const std::map<std::string, bool> features = args.FlagRecord("features");
  args.Done();

  Ethtool ethtool(name);
  const std::vector<State> before = ethtool.Read();
  std::map<size_t, bool> changes;
  for (const auto& [feature, on] : features) {
    const std::vector<size_t> members = Resolve(ethtool.names(), feature);
    if (members.empty()) args.Reject("features", "of features that the kernel knows ('" + feature + "' is none)");
    const bool anyChangeable =
        std::any_of(members.begin(), members.end(), [&](size_t i) { return before[i].changeable; });
    for (const size_t member : members) {
      if (before[member].changeable) {
        changes[member] = on;
      } else if (before[member].active != on && !anyChangeable) {
        Refuse(name, feature, "is fixed");
      }
    }
  }
  if (!changes.empty()) ethtool.Write(changes);
  const std::vector<State> after = ethtool.Read();
  for (const auto& [member, on] : changes) {
    if (after[member].active != on) Refuse(name, ethtool.names()[member], "was noted, but depends on another feature");
  }
  return info.Env().Undefined();
}

Napi::Value Features(const Napi::CallbackInfo& info) {
  Args args(info, "features");
  const std::string name = args.InterfaceName("name");
  args.Done();
  Ethtool ethtool(name);
  const std::vector<State> states = ethtool.Read();
  Napi::Object result = Napi::Object::New(info.Env());
  for (size_t i = 0; i < states.size(); ++i) {
    if (!ethtool.names()[i].empty()) result.Set(ethtool.names()[i], states[i].active);
  }
  return result;
}

}  // namespace

void ExportEthtool(Napi::Env env, Napi::Object exports) {
  Export<SetFeatures>(env, exports, "setFeatures");
  Export<Features>(env, exports, "features");
}

}  // namespace omni
