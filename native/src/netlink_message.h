// Reading of netlink messages: pure functions of the bytes that arrived (RFC 3549). native/fuzz calls them with any bytes.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace omni {

using OnMessage = std::function<void(const nlmsghdr*)>;

/** Calls `onMessage` for each whole message of a datagram. `bytes` must be aligned as nlmsghdr is. */
void ForEachMessage(const uint8_t* bytes, size_t size, const OnMessage& onMessage);

/** True for the last message of an answer. Throws the kernel's refusal, with `name` and `object` of the request. */
bool EndsAnswer(const nlmsghdr* message, const char* name, const std::string& object);

[[noreturn]] void ThrowTruncated(const nlmsghdr* message);

/** The family's fixed header. Throws EBADMSG where the message is too short for it. */
template <typename Header>
const Header& HeaderOf(const nlmsghdr* message) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(Header)) ThrowTruncated(message);
  return *static_cast<const Header*>(mnl_nlmsg_get_payload(message));
}

/** The attributes of a message or a nest, by type. Refers to the message's bytes. */
class Attributes {
 public:
  static Attributes OfMessage(const nlmsghdr* message, size_t fixedHeader);
  static Attributes OfNest(const nlattr* nest);
  static Attributes OfBytes(const uint8_t* bytes, size_t size);

  const nlattr* Find(uint16_t type) const;
  /** Absent and too short: `otherwise`. */
  uint32_t U32(uint16_t type, uint32_t otherwise = 0) const;
  uint8_t U8(uint16_t type, uint8_t otherwise = 0) const;
  std::string Text(uint16_t type) const;
  std::string Ip(uint16_t type, int family) const;
  std::string Mac(uint16_t type) const;
  Attributes Nest(uint16_t type) const;

 private:
  std::map<uint16_t, const nlattr*> found_;
};

}  // namespace omni
