// class NeighbourTable
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "args.h"
#include "error.h"
#include "exports.h"
#include "guard.h"
#include "netlink.h"

namespace omni {
namespace {

constexpr size_t kAddressBytes = 16;

/** `::ffff:a.b.c.d` is IPv4. */
IpAddress ReadAddress(const uint8_t* bytes) {
  static constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  IpAddress address{.family = AF_INET6, .bytes = {}};
  if (std::memcmp(bytes, kMapped.data(), kMapped.size()) == 0) {
    address.family = AF_INET;
    std::memcpy(address.bytes.data(), bytes + kMapped.size(), address.size());
  } else {
    std::memcpy(address.bytes.data(), bytes, address.size());
  }
  return address;
}

std::string TextOf(const IpAddress& address) { return IpText(address.family, address.bytes.data(), address.size()); }

ndmsg& PutTarget(NetlinkRequest& request, int ifindex, const IpAddress& address) {
  auto& header = request.Extra<ndmsg>();
  header.ndm_family = static_cast<uint8_t>(address.family);
  header.ndm_ifindex = ifindex;
  request.PutIp(NDA_DST, address);
  return header;
}

class NeighbourTable : public Wrapped<NeighbourTable> {
 public:
  static constexpr napi_type_tag kTypeTag = {0x6f6d6e692d6e6569, 0x27c6d0a91b3e4f58};

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "NeighbourTable",
                       {Expose<&NeighbourTable::Put>("put"), Expose<&NeighbourTable::Delete>("delete"),
                        Expose<&NeighbourTable::Close>("close")});
  }

  explicit NeighbourTable(const Napi::CallbackInfo& info) : Wrapped(info) {
    Guard(info.Env(), [&] {
      Args(info, "NeighbourTable").Done();
      socket_.emplace();
      sockaddr_nl address{};
      socklen_t size = sizeof(address);
      if (getsockname(socket_->fd(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        ThrowErrno("getsockname", "AF_NETLINK");
      }
      info.This().As<Napi::Object>().DefineProperty(Napi::PropertyDescriptor::Value(
          "port", Napi::Number::New(info.Env(), address.nl_pid), napi_enumerable));
    });
  }

  Napi::Value Put(const Napi::CallbackInfo& info) {
    Args args(info, "NeighbourTable.put");
    const int ifindex = args.Ifindex("ifindex");
    const Bytes addresses = args.Data("addresses");
    const Bytes macs = args.Data("macs");
    const auto state = static_cast<uint16_t>(args.Integer("state", 1, UINT8_MAX));
    const auto protocol = static_cast<uint8_t>(args.Integer("protocol", 0, UINT8_MAX));
    args.Done();
    const size_t count = addresses.size() / kAddressBytes;
    if (addresses.size() % kAddressBytes != 0) args.Reject("addresses", "of 16 bytes each");
    if (macs.size() != count * std::tuple_size_v<MacAddress>) args.Reject("macs", "of 6 bytes for each address");
    for (size_t i = 0; i < count; ++i) {
      const IpAddress address = ReadAddress(addresses.data() + i * kAddressBytes);
      NetlinkRequest request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
      PutTarget(request, ifindex, address).ndm_state = state;
      request.Put(NDA_LLADDR, macs.data() + i * std::tuple_size_v<MacAddress>, std::tuple_size_v<MacAddress>);
      request.PutU8(NDA_PROTOCOL, protocol);
      Open().Change(request, "RTM_NEWNEIGH", TextOf(address));
    }
    return info.Env().Undefined();
  }

  Napi::Value Delete(const Napi::CallbackInfo& info) {
    Args args(info, "NeighbourTable.delete");
    const int ifindex = args.Ifindex("ifindex");
    const IpAddress address = args.Ip("address");
    args.Done();
    NetlinkRequest request(RTM_DELNEIGH, 0);
    PutTarget(request, ifindex, address);
    try {
      Open().Change(request, "RTM_DELNEIGH", TextOf(address));
    } catch (const NativeError& error) {
      if (error.failure().error != ENOENT) throw;
      return Napi::Boolean::New(info.Env(), false);
    }
    return Napi::Boolean::New(info.Env(), true);
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    NoArgs(info, "NeighbourTable.close");
    socket_.reset();
    return info.Env().Undefined();
  }

 private:
  NetlinkSocket& Open() {
    if (!socket_) ThrowError(EBADF, "sendto", "AF_NETLINK");
    return *socket_;
  }

  std::optional<NetlinkSocket> socket_;
};

}  // namespace

void ExportNeighbourTable(Napi::Env env, Napi::Object exports) {
  exports.Set("NeighbourTable", NeighbourTable::Define(env));
}

}  // namespace omni
