#include "netlink_notification.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <utility>

#include "netlink_decode.h"
#include "netlink_message.h"

namespace omni {
namespace {

std::optional<Notification> Decode(const nlmsghdr* message) {
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      LinkRecord link = DecodeLink(message);
      return Notification{"link", message->nlmsg_type == RTM_DELLINK, link.ifindex, std::move(link.name)};
    }
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      AddressRecord address = DecodeAddress(message);
      return Notification{"address", message->nlmsg_type == RTM_DELADDR, address.ifindex, std::move(address.address),
                          address.protocol};
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      RouteRecord route = DecodeRoute(message);
      return Notification{"route", message->nlmsg_type == RTM_DELROUTE, static_cast<int>(route.oif),
                          std::move(route.destination), route.protocol};
    }
    case RTM_NEWQDISC:
    case RTM_DELQDISC:
    case RTM_NEWTFILTER:
    case RTM_DELTFILTER: {
      const bool deleted = message->nlmsg_type == RTM_DELQDISC || message->nlmsg_type == RTM_DELTFILTER;
      return Notification{"filter", deleted, HeaderOf<tcmsg>(message).tcm_ifindex, {}};
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      NeighbourRecord neighbour = DecodeNeighbour(message);
      if (neighbour.address.empty()) return std::nullopt;
      // The kernel announces the end of a deleted entry's validity in the name of whoever deleted it, and the rest in its own.
      const bool deleted = message->nlmsg_type == RTM_DELNEIGH || neighbour.state == NUD_FAILED;
      return Notification{"neighbour", deleted, neighbour.ifindex, std::move(neighbour.address), neighbour.protocol};
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<Notification> DecodeNotification(const nlmsghdr* message) {
  std::optional<Notification> notification = Decode(message);
  if (notification) notification->port = message->nlmsg_pid;
  return notification;
}

}  // namespace omni
