#include "inet.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>

namespace omni {
namespace {

static_assert(AF_INET == 2, "IpAddress::size");

std::optional<unsigned> ParseNumber(std::string_view text, int base, unsigned max) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

}  // namespace

std::optional<IpAddress> ParseIp(const std::string& text) {
  for (const int family : {AF_INET, AF_INET6}) {
    IpAddress address{family, {}};
    if (inet_pton(family, text.c_str(), address.bytes.data()) == 1) return address;
  }
  return std::nullopt;
}

std::optional<IpPrefix> ParsePrefix(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  const auto address = ParseIp(text.substr(0, slash));
  if (!address) return std::nullopt;
  const auto length = ParseNumber(std::string_view(text).substr(slash + 1), 10, address->bits());
  if (!length) return std::nullopt;
  return IpPrefix{*address, static_cast<uint8_t>(*length)};
}

std::optional<MacAddress> ParseMac(const std::string& text) {
  MacAddress mac{};
  if (text.size() != 17) return std::nullopt;
  for (size_t i = 0; i < mac.size(); ++i) {
    if (i > 0 && text[i * 3 - 1] != ':') return std::nullopt;
    const auto octet = ParseNumber(std::string_view(text).substr(i * 3, 2), 16, 255);
    if (!octet) return std::nullopt;
    mac[i] = static_cast<uint8_t>(*octet);
  }
  return mac;
}

std::string IpText(int family, const void* bytes, size_t size) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const size_t expected = family == AF_INET ? 4 : 16;
  if ((family != AF_INET && family != AF_INET6) || size != expected) return {};
  return inet_ntop(family, bytes, text.data(), text.size()) != nullptr ? text.data() : std::string();
}

std::string MacText(const uint8_t* bytes, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    if (i > 0) text += ':';
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

}  // namespace omni
