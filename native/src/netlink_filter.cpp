#include "netlink_filter.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstddef>

#include "error.h"

namespace omni {
namespace {

constexpr uint32_t kAccept = UINT32_MAX;
constexpr uint32_t kDrop = 0;
constexpr uint32_t kNeighbour = sizeof(nlmsghdr);

sock_filter Load16(uint32_t offset) { return BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offset); }
sock_filter Load32(uint32_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }
sock_filter Return(uint32_t verdict) { return BPF_STMT(BPF_RET | BPF_K, verdict); }
/** Skips `skip` instructions unless what was loaded is `value`. */
sock_filter Unless(uint32_t value, uint8_t skip) { return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip); }

}  // namespace

// Loads convert from network order, and netlink is in the host's: so do the constants.
void FilterNeighbours(int fd, const std::vector<uint32_t>& ifindexes, uint32_t exceptPort) {
  std::vector<sock_filter> code = {
      Load16(offsetof(nlmsghdr, nlmsg_type)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWNEIGH), 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELNEIGH), 1, 0),
      Return(kAccept),
      Load16(kNeighbour + offsetof(ndmsg, ndm_state)),
      Unless(htons(NUD_FAILED), 1),
      Return(kDrop),
      Load32(offsetof(nlmsghdr, nlmsg_pid)),
      Unless(htonl(exceptPort), 1),
      Return(kDrop),
      Load32(kNeighbour + offsetof(ndmsg, ndm_ifindex)),
  };
  for (const uint32_t ifindex : ifindexes) {
    code.push_back(Unless(htonl(ifindex), 1));
    code.push_back(Return(kAccept));
  }
  code.push_back(Return(kDrop));
  const sock_fprog program{.len = static_cast<uint16_t>(code.size()), .filter = code.data()};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0) {
    ThrowErrno("setsockopt(SO_ATTACH_FILTER)", "AF_NETLINK");
  }
}

}  // namespace omni
