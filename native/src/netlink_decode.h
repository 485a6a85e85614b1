// What messages of rtnetlink and of generic netlink say, as plain records.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <optional>
#include <string>

namespace omni {

struct LinkRecord {
  int ifindex;
  std::string name;
  std::string kind;
  std::string mac;
  uint32_t mtu;
  uint32_t maxMtu;
  uint32_t flags;
  std::string alias;
  uint32_t link;
  uint32_t xdpProgramId;
  const char* xdpMode;
  uint32_t addrGenMode;
  uint32_t rxQueues;
};

struct AddressRecord {
  int ifindex;
  int family;
  std::string address;
  uint8_t prefixLength;
  uint8_t scope;
  uint32_t flags;
  uint8_t protocol;
};

struct RouteRecord {
  int family;
  /** With prefix length; the default route is `0.0.0.0/0` or `::/0`. */
  std::string destination;
  uint32_t oif;
  std::string gateway;
  uint8_t protocol;
  uint8_t scope;
  uint32_t table;
  std::string prefSource;
  uint32_t metric;
  uint8_t type;
  /** RTAX_MTU; 0 = the device's. */
  uint32_t mtu;
};

struct NeighbourRecord {
  int ifindex;
  std::string address;
  std::string mac;
  uint16_t state;
  /** NDA_PROTOCOL; 0 = none. */
  uint8_t protocol;
};

LinkRecord DecodeLink(const nlmsghdr* message);
AddressRecord DecodeAddress(const nlmsghdr* message);
RouteRecord DecodeRoute(const nlmsghdr* message);
NeighbourRecord DecodeNeighbour(const nlmsghdr* message);
/** CTRL_CMD_NEWFAMILY: the family's number. */
std::optional<uint16_t> DecodeFamilyId(const nlmsghdr* message);
/** NETDEV_CMD_DEV_GET: NETDEV_XDP_ACT_*. */
std::optional<uint64_t> DecodeXdpFeatures(const nlmsghdr* message);

}  // namespace omni
