// addresses(), addAddress(), deleteAddress()
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "args.h"
#include "error.h"
#include "exports.h"
#include "guard.h"
#include "netlink.h"
#include "netlink_decode.h"
#include "to_js.h"

namespace omni {
namespace {

// Since Linux 5.18; an older kernel passes over it, and older headers lack the name.
constexpr uint16_t kIfaProto = 11;

Napi::Object ToJs(Napi::Env env, const AddressRecord& address) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("ifindex", Napi::Number::New(env, address.ifindex));
  result.Set("family", Napi::Number::New(env, address.family == AF_INET ? 4 : 6));
  result.Set("address", address.address);
  result.Set("prefixLength", Napi::Number::New(env, address.prefixLength));
  result.Set("scope", Napi::Number::New(env, address.scope));
  result.Set("flags", Napi::Number::New(env, address.flags));
  result.Set("protocol", Napi::Number::New(env, address.protocol));
  return result;
}

/** `ifindex` 0: of all links. */
std::vector<AddressRecord> ReadAddresses(int ifindex) {
  std::vector<AddressRecord> all;
  for (const int family : {AF_INET, AF_INET6}) {
    NetlinkRequest request(RTM_GETADDR, 0);
    auto& header = request.Extra<ifaddrmsg>();
    header.ifa_family = static_cast<uint8_t>(family);
    header.ifa_index = static_cast<uint32_t>(ifindex);
    std::vector<AddressRecord> found;
    try {
      NetlinkSocket().Dump(
          request, "RTM_GETADDR", [&] { found.clear(); },
          [&](const nlmsghdr* message) {
            if (message->nlmsg_type != RTM_NEWADDR) return;
            // A kernel without IPv6 answers for it with all families.
            AddressRecord record = DecodeAddress(message);
            if (record.family == family) found.push_back(std::move(record));
          });
    } catch (const NativeError& error) {
      if (error.failure().error != ENODEV) throw;
    }
    all.insert(all.end(), found.begin(), found.end());
  }
  return all;
}

Napi::Value Addresses(const Napi::CallbackInfo& info) {
  Args args(info, "addresses");
  const int ifindex = args.Has("ifindex") ? args.Ifindex("ifindex") : 0;
  args.Done();
  return ToJsArray(info.Env(), ReadAddresses(ifindex), ToJs);
}

struct Target {
  int ifindex;
  IpAddress address;
  uint8_t prefixLength;

  std::string text() const {
    return IpText(address.family, address.bytes.data(), address.size()) + "/" + std::to_string(prefixLength);
  }
};

Target ReadTarget(Args& args) {
  const int ifindex = args.Ifindex("ifindex");
  const IpAddress address = args.Ip("address");
  return {ifindex, address, static_cast<uint8_t>(args.Integer("prefixLength", 0, address.bits()))};
}

void PutTarget(NetlinkRequest& request, const Target& target) {
  auto& header = request.Extra<ifaddrmsg>();
  header.ifa_family = static_cast<uint8_t>(target.address.family);
  header.ifa_prefixlen = target.prefixLength;
  header.ifa_index = static_cast<uint32_t>(target.ifindex);
  request.PutIp(IFA_LOCAL, target.address);
  request.PutIp(IFA_ADDRESS, target.address);
}

Napi::Value AddAddress(const Napi::CallbackInfo& info) {
  Args args(info, "addAddress");
  const Target target = ReadTarget(args);
  const uint32_t protocol = args.Integer("protocol", 0, UINT8_MAX);
  uint32_t flags = args.Flag("noPrefixRoute") ? IFA_F_NOPREFIXROUTE : 0;
  if (args.Flag("noDad") && target.address.family == AF_INET6) flags |= IFA_F_NODAD;
  args.Done();
  NetlinkRequest request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  PutTarget(request, target);
  request.PutU32(IFA_FLAGS, flags);
  if (protocol != 0) request.PutU8(kIfaProto, static_cast<uint8_t>(protocol));
  NetlinkSocket().Change(request, "RTM_NEWADDR", target.text());
  return info.Env().Undefined();
}

Napi::Value DeleteAddress(const Napi::CallbackInfo& info) {
  Args args(info, "deleteAddress");
  const Target target = ReadTarget(args);
  args.Done();
  NetlinkRequest request(RTM_DELADDR, 0);
  PutTarget(request, target);
  NetlinkSocket().Change(request, "RTM_DELADDR", target.text());
  return info.Env().Undefined();
}

}  // namespace

void ExportAddresses(Napi::Env env, Napi::Object exports) {
  Export<Addresses>(env, exports, "addresses");
  Export<AddAddress>(env, exports, "addAddress");
  Export<DeleteAddress>(env, exports, "deleteAddress");
}

}  // namespace omni
