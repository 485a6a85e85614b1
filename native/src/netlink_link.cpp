// links()
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

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

Napi::Object ToJs(Napi::Env env, const LinkRecord& link) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("ifindex", Napi::Number::New(env, link.ifindex));
  result.Set("name", link.name);
  result.Set("kind", link.kind);
  result.Set("mac", link.mac);
  result.Set("mtu", Napi::Number::New(env, link.mtu));
  result.Set("maxMtu", Napi::Number::New(env, link.maxMtu));
  result.Set("up", (link.flags & IFF_UP) != 0);
  result.Set("running", (link.flags & IFF_RUNNING) != 0);
  result.Set("loopback", (link.flags & IFF_LOOPBACK) != 0);
  result.Set("alias", link.alias);
  result.Set("link", Napi::Number::New(env, link.link));
  result.Set("xdpProgramId", Napi::Number::New(env, link.xdpProgramId));
  result.Set("xdpMode", link.xdpMode);
  result.Set("addrGenMode", Napi::Number::New(env, link.addrGenMode));
  result.Set("numRxQueues", Napi::Number::New(env, link.rxQueues));
  return result;
}

std::vector<LinkRecord> ReadAll() {
  NetlinkRequest request(RTM_GETLINK, 0);
  request.Extra<ifinfomsg>();
  request.PutU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  std::vector<LinkRecord> links;
  NetlinkSocket().Dump(
      request, "RTM_GETLINK", [&] { links.clear(); },
      [&](const nlmsghdr* message) {
        if (message->nlmsg_type == RTM_NEWLINK) links.push_back(DecodeLink(message));
      });
  return links;
}

/** One by index, or by name if that is 0. None: there is no such link. */
std::vector<LinkRecord> ReadOne(int ifindex, const std::string& name) {
  NetlinkRequest request(RTM_GETLINK, 0);
  request.Extra<ifinfomsg>().ifi_index = ifindex;
  if (ifindex == 0) request.PutText(IFLA_IFNAME, name);
  request.PutU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  std::vector<LinkRecord> links;
  try {
    const std::string object = ifindex == 0 ? name : "ifindex " + std::to_string(ifindex);
    NetlinkSocket().Query(request, "RTM_GETLINK", object,
                          [&](const nlmsghdr* message) { links.push_back(DecodeLink(message)); });
  } catch (const NativeError& error) {
    if (error.failure().error != ENODEV) throw;
  }
  return links;
}

Napi::Value Links(const Napi::CallbackInfo& info) {
  Args args(info, "links");
  const bool byIndex = args.Has("ifindex");
  const bool byName = args.Has("name");
  if (byIndex && byName) args.Reject("name", "absent where 'ifindex' is given");
  const int ifindex = byIndex ? args.Ifindex("ifindex") : 0;
  const std::string name = byName ? args.InterfaceName("name") : "";
  args.Done();
  const std::vector<LinkRecord> links = byIndex || byName ? ReadOne(ifindex, name) : ReadAll();
  return ToJsArray(info.Env(), links, ToJs);
}

}  // namespace

void ExportLinks(Napi::Env env, Napi::Object exports) { Export<Links>(env, exports, "links"); }

}  // namespace omni
