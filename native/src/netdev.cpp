// xdpFeatures(): generic netlink family `netdev` (linux/netdev.h, Documentation/netlink/specs/netdev.yaml).
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>

#include "args.h"
#include "error.h"
#include "exports.h"
#include "guard.h"
#include "netlink.h"
#include "netlink_decode.h"

namespace omni {
namespace {

// linux/netdev.h came with 6.3; the headers of older systems lack it.
constexpr const char* kFamily = "netdev";
constexpr uint8_t kVersion = 1;
constexpr uint8_t kDevGet = 1;
constexpr uint16_t kDevIfindex = 1;

/** The number that the family has until the next boot; none: this kernel does not know it. */
std::optional<uint16_t> FamilyId(NetlinkSocket& socket) {
  NetlinkRequest request(GENL_ID_CTRL, 0);
  request.Extra<genlmsghdr>() = {.cmd = CTRL_CMD_GETFAMILY, .version = 2, .reserved = 0};
  request.PutText(CTRL_ATTR_FAMILY_NAME, kFamily);
  std::optional<uint16_t> id;
  try {
    socket.Query(request, "CTRL_CMD_GETFAMILY", kFamily,
                 [&](const nlmsghdr* message) { id = DecodeFamilyId(message); });
  } catch (const NativeError& error) {
    if (error.failure().error != ENOENT) throw;
  }
  return id;
}

std::optional<uint64_t> ReadXdpFeatures(int ifindex) {
  NetlinkSocket socket(0, NETLINK_GENERIC);
  const std::optional<uint16_t> family = FamilyId(socket);
  if (!family) return std::nullopt;
  NetlinkRequest request(*family, 0);
  request.Extra<genlmsghdr>() = {.cmd = kDevGet, .version = kVersion, .reserved = 0};
  request.PutU32(kDevIfindex, static_cast<uint32_t>(ifindex));
  std::optional<uint64_t> features;
  socket.Query(request, "NETDEV_CMD_DEV_GET", "ifindex " + std::to_string(ifindex),
               [&](const nlmsghdr* message) { features = DecodeXdpFeatures(message); });
  return features;
}

Napi::Value XdpFeatures(const Napi::CallbackInfo& info) {
  Args args(info, "xdpFeatures");
  const int ifindex = args.Ifindex("ifindex");
  args.Done();
  const std::optional<uint64_t> features = ReadXdpFeatures(ifindex);
  if (!features) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), static_cast<double>(*features));
}

}  // namespace

void ExportNetdev(Napi::Env env, Napi::Object exports) { Export<XdpFeatures>(env, exports, "xdpFeatures"); }

}  // namespace omni
