// neighbours()
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
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

}  // namespace

void ExportNeighbours(Napi::Env env, Napi::Object exports) { Export<Neighbours>(env, exports, "neighbours"); }

}  // namespace omni
