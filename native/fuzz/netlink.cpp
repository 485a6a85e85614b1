// libFuzzer harness: any bytes as one datagram of a netlink socket, through every decoder.
#include <cstring>
#include <memory>

#include "error.h"
#include "netlink_decode.h"
#include "netlink_message.h"
#include "netlink_notification.h"

namespace {

/** Messages decoded per datagram: hundreds of truncated ones, each refused several times, would take all the time. */
constexpr size_t kMessages = 16;

/** A decoder may refuse a message with the addon's own error, and throws nothing else. */
template <typename Body>
void Try(Body body) {
  try {
    body();
  } catch (const omni::NativeError&) {
  }
}

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

/** A caller that asked for one object does not look at the type of the answer. So every decoder sees every type. */
void Decode(const nlmsghdr* message) {
  Try([&] { omni::EndsAnswer(message, "RTM_GETLINK", "eth0"); });
  Try([&] { omni::DecodeNotification(message); });
  Try([&] {
    const omni::LinkRecord link = omni::DecodeLink(message);
    Require(link.name.size() < message->nlmsg_len && link.alias.size() < message->nlmsg_len);
    Require(std::strlen(link.xdpMode) > 0);
  });
  Try([&] { Require(omni::DecodeAddress(message).address.size() < 46); });
  Try([&] {
    const omni::RouteRecord route = omni::DecodeRoute(message);
    Require(route.destination.find('/') != std::string::npos && route.gateway.size() < 46);
  });
  Try([&] { Require(omni::DecodeNeighbour(message).address.size() < 46); });
  Try([&] { omni::DecodeFamilyId(message); });
  Try([&] { omni::DecodeXdpFeatures(message); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Aligned as a receive buffer is, and not a byte longer than the datagram.
  const auto datagram = std::make_unique<uint8_t[]>(size);
  std::memcpy(datagram.get(), data, size);
  size_t count = 0;
  omni::ForEachMessage(datagram.get(), size, [&](const nlmsghdr* message) {
    if (++count <= kMessages) Decode(message);
  });
  return 0;
}
