// Netlink requests over libmnl, free of JavaScript (RFC 3549; docs.kernel.org/userspace-api/netlink).
#pragma once

#include <libmnl/libmnl.h>
#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "fd.h"
#include "inet.h"
#include "netlink_message.h"

namespace omni {

/** A message in the making. Attributes that do not fit throw EMSGSIZE. */
class NetlinkRequest {
 public:
  NetlinkRequest(uint16_t type, uint16_t flags);

  /** The family's fixed header; once, before any attribute. Zeroed. */
  template <typename Header>
  Header& Extra() {
    return *static_cast<Header*>(mnl_nlmsg_put_extra_header(header(), sizeof(Header)));
  }
  /** A fixed header inside of an attribute. */
  template <typename Header>
  Header& Append() {
    return *static_cast<Header*>(AppendBytes(sizeof(Header)));
  }

  void Put(uint16_t type, const void* data, size_t size);
  void PutText(uint16_t type, std::string_view text);
  void PutU8(uint16_t type, uint8_t value) { Put(type, &value, sizeof(value)); }
  void PutU32(uint16_t type, uint32_t value) { Put(type, &value, sizeof(value)); }
  void PutIp(uint16_t type, const IpAddress& address) { Put(type, address.bytes.data(), address.size()); }
  nlattr* Begin(uint16_t type);
  void End(nlattr* nest) { mnl_attr_nest_end(header(), nest); }

  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(buffer_.data()); }

 private:
  void* AppendBytes(size_t size);

  alignas(NLMSG_ALIGNTO) std::array<uint8_t, 4096> buffer_{};
};

/** A socket, NETLINK_ROUTE or another family's, with extended acks and strict checking of dump filters. */
class NetlinkSocket {
 public:
  explicit NetlinkSocket(int flags = 0, int family = NETLINK_ROUTE);

  /** A change: sends with NLM_F_ACK and waits for it. */
  void Change(NetlinkRequest& request, const char* name, const std::string& object);
  /** A query for one object. */
  void Query(NetlinkRequest& request, const char* name, const std::string& object, const OnMessage& onMessage);
  /**
   * A dump. One that the kernel marks as inconsistent is read again, `onStart` first; EINTR if it stays so, because
   * the table changes faster than it can be read.
   */
  void Dump(NetlinkRequest& request, const char* name, const std::function<void()>& onStart,
            const OnMessage& onMessage);

  void Join(uint32_t group);
  /** One datagram from the kernel for `onMessage`; false: nothing there (non-blocking). Throws, ENOBUFS among others.
   */
  bool Receive(const OnMessage& onMessage);

  int fd() const { return fd_.get(); }
  void Close() { fd_.Close(); }

 private:
  void Send(NetlinkRequest& request, const char* name, const std::string& object);
  size_t ReceiveBytes();
  /** True when the answer is complete. */
  bool Handle(const nlmsghdr* message, const char* name, const std::string& object, const OnMessage& onMessage);

  Fd fd_;
  uint32_t sequence_ = 0;
  bool interrupted_ = false;
  /** Not cleared: most answers touch one page of it, and a socket lives for one call. */
  std::unique_ptr<uint8_t[]> buffer_;
};

}  // namespace omni
