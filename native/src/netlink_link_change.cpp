// createVeth(), deleteLink(), setLink()
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>

#include "args.h"
#include "error.h"
#include "exports.h"
#include "guard.h"
#include "netlink.h"

namespace omni {
namespace {

constexpr uint32_t kMaxMtu = 65535;
constexpr size_t kMaxAlias = 255;

std::string InterfaceText(int ifindex) { return "ifindex " + std::to_string(ifindex); }

void PutAddrGenMode(NetlinkRequest& request, uint8_t mode) {
  nlattr* families = request.Begin(IFLA_AF_SPEC);
  nlattr* inet6 = request.Begin(AF_INET6);
  request.PutU8(IFLA_INET6_ADDR_GEN_MODE, mode);
  request.End(inet6);
  request.End(families);
}

void PutEnd(NetlinkRequest& request, const std::string& name, const MacAddress& mac, uint32_t mtu) {
  request.PutText(IFLA_IFNAME, name);
  request.Put(IFLA_ADDRESS, mac.data(), mac.size());
  request.PutU32(IFLA_MTU, mtu);
  request.PutU32(IFLA_NUM_TX_QUEUES, 1);
  request.PutU32(IFLA_NUM_RX_QUEUES, 1);
}

/** The kernel takes IFLA_AF_SPEC only for a link that exists; both ends are still down, so no address was made yet. */
void SilencePeer(NetlinkSocket& socket, const std::string& name, const std::string& peerName) {
  NetlinkRequest request(RTM_SETLINK, 0);
  request.Extra<ifinfomsg>();
  request.PutText(IFLA_IFNAME, peerName);
  PutAddrGenMode(request, IN6_ADDR_GEN_MODE_NONE);
  try {
    socket.Change(request, "RTM_SETLINK", peerName);
  } catch (const NativeError& error) {
    // Without IPv6 there is nothing to silence.
    if (error.failure().error == EAFNOSUPPORT) return;
    NetlinkRequest undo(RTM_DELLINK, 0);
    undo.Extra<ifinfomsg>();
    undo.PutText(IFLA_IFNAME, name);
    socket.Change(undo, "RTM_DELLINK", name);
    throw;
  }
}

Napi::Value CreateVeth(const Napi::CallbackInfo& info) {
  Args args(info, "createVeth");
  const std::string name = args.InterfaceName("name");
  const std::string peerName = args.InterfaceName("peerName");
  const MacAddress mac = args.Mac("mac");
  const MacAddress peerMac = args.Mac("peerMac");
  const uint32_t mtu = args.Integer("mtu", 68, kMaxMtu);
  args.Done();

  NetlinkRequest request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  request.Extra<ifinfomsg>();
  PutEnd(request, name, mac, mtu);
  nlattr* linkInfo = request.Begin(IFLA_LINKINFO);
  request.PutText(IFLA_INFO_KIND, "veth");
  nlattr* data = request.Begin(IFLA_INFO_DATA);
  nlattr* peer = request.Begin(VETH_INFO_PEER);
  request.Append<ifinfomsg>();
  PutEnd(request, peerName, peerMac, mtu);
  request.End(peer);
  request.End(data);
  request.End(linkInfo);

  NetlinkSocket socket;
  socket.Change(request, "RTM_NEWLINK", name);
  SilencePeer(socket, name, peerName);
  return info.Env().Undefined();
}

Napi::Value DeleteLink(const Napi::CallbackInfo& info) {
  Args args(info, "deleteLink");
  const int ifindex = args.Ifindex("ifindex");
  args.Done();
  NetlinkRequest request(RTM_DELLINK, 0);
  request.Extra<ifinfomsg>().ifi_index = ifindex;
  NetlinkSocket().Change(request, "RTM_DELLINK", InterfaceText(ifindex));
  return info.Env().Undefined();
}

void SetFlag(ifinfomsg& header, unsigned flag, bool on) {
  header.ifi_change |= flag;
  if (on) header.ifi_flags |= flag;
}

Napi::Value SetLink(const Napi::CallbackInfo& info) {
  Args args(info, "setLink");
  const int ifindex = args.Ifindex("ifindex");
  NetlinkRequest request(RTM_SETLINK, 0);
  auto& header = request.Extra<ifinfomsg>();
  header.ifi_index = ifindex;
  if (args.Has("arp")) SetFlag(header, IFF_NOARP, !args.Flag("arp"));
  if (args.Has("mtu")) request.PutU32(IFLA_MTU, args.Integer("mtu", 0, kMaxMtu));
  if (args.Has("mac")) {
    const MacAddress mac = args.Mac("mac");
    request.Put(IFLA_ADDRESS, mac.data(), mac.size());
  }
  if (args.Has("alias")) {
    // Without a terminator: no bytes at all remove the alias.
    const std::string alias = args.TextOrEmpty("alias", kMaxAlias);
    request.Put(IFLA_IFALIAS, alias.data(), alias.size());
  }
  if (args.Has("addrGenMode")) PutAddrGenMode(request, static_cast<uint8_t>(args.Integer("addrGenMode", 0, 3)));
  const bool hasUp = args.Has("up");
  const bool up = hasUp && args.Flag("up");
  args.Done();

  NetlinkSocket socket;
  // In one message the kernel brings a link up before it changes how addresses are generated.
  socket.Change(request, "RTM_SETLINK", InterfaceText(ifindex));
  if (hasUp) {
    NetlinkRequest last(RTM_SETLINK, 0);
    auto& lastHeader = last.Extra<ifinfomsg>();
    lastHeader.ifi_index = ifindex;
    SetFlag(lastHeader, IFF_UP, up);
    socket.Change(last, "RTM_SETLINK", InterfaceText(ifindex));
  }
  return info.Env().Undefined();
}

}  // namespace

void ExportLinkChanges(Napi::Env env, Napi::Object exports) {
  Export<CreateVeth>(env, exports, "createVeth");
  Export<DeleteLink>(env, exports, "deleteLink");
  Export<SetLink>(env, exports, "setLink");
}

}  // namespace omni
