#include "netlink_message.h"

#include <cerrno>
#include <cstring>

#include "error.h"
#include "inet.h"

namespace omni {
namespace {

/** MAX_ERRNO of the kernel (include/linux/err.h). */
constexpr int kMaxErrno = 4095;

/** NLMSGERR_ATTR_MSG behind the fixed part of an error or done message. */
std::string ExtendedAck(const nlmsghdr* message, size_t fixed) {
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  if (mnl_nlmsg_get_payload_len(message) < MNL_ALIGN(fixed)) return {};
  return Attributes::OfMessage(message, fixed).Text(NLMSGERR_ATTR_MSG);
}

/** `status` as the kernel writes it: a negative errno. */
[[noreturn]] void Refused(int status, const char* name, const std::string& object, std::string log) {
  const int error = status < 0 && status >= -kMaxErrno ? -status : EBADMSG;
  throw NativeError({.error = error, .syscall = name, .object = object, .log = std::move(log), .detail = {}});
}

void HandleError(const nlmsghdr* message, const char* name, const std::string& object) {
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  if (mnl_nlmsg_get_payload_len(message) < sizeof(*error)) Refused(-EBADMSG, name, object, {});
  if (error->error == 0) return;
  size_t fixed = sizeof(*error);
  // Without NLM_F_CAPPED the whole request comes back before the attributes.
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) fixed += error->msg.nlmsg_len - sizeof(nlmsghdr);
  Refused(error->error, name, object, ExtendedAck(message, fixed));
}

}  // namespace

void ForEachMessage(const uint8_t* bytes, size_t size, const OnMessage& onMessage) {
  // Not mnl_nlmsg_ok: a length above 2^31 is a negative number to it, and fits everywhere.
  while (size >= sizeof(nlmsghdr)) {
    const auto* message = reinterpret_cast<const nlmsghdr*>(bytes);
    if (message->nlmsg_len < sizeof(nlmsghdr) || message->nlmsg_len > size) return;
    onMessage(message);
    const size_t step = MNL_ALIGN(size_t{message->nlmsg_len});
    if (step >= size) return;
    bytes += step;
    size -= step;
  }
}

bool EndsAnswer(const nlmsghdr* message, const char* name, const std::string& object) {
  if (message->nlmsg_type == NLMSG_ERROR) {
    HandleError(message, name, object);
    return true;
  }
  if (message->nlmsg_type != NLMSG_DONE) return false;
  const bool hasError = mnl_nlmsg_get_payload_len(message) >= sizeof(int);
  const int error = hasError ? *static_cast<const int*>(mnl_nlmsg_get_payload(message)) : 0;
  if (error < 0) Refused(error, name, object, ExtendedAck(message, sizeof(int)));
  return true;
}

void ThrowTruncated(const nlmsghdr* message) {
  ThrowError(EBADMSG, "netlink", "message of type " + std::to_string(message->nlmsg_type));
}

Attributes Attributes::OfMessage(const nlmsghdr* message, size_t fixedHeader) {
  const size_t size = mnl_nlmsg_get_payload_len(message);
  const size_t skip = MNL_ALIGN(fixedHeader);
  if (size <= skip) return {};
  return OfBytes(static_cast<const uint8_t*>(mnl_nlmsg_get_payload(message)) + skip, size - skip);
}

Attributes Attributes::OfNest(const nlattr* nest) {
  return OfBytes(static_cast<const uint8_t*>(mnl_attr_get_payload(nest)), mnl_attr_get_payload_len(nest));
}

Attributes Attributes::OfBytes(const uint8_t* bytes, size_t size) {
  Attributes attributes;
  const uint8_t* end = bytes + size;
  const auto* attribute = reinterpret_cast<const nlattr*>(bytes);
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const uint8_t*>(attribute)))) {
    attributes.found_[mnl_attr_get_type(attribute)] = attribute;
    attribute = mnl_attr_next(attribute);
  }
  return attributes;
}

const nlattr* Attributes::Find(uint16_t type) const {
  const auto found = found_.find(type);
  return found == found_.end() ? nullptr : found->second;
}

uint32_t Attributes::U32(uint16_t type, uint32_t otherwise) const {
  const nlattr* attribute = Find(type);
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < sizeof(uint32_t)) return otherwise;
  return mnl_attr_get_u32(attribute);
}

uint8_t Attributes::U8(uint16_t type, uint8_t otherwise) const {
  const nlattr* attribute = Find(type);
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < sizeof(uint8_t)) return otherwise;
  return mnl_attr_get_u8(attribute);
}

std::string Attributes::Text(uint16_t type) const {
  const nlattr* attribute = Find(type);
  if (attribute == nullptr) return {};
  const auto* text = static_cast<const char*>(mnl_attr_get_payload(attribute));
  return std::string(text, strnlen(text, mnl_attr_get_payload_len(attribute)));
}

std::string Attributes::Ip(uint16_t type, int family) const {
  const nlattr* attribute = Find(type);
  if (attribute == nullptr) return {};
  return IpText(family, mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));
}

std::string Attributes::Mac(uint16_t type) const {
  const nlattr* attribute = Find(type);
  if (attribute == nullptr) return {};
  return MacText(static_cast<const uint8_t*>(mnl_attr_get_payload(attribute)), mnl_attr_get_payload_len(attribute));
}

Attributes Attributes::Nest(uint16_t type) const {
  const nlattr* attribute = Find(type);
  return attribute == nullptr ? Attributes() : OfNest(attribute);
}

}  // namespace omni
