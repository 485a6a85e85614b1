// neighbours(), neighbour()
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "args.h"
#include "error.h"
#include "exports.h"
#include "guard.h"
#include "netlink.h"
#include "netlink_decode.h"
#include "to_js.h"

namespace omni {
namespace {

Napi::Object ToJs(Napi::Env env, const NeighbourRecord& neighbour) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("ifindex", Napi::Number::New(env, neighbour.ifindex));
  result.Set("address", neighbour.address);
  result.Set("mac", neighbour.mac);
  result.Set("state", Napi::Number::New(env, neighbour.state));
  result.Set("protocol", Napi::Number::New(env, neighbour.protocol));
  return result;
}

/** Of IPv4 and IPv6. `ifindex` 0: of all links. */
std::vector<NeighbourRecord> ReadNeighbours(int ifindex) {
  NetlinkRequest request(RTM_GETNEIGH, 0);
  request.Extra<ndmsg>();
  if (ifindex != 0) request.PutU32(NDA_IFINDEX, static_cast<uint32_t>(ifindex));
  std::vector<NeighbourRecord> neighbours;
  NetlinkSocket().Dump(
      request, "RTM_GETNEIGH", [&] { neighbours.clear(); },
      [&](const nlmsghdr* message) {
        if (message->nlmsg_type != RTM_NEWNEIGH) return;
        NeighbourRecord record = DecodeNeighbour(message);
        if (!record.address.empty()) neighbours.push_back(std::move(record));
      });
  return neighbours;
}

Napi::Value Neighbours(const Napi::CallbackInfo& info) {
  Args args(info, "neighbours");
  const int ifindex = args.Has("ifindex") ? args.Ifindex("ifindex") : 0;
  args.Done();
  return ToJsArray(info.Env(), ReadNeighbours(ifindex), ToJs);
}

struct Target {
  int ifindex;
  IpAddress address;

  std::string text() const { return IpText(address.family, address.bytes.data(), address.size()); }
};

Target ReadTarget(Args& args) {
  const int ifindex = args.Ifindex("ifindex");
  return {ifindex, args.Ip("address")};
}

void PutTarget(NetlinkRequest& request, const Target& target) {
  auto& header = request.Extra<ndmsg>();
  header.ndm_family = static_cast<uint8_t>(target.address.family);
  header.ndm_ifindex = target.ifindex;
  request.PutIp(NDA_DST, target.address);
}

/** One look-up in the kernel's hash table, whatever its size. */
std::optional<NeighbourRecord> ReadNeighbour(const Target& target) {
  NetlinkRequest request(RTM_GETNEIGH, 0);
  PutTarget(request, target);
  std::optional<NeighbourRecord> neighbour;
  try {
    NetlinkSocket().Query(request, "RTM_GETNEIGH", target.text(),
                          [&](const nlmsghdr* message) { neighbour = DecodeNeighbour(message); });
  } catch (const NativeError& error) {
    const int code = error.failure().error;
    // ENODEV: no such link. EAFNOSUPPORT: a kernel without IPv6 has no table for it.
    if (code != ENOENT && code != ENODEV && code != EAFNOSUPPORT) throw;
  }
  return neighbour;
}

Napi::Value Neighbour(const Napi::CallbackInfo& info) {
  Args args(info, "neighbour");
  const Target target = ReadTarget(args);
  args.Done();
  const std::optional<NeighbourRecord> neighbour = ReadNeighbour(target);
  if (!neighbour) return info.Env().Undefined();
  return ToJs(info.Env(), *neighbour);
}

}  // namespace

void ExportNeighbours(Napi::Env env, Napi::Object exports) {
  Export<Neighbours>(env, exports, "neighbours");
  Export<Neighbour>(env, exports, "neighbour");
}

}  // namespace omni
