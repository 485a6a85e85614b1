#include "netlink_decode.h"

#include <linux/genetlink.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>

#include "inet.h"
#include "netlink_message.h"

namespace omni {
namespace {

// NETDEV_A_DEV_XDP_FEATURES of linux/netdev.h, which came with 6.3; the headers of older systems lack it.
constexpr uint16_t kDevXdpFeatures = 3;

const char* XdpModeName(uint8_t attached) {
  static constexpr std::array<const char*, 5> kNames = {"none", "native", "generic", "offload", "multi"};
  return attached < kNames.size() ? kNames[attached] : "none";
}

/** With native and generic both attached, the native one's id. */
uint32_t XdpProgramId(const Attributes& xdp) { return xdp.U32(IFLA_XDP_PROG_ID, xdp.U32(IFLA_XDP_DRV_PROG_ID)); }

std::string PrefixText(const Attributes& attributes, uint16_t type, int family, uint8_t length) {
  std::string address = attributes.Ip(type, family);
  if (address.empty()) address = family == AF_INET ? "0.0.0.0" : "::";
  return address + "/" + std::to_string(length);
}

/** RTA_GATEWAY, or RTA_VIA where the gateway is of another family (RFC 5549). */
std::string GatewayText(const Attributes& attributes, int family) {
  const nlattr* via = attributes.Find(RTA_VIA);
  if (via == nullptr) return attributes.Ip(RTA_GATEWAY, family);
  const size_t size = mnl_attr_get_payload_len(via);
  if (size < sizeof(rtvia)) return {};
  const auto* record = static_cast<const rtvia*>(mnl_attr_get_payload(via));
  return IpText(record->rtvia_family, record->rtvia_addr, size - sizeof(rtvia));
}

/** A multipath route has its interfaces and gateways per next hop; the first stands for all. */
void UseFirstNextHop(const nlattr* multipath, RouteRecord& route) {
  const size_t size = mnl_attr_get_payload_len(multipath);
  if (size < sizeof(rtnexthop)) return;
  const auto* hop = static_cast<const rtnexthop*>(mnl_attr_get_payload(multipath));
  route.oif = static_cast<uint32_t>(hop->rtnh_ifindex);
  if (hop->rtnh_len > size || hop->rtnh_len < sizeof(rtnexthop)) return;
  const auto* data = reinterpret_cast<const uint8_t*>(hop) + sizeof(rtnexthop);
  route.gateway = GatewayText(Attributes::OfBytes(data, hop->rtnh_len - sizeof(rtnexthop)), route.family);
}

}  // namespace

LinkRecord DecodeLink(const nlmsghdr* message) {
  const auto& header = HeaderOf<ifinfomsg>(message);
  const Attributes attributes = Attributes::OfMessage(message, sizeof(header));
  const Attributes xdp = attributes.Nest(IFLA_XDP);
  const Attributes inet6 = attributes.Nest(IFLA_AF_SPEC).Nest(AF_INET6);
  return {.ifindex = header.ifi_index,
          .name = attributes.Text(IFLA_IFNAME),
          .kind = attributes.Nest(IFLA_LINKINFO).Text(IFLA_INFO_KIND),
          .mac = attributes.Mac(IFLA_ADDRESS),
          .mtu = attributes.U32(IFLA_MTU),
          .maxMtu = attributes.U32(IFLA_MAX_MTU),
          .flags = header.ifi_flags,
          .alias = attributes.Text(IFLA_IFALIAS),
          .link = attributes.U32(IFLA_LINK),
          .xdpProgramId = XdpProgramId(xdp),
          .xdpMode = XdpModeName(xdp.U8(IFLA_XDP_ATTACHED)),
          // Where a device has no IPv6, nothing generates an address.
          .addrGenMode = inet6.U8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE),
          .rxQueues = attributes.U32(IFLA_NUM_RX_QUEUES)};
}

AddressRecord DecodeAddress(const nlmsghdr* message) {
  const auto& header = HeaderOf<ifaddrmsg>(message);
  const Attributes attributes = Attributes::OfMessage(message, sizeof(header));
  // For point-to-point IPv4, IFA_ADDRESS is the other end.
  const uint16_t own = attributes.Find(IFA_LOCAL) != nullptr ? IFA_LOCAL : IFA_ADDRESS;
  return {.ifindex = static_cast<int>(header.ifa_index),
          .family = header.ifa_family,
          .address = attributes.Ip(own, header.ifa_family),
          .prefixLength = header.ifa_prefixlen,
          .scope = header.ifa_scope,
          .flags = attributes.U32(IFA_FLAGS, header.ifa_flags),
          .protocol = attributes.U8(IFA_PROTO)};
}

RouteRecord DecodeRoute(const nlmsghdr* message) {
  const auto& header = HeaderOf<rtmsg>(message);
  const Attributes attributes = Attributes::OfMessage(message, sizeof(header));
  const int family = header.rtm_family;
  RouteRecord route = {.family = family,
                       .destination = PrefixText(attributes, RTA_DST, family, header.rtm_dst_len),
                       .oif = attributes.U32(RTA_OIF),
                       .gateway = GatewayText(attributes, family),
                       .protocol = header.rtm_protocol,
                       .scope = header.rtm_scope,
                       .table = attributes.U32(RTA_TABLE, header.rtm_table),
                       .prefSource = attributes.Ip(RTA_PREFSRC, family),
                       .metric = attributes.U32(RTA_PRIORITY),
                       .type = header.rtm_type,
                       .mtu = attributes.Nest(RTA_METRICS).U32(RTAX_MTU)};
  const nlattr* multipath = attributes.Find(RTA_MULTIPATH);
  if (multipath != nullptr && route.oif == 0) UseFirstNextHop(multipath, route);
  return route;
}

NeighbourRecord DecodeNeighbour(const nlmsghdr* message) {
  const auto& header = HeaderOf<ndmsg>(message);
  const Attributes attributes = Attributes::OfMessage(message, sizeof(header));
  return {.ifindex = header.ndm_ifindex,
          .address = attributes.Ip(NDA_DST, header.ndm_family),
          .mac = attributes.Mac(NDA_LLADDR),
          .state = header.ndm_state,
          .protocol = attributes.U8(NDA_PROTOCOL)};
}

std::optional<uint16_t> DecodeFamilyId(const nlmsghdr* message) {
  const nlattr* attribute = Attributes::OfMessage(message, sizeof(genlmsghdr)).Find(CTRL_ATTR_FAMILY_ID);
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < sizeof(uint16_t)) return std::nullopt;
  return mnl_attr_get_u16(attribute);
}

std::optional<uint64_t> DecodeXdpFeatures(const nlmsghdr* message) {
  const nlattr* attribute = Attributes::OfMessage(message, sizeof(genlmsghdr)).Find(kDevXdpFeatures);
  if (attribute == nullptr) return std::nullopt;
  return mnl_attr_get_payload_len(attribute) < sizeof(uint64_t) ? 0 : mnl_attr_get_u64(attribute);
}

}  // namespace omni
