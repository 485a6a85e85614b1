// class NetlinkMonitor
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "args.h"
#include "error.h"
#include "exports.h"
#include "netlink.h"
#include "netlink_filter.h"
#include "netlink_notification.h"
#include "stream.h"

namespace omni {
namespace {

class NetlinkMonitor : public Stream<NetlinkMonitor> {
 public:
  static constexpr napi_type_tag kTypeTag = {0x6f6d6e692d6e6c6d, 0xb8472fd15e6093ac};

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "NetlinkMonitor",
                       {Expose<&NetlinkMonitor::WatchNeighbours>("watchNeighbours"),
                        Expose<&NetlinkMonitor::Close>("close")});
  }

  explicit NetlinkMonitor(const Napi::CallbackInfo& info) : Stream(info) {
    Guard(info.Env(), [&] {
      Args args(info, "NetlinkMonitor");
      const Napi::Function onNotification = args.Callback("onNotification");
      args.Done();
      socket_.emplace(SOCK_NONBLOCK);
      for (const uint32_t group :
           {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
            RTNLGRP_TC}) {
        socket_->Join(group);
      }
      Listen(onNotification, socket_->fd(), "omni:NetlinkMonitor");
    });
  }

  Napi::Value WatchNeighbours(const Napi::CallbackInfo& info) {
    Args args(info, "NetlinkMonitor.watchNeighbours");
    const std::vector<uint32_t> ifindexes = args.IntegerList("ifindexes", 1, INT32_MAX);
    const uint32_t port = args.Integer("exceptPort", 1, UINT32_MAX);
    args.Done();
    if (ifindexes.size() > kMaxNeighbourLinks) {
      args.Reject("ifindexes", "of at most " + std::to_string(kMaxNeighbourLinks) + " interfaces");
    }
    if (!socket_) ThrowError(EBADF, "setsockopt", "AF_NETLINK");
    // The filter comes first: from the first notification on, those of others are none of ours.
    FilterNeighbours(socket_->fd(), ifindexes, port);
    if (!watchesNeighbours_) socket_->Join(RTNLGRP_NEIGH);
    watchesNeighbours_ = true;
    return info.Env().Undefined();
  }

  std::vector<Notification> Read() {
    std::vector<Notification> items;
    while (items.size() < kItemsPerWakeUp && ReadDatagram(items)) continue;
    return items;
  }

  static Napi::Value ToJs(Napi::Env env, const Notification& notification) {
    Napi::Object result = Napi::Object::New(env);
    result.Set("type", notification.type);
    result.Set("deleted", notification.deleted);
    result.Set("ifindex", Napi::Number::New(env, notification.ifindex));
    result.Set("object", notification.object);
    result.Set("protocol", Napi::Number::New(env, notification.protocol));
    result.Set("port", Napi::Number::New(env, notification.port));
    return result;
  }

  void Release() { socket_.reset(); }

 private:
  /** False: nothing more for now. */
  bool ReadDatagram(std::vector<Notification>& items) {
    try {
      return socket_->Receive([&](const nlmsghdr* message) {
        auto item = DecodeNotification(message);
        if (item) items.push_back(*std::move(item));
      });
    } catch (const NativeError& error) {
      if (error.failure().error != ENOBUFS) throw;
      items.push_back({.type = "overrun", .deleted = false, .ifindex = 0, .object = {}});
      return true;
    }
  }

  std::optional<NetlinkSocket> socket_;
  bool watchesNeighbours_ = false;
};

}  // namespace

void ExportNetlinkMonitor(Napi::Env env, Napi::Object exports) {
  exports.Set("NetlinkMonitor", NetlinkMonitor::Define(env));
}

}  // namespace omni
