// routes(), replaceRoute(), deleteRoute(), lookupRoute()
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
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

Napi::Object ToJs(Napi::Env env, const RouteRecord& route) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("family", Napi::Number::New(env, route.family == AF_INET ? 4 : 6));
  result.Set("destination", route.destination);
  result.Set("oif", Napi::Number::New(env, route.oif));
  result.Set("gateway", route.gateway);
  result.Set("protocol", Napi::Number::New(env, route.protocol));
  result.Set("scope", Napi::Number::New(env, route.scope));
  result.Set("table", Napi::Number::New(env, route.table));
  result.Set("prefSource", route.prefSource);
  result.Set("metric", Napi::Number::New(env, route.metric));
  result.Set("type", Napi::Number::New(env, route.type));
  return result;
}

/** Of the main table; 0: any. The kernel filters, and so do we where it has no such table or family to filter. */
std::vector<RouteRecord> ReadRoutes(int family, uint8_t protocol, int oif) {
  NetlinkRequest request(RTM_GETROUTE, 0);
  auto& header = request.Extra<rtmsg>();
  header.rtm_family = static_cast<uint8_t>(family);
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = protocol;
  if (oif != 0) request.PutU32(RTA_OIF, static_cast<uint32_t>(oif));
  std::vector<RouteRecord> routes;
  try {
    NetlinkSocket().Dump(
        request, "RTM_GETROUTE", [&] { routes.clear(); },
        [&](const nlmsghdr* message) {
          if (message->nlmsg_type != RTM_NEWROUTE) return;
          RouteRecord route = DecodeRoute(message);
          const bool wanted = route.family == family && route.table == RT_TABLE_MAIN &&
                              (protocol == 0 || route.protocol == protocol) &&
                              (oif == 0 || route.oif == static_cast<uint32_t>(oif));
          if (wanted) routes.push_back(std::move(route));
        });
  } catch (const NativeError& error) {
    // ENOENT: a table that never had a route. ENODEV: no such oif.
    if (error.failure().error != ENOENT && error.failure().error != ENODEV) throw;
  }
  return routes;
}

Napi::Value Routes(const Napi::CallbackInfo& info) {
  Args args(info, "routes");
  const uint32_t protocol = args.Has("protocol") ? args.Integer("protocol", 0, UINT8_MAX) : 0;
  const int oif = args.Has("oif") ? args.Ifindex("oif") : 0;
  args.Done();
  std::vector<RouteRecord> routes = ReadRoutes(AF_INET, static_cast<uint8_t>(protocol), oif);
  const std::vector<RouteRecord> inet6 = ReadRoutes(AF_INET6, static_cast<uint8_t>(protocol), oif);
  routes.insert(routes.end(), inet6.begin(), inet6.end());
  return ToJsArray(info.Env(), routes, ToJs);
}

struct Target {
  IpPrefix destination;
  int oif;
  uint8_t protocol;

  std::string text() const {
    const IpAddress& address = destination.address;
    return IpText(address.family, address.bytes.data(), address.size()) + "/" + std::to_string(destination.length);
  }
};

Target ReadTarget(Args& args) {
  const IpPrefix destination = args.Prefix("destination");
  const int oif = args.Ifindex("oif");
  return {destination, oif, static_cast<uint8_t>(args.Integer("protocol", 1, UINT8_MAX))};
}

rtmsg& PutTarget(NetlinkRequest& request, const Target& target) {
  auto& header = request.Extra<rtmsg>();
  header.rtm_family = static_cast<uint8_t>(target.destination.address.family);
  header.rtm_dst_len = target.destination.length;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = target.protocol;
  header.rtm_type = RTN_UNICAST;
  // The kernel refuses RTA_DST for a default route only where it is not all zero.
  request.PutIp(RTA_DST, target.destination.address);
  request.PutU32(RTA_OIF, static_cast<uint32_t>(target.oif));
  return header;
}

Napi::Value ReplaceRoute(const Napi::CallbackInfo& info) {
  Args args(info, "replaceRoute");
  const Target target = ReadTarget(args);
  args.Done();
  NetlinkRequest request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  const bool inet = target.destination.address.family == AF_INET;
  PutTarget(request, target).rtm_scope = inet ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  NetlinkSocket().Change(request, "RTM_NEWROUTE", target.text());
  return info.Env().Undefined();
}

Napi::Value DeleteRoute(const Napi::CallbackInfo& info) {
  Args args(info, "deleteRoute");
  const Target target = ReadTarget(args);
  args.Done();
  NetlinkRequest request(RTM_DELROUTE, 0);
  // Any scope.
  PutTarget(request, target).rtm_scope = RT_SCOPE_NOWHERE;
  NetlinkSocket().Change(request, "RTM_DELROUTE", target.text());
  return info.Env().Undefined();
}

uint32_t DeviceMtu(NetlinkSocket& socket, uint32_t ifindex) {
  NetlinkRequest request(RTM_GETLINK, 0);
  request.Extra<ifinfomsg>().ifi_index = static_cast<int>(ifindex);
  uint32_t mtu = 0;
  socket.Query(request, "RTM_GETLINK", "ifindex " + std::to_string(ifindex),
               [&](const nlmsghdr* message) { mtu = DecodeLink(message).mtu; });
  return mtu;
}

Napi::Value LookupRoute(const Napi::CallbackInfo& info) {
  Args args(info, "lookupRoute");
  const IpAddress destination = args.Ip("destination");
  args.Done();
  NetlinkRequest request(RTM_GETROUTE, 0);
  auto& header = request.Extra<rtmsg>();
  header.rtm_family = static_cast<uint8_t>(destination.family);
  header.rtm_dst_len = destination.bits();
  request.PutIp(RTA_DST, destination);
  const std::string text = IpText(destination.family, destination.bytes.data(), destination.size());
  NetlinkSocket socket;
  std::optional<RouteRecord> route;
  socket.Query(request, "RTM_GETROUTE", text, [&](const nlmsghdr* message) { route = DecodeRoute(message); });
  if (!route) ThrowError(ENETUNREACH, "RTM_GETROUTE", text);

  Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  result.Set("oif", Napi::Number::New(env, route->oif));
  result.Set("gateway", route->gateway);
  result.Set("source", route->prefSource);
  const bool ofDevice = route->mtu == 0 && route->oif != 0;
  result.Set("mtu", Napi::Number::New(env, ofDevice ? DeviceMtu(socket, route->oif) : route->mtu));
  return result;
}

}  // namespace

void ExportRoutes(Napi::Env env, Napi::Object exports) {
  Export<Routes>(env, exports, "routes");
  Export<ReplaceRoute>(env, exports, "replaceRoute");
  Export<DeleteRoute>(env, exports, "deleteRoute");
  Export<LookupRoute>(env, exports, "lookupRoute");
}

}  // namespace omni
