// class UeventMonitor: NETLINK_KOBJECT_UEVENT, what the kernel tells of its objects (lib/kobject_uevent.c).
#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <optional>
#include <vector>

#include "args.h"
#include "error.h"
#include "exports.h"
#include "fd.h"
#include "stream.h"

namespace omni {
namespace {

/** Group 1 is the kernel's; udev sends what it made of those to group 2. */
constexpr uint32_t kKernelGroup = 1;
/** UEVENT_BUFFER_SIZE (2048), the header line with its path, and room. */
constexpr size_t kMaxMessage = 8192;

/** nullopt: some were lost. */
using Uevent = std::optional<Bytes>;

class UeventMonitor : public Stream<UeventMonitor> {
 public:
  static constexpr napi_type_tag kTypeTag = {0x6f6d6e692d756576, 0x51d3a80c9be2f476};

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "UeventMonitor", {Expose<&UeventMonitor::Close>("close")});
  }

  explicit UeventMonitor(const Napi::CallbackInfo& info) : Stream(info) {
    Guard(info.Env(), [&] {
      Args args(info, "UeventMonitor");
      const int receiveBuffer = static_cast<int>(args.Integer("receiveBuffer", 0, INT32_MAX / 2));
      const Napi::Function onEvent = args.Callback("onEvent");
      args.Done();
      fd_ = Fd(socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT));
      if (!fd_.valid()) ThrowErrno("socket", "NETLINK_KOBJECT_UEVENT");
      // A smaller buffer is no reason to listen to nothing: CAP_NET_ADMIN may be missing.
      if (setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receiveBuffer, sizeof(receiveBuffer)) != 0)
        setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receiveBuffer, sizeof(receiveBuffer));
      sockaddr_nl address{};
      address.nl_family = AF_NETLINK;
      address.nl_groups = kKernelGroup;
      if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
        ThrowErrno("bind", "NETLINK_KOBJECT_UEVENT");
      Listen(onEvent, fd_.get(), "omni:UeventMonitor");
    });
  }

  std::vector<Uevent> Read() {
    std::vector<Uevent> events;
    while (events.size() < kItemsPerWakeUp && ReadEvent(events)) continue;
    return events;
  }

  static Napi::Value ToJs(Napi::Env env, const Uevent& event) {
    if (!event) return env.Undefined();
    return Napi::Buffer<uint8_t>::Copy(env, event->data(), event->size());
  }

  void Release() { fd_.Close(); }

 private:
  /** False: nothing more for now. */
  bool ReadEvent(std::vector<Uevent>& events) {
    std::array<uint8_t, kMaxMessage> buffer;
    sockaddr_nl from{};
    iovec part{buffer.data(), buffer.size()};
    msghdr header{};
    header.msg_name = &from;
    header.msg_namelen = sizeof(from);
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    const ssize_t size = recvmsg(fd_.get(), &header, 0);
    if (size < 0) {
      if (errno == EAGAIN) return false;
      if (errno == EINTR) return true;
      if (errno != ENOBUFS) ThrowErrno("recvmsg", "NETLINK_KOBJECT_UEVENT");
      events.emplace_back(std::nullopt);
      return true;
    }
    // Port 0 is the kernel itself. Others may send to the group, in whatever namespace they have CAP_SYS_ADMIN.
    const bool fromKernel = header.msg_namelen == sizeof(from) && from.nl_pid == 0;
    if (!fromKernel) return true;
    // A message that is cut short counts as lost: it may have been the one.
    if ((header.msg_flags & MSG_TRUNC) != 0) {
      events.emplace_back(std::nullopt);
    } else {
      events.emplace_back(Bytes(buffer.begin(), buffer.begin() + size));
    }
    return true;
  }

  Fd fd_;
};

}  // namespace

void ExportUeventMonitor(Napi::Env env, Napi::Object exports) {
  exports.Set("UeventMonitor", UeventMonitor::Define(env));
}

}  // namespace omni
