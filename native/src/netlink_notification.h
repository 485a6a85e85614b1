// What rtnetlink tells unasked, as plain records.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <optional>
#include <string>

namespace omni {

struct Notification {
  const char* type;
  bool deleted;
  int ifindex;
  std::string object;
  /** IFA_PROTO or rtm_protocol; 0 = none, or not known. */
  uint8_t protocol = 0;
  /** nlmsg_pid: the port of the socket that asked for the change; 0 = the kernel. */
  uint32_t port = 0;
};

/** None: not one of the types that the monitor reports. */
std::optional<Notification> DecodeNotification(const nlmsghdr* message);

}  // namespace omni
