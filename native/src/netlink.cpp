#include "netlink.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "error.h"

namespace omni {
namespace {

/** The kernel fills a dump's datagrams up to 32 KiB if the reader offers that much. */
constexpr size_t kReceiveBytes = 64 * 1024;
constexpr int kDumpAttempts = 8;

void SetOption(int fd, int option, int value) {
  if (setsockopt(fd, SOL_NETLINK, option, &value, sizeof(value)) != 0) ThrowErrno("setsockopt", "AF_NETLINK");
}

}  // namespace

NetlinkRequest::NetlinkRequest(uint16_t type, uint16_t flags) {
  nlmsghdr* message = mnl_nlmsg_put_header(buffer_.data());
  message->nlmsg_type = type;
  message->nlmsg_flags = NLM_F_REQUEST | flags;
}

void NetlinkRequest::Put(uint16_t type, const void* data, size_t size) {
  if (!mnl_attr_put_check(header(), buffer_.size(), type, size, data)) ThrowError(EMSGSIZE, "netlink", {});
}

void NetlinkRequest::PutText(uint16_t type, std::string_view text) {
  const std::string terminated(text);
  Put(type, terminated.c_str(), terminated.size() + 1);
}

nlattr* NetlinkRequest::Begin(uint16_t type) {
  nlattr* nest = mnl_attr_nest_start_check(header(), buffer_.size(), type);
  if (nest == nullptr) ThrowError(EMSGSIZE, "netlink", {});
  return nest;
}

void* NetlinkRequest::AppendBytes(size_t size) {
  nlmsghdr* message = header();
  const size_t offset = message->nlmsg_len;
  if (offset + MNL_ALIGN(size) > buffer_.size()) ThrowError(EMSGSIZE, "netlink", {});
  message->nlmsg_len += static_cast<uint32_t>(MNL_ALIGN(size));
  return buffer_.data() + offset;
}

NetlinkSocket::NetlinkSocket(int flags, int family)
    : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, family)),
      buffer_(std::make_unique_for_overwrite<uint8_t[]>(kReceiveBytes)) {
  if (!fd_.valid()) ThrowErrno("socket", "AF_NETLINK");
  SetOption(fd_.get(), NETLINK_EXT_ACK, 1);
  SetOption(fd_.get(), NETLINK_CAP_ACK, 1);
  SetOption(fd_.get(), NETLINK_GET_STRICT_CHK, 1);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) ThrowErrno("bind", "AF_NETLINK");
}

void NetlinkSocket::Join(uint32_t group) { SetOption(fd_.get(), NETLINK_ADD_MEMBERSHIP, static_cast<int>(group)); }

void NetlinkSocket::Send(NetlinkRequest& request, const char* name, const std::string& object) {
  request.header()->nlmsg_seq = ++sequence_;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const ssize_t sent = sendto(fd_.get(), request.header(), request.header()->nlmsg_len, 0,
                              reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel));
  if (sent < 0) ThrowErrno(name, object);
}

/** 0: nothing there, or a datagram that is not from the kernel. */
size_t NetlinkSocket::ReceiveBytes() {
  sockaddr_nl sender{};
  iovec part{buffer_.get(), kReceiveBytes};
  msghdr header{};
  header.msg_name = &sender;
  header.msg_namelen = sizeof(sender);
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  ssize_t size = 0;
  do {
    size = recvmsg(fd_.get(), &header, 0);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno != EAGAIN) ThrowErrno("recvmsg", "AF_NETLINK");
  if (size < 0) return 0;
  if ((header.msg_flags & MSG_TRUNC) != 0) ThrowError(EMSGSIZE, "recvmsg", "AF_NETLINK");
  return sender.nl_pid == 0 ? static_cast<size_t>(size) : 0;
}

bool NetlinkSocket::Receive(const OnMessage& onMessage) {
  const size_t size = ReceiveBytes();
  if (size == 0) return false;
  ForEachMessage(buffer_.get(), size, onMessage);
  return true;
}

bool NetlinkSocket::Handle(const nlmsghdr* message, const char* name, const std::string& object,
                           const OnMessage& onMessage) {
  if (message->nlmsg_seq != sequence_) return false;
  if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted_ = true;
  if (EndsAnswer(message, name, object)) return true;
  if (message->nlmsg_type >= NLMSG_MIN_TYPE) onMessage(message);
  return false;
}

void NetlinkSocket::Change(NetlinkRequest& request, const char* name, const std::string& object) {
  Query(request, name, object, [](const nlmsghdr*) {});
}

void NetlinkSocket::Query(NetlinkRequest& request, const char* name, const std::string& object,
                          const OnMessage& onMessage) {
  request.header()->nlmsg_flags |= NLM_F_ACK;
  Send(request, name, object);
  bool done = false;
  while (!done) {
    Receive([&](const nlmsghdr* message) { done = Handle(message, name, object, onMessage) || done; });
  }
}

void NetlinkSocket::Dump(NetlinkRequest& request, const char* name, const std::function<void()>& onStart,
                         const OnMessage& onMessage) {
  request.header()->nlmsg_flags |= NLM_F_DUMP;
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    onStart();
    interrupted_ = false;
    Send(request, name, {});
    bool done = false;
    while (!done) {
      Receive([&](const nlmsghdr* message) { done = Handle(message, name, {}, onMessage) || done; });
    }
    if (!interrupted_) return;
  }
  ThrowError(EINTR, name, {});
}

}  // namespace omni
