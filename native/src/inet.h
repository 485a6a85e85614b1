// Text forms of addresses.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace omni {

struct IpAddress {
  /** AF_INET or AF_INET6. */
  int family;
  std::array<uint8_t, 16> bytes;

  size_t size() const { return family == 2 ? 4 : 16; }
  uint8_t bits() const { return family == 2 ? 32 : 128; }
};

struct IpPrefix {
  IpAddress address;
  uint8_t length;
};

using MacAddress = std::array<uint8_t, 6>;

std::optional<IpAddress> ParseIp(const std::string& text);
/** `10.0.0.0/8`; host bits are left as they are: the kernel refuses them. */
std::optional<IpPrefix> ParsePrefix(const std::string& text);
std::optional<MacAddress> ParseMac(const std::string& text);

/** Empty for other families. `size` must be that of the family. */
std::string IpText(int family, const void* bytes, size_t size);
std::string MacText(const uint8_t* bytes, size_t size);

}  // namespace omni
