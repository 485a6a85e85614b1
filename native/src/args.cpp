#include "args.h"

#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace omni {
namespace {

std::optional<std::string> AsText(const Napi::Value& value, size_t maxLength) {
  if (!value.IsString()) return std::nullopt;
  std::string text = value.As<Napi::String>();
  if (text.size() > maxLength || text.find('\0') != std::string::npos) return std::nullopt;
  return text;
}

std::optional<uint32_t> AsInteger(const Napi::Value& value, uint32_t min, uint32_t max) {
  if (!value.IsNumber()) return std::nullopt;
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= min && number <= max) || std::trunc(number) != number) return std::nullopt;
  return static_cast<uint32_t>(number);
}

std::optional<Bytes> AsBytes(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) return std::nullopt;
  const auto array = value.As<Napi::Uint8Array>();
  return Bytes(array.Data(), array.Data() + array.ElementLength());
}

std::string RangeText(uint32_t min, uint32_t max) {
  return "an integer from " + std::to_string(min) + " to " + std::to_string(max);
}

std::vector<std::string> KeysOf(const Napi::Object& object) {
  const Napi::Array names = object.GetPropertyNames();
  std::vector<std::string> keys;
  for (uint32_t i = 0; i < names.Length(); ++i) keys.push_back(names.Get(i).ToString());
  return keys;
}

}  // namespace

Args::Args(const Napi::CallbackInfo& info, std::string function) : env_(info.Env()), function_(std::move(function)) {
  if (info.Length() != 1 || !info[0].IsObject() || info[0].IsArray() || info[0].IsFunction()) {
    throw Napi::TypeError::New(env_, function_ + ": expected one options object");
  }
  options_ = info[0].As<Napi::Object>();
}

void Args::Reject(const char* key, const std::string& expected) {
  throw Napi::TypeError::New(env_, function_ + ": option '" + key + "' must be " + expected);
}

Napi::Value Args::Get(const char* key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
  return options_.Get(key);
}

bool Args::Has(const char* key) { return !Get(key).IsUndefined(); }

std::string Args::TextOrEmpty(const char* key, size_t maxLength) {
  auto text = AsText(Get(key), maxLength);
  if (!text) Reject(key, "a string without NUL of at most " + std::to_string(maxLength) + " bytes");
  return *std::move(text);
}

std::string Args::Text(const char* key, size_t maxLength) {
  std::string text = TextOrEmpty(key, maxLength);
  if (text.empty()) Reject(key, "a string that is not empty");
  return text;
}

std::string Args::Path(const char* key) { return Text(key, PATH_MAX - 1); }

std::string Args::InterfaceName(const char* key) { return Text(key, IFNAMSIZ - 1); }

int Args::Ifindex(const char* key) { return static_cast<int>(Integer(key, 1, INT_MAX)); }

uint32_t Args::Integer(const char* key, uint32_t min, uint32_t max) {
  const auto number = AsInteger(Get(key), min, max);
  if (!number) Reject(key, RangeText(min, max));
  return *number;
}

bool Args::Flag(const char* key) {
  const Napi::Value value = Get(key);
  if (!value.IsBoolean()) Reject(key, "a boolean");
  return value.As<Napi::Boolean>();
}

Bytes Args::Data(const char* key) {
  auto bytes = AsBytes(Get(key));
  if (!bytes) Reject(key, "a Uint8Array");
  return *std::move(bytes);
}

IpAddress Args::Ip(const char* key) {
  const auto address = ParseIp(Text(key, INET6_ADDRSTRLEN));
  if (!address) Reject(key, "an IPv4 or IPv6 address");
  return *address;
}

IpPrefix Args::Prefix(const char* key) {
  const auto prefix = ParsePrefix(Text(key, INET6_ADDRSTRLEN + 4));
  if (!prefix) Reject(key, "an address and a prefix length, as in 10.0.0.0/8");
  return *prefix;
}

MacAddress Args::Mac(const char* key) {
  const auto mac = ParseMac(Text(key, 17));
  if (!mac) Reject(key, "a MAC address, as in 02:00:00:00:00:01");
  return *mac;
}

Napi::Function Args::Callback(const char* key) {
  const Napi::Value value = Get(key);
  if (!value.IsFunction()) Reject(key, "a function");
  return value.As<Napi::Function>();
}

Napi::Object Args::GetRecord(const char* key) {
  const Napi::Value value = Get(key);
  if (!value.IsObject() || value.IsArray() || value.IsFunction()) Reject(key, "an object");
  return value.As<Napi::Object>();
}

std::map<std::string, std::string> Args::TextRecord(const char* key) {
  const Napi::Object record = GetRecord(key);
  std::map<std::string, std::string> result;
  for (const std::string& name : KeysOf(record)) {
    auto text = AsText(record.Get(name), PATH_MAX - 1);
    if (!text || text->empty()) Reject(key, "an object of strings that are not empty ('" + name + "' is not)");
    result.emplace(name, *std::move(text));
  }
  return result;
}

std::map<std::string, uint32_t> Args::IntegerRecord(const char* key, uint32_t min, uint32_t max) {
  const Napi::Object record = GetRecord(key);
  std::map<std::string, uint32_t> result;
  for (const std::string& name : KeysOf(record)) {
    const auto number = AsInteger(record.Get(name), min, max);
    if (!number) Reject(key, "an object whose values are " + RangeText(min, max) + " ('" + name + "' is not)");
    result.emplace(name, *number);
  }
  return result;
}

std::map<std::string, bool> Args::FlagRecord(const char* key) {
  const Napi::Object record = GetRecord(key);
  std::map<std::string, bool> result;
  for (const std::string& name : KeysOf(record)) {
    const Napi::Value value = record.Get(name);
    if (!value.IsBoolean()) Reject(key, "an object of booleans ('" + name + "' is not)");
    result.emplace(name, value.As<Napi::Boolean>());
  }
  return result;
}

std::map<std::string, Bytes> Args::DataRecord(const char* key) {
  const Napi::Object record = GetRecord(key);
  std::map<std::string, Bytes> result;
  for (const std::string& name : KeysOf(record)) {
    auto bytes = AsBytes(record.Get(name));
    if (!bytes) Reject(key, "an object of Uint8Arrays ('" + name + "' is not)");
    result.emplace(name, *std::move(bytes));
  }
  return result;
}

std::vector<std::string> Args::TextList(const char* key) {
  const Napi::Value value = Get(key);
  if (!value.IsArray()) Reject(key, "an array of strings");
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> result;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    auto text = AsText(array.Get(i), PATH_MAX - 1);
    if (!text) Reject(key, "an array of strings");
    result.push_back(*std::move(text));
  }
  return result;
}

std::vector<uint32_t> Args::IntegerList(const char* key, uint32_t min, uint32_t max) {
  const Napi::Value value = Get(key);
  const std::string expected = "an array of " + RangeText(min, max);
  if (!value.IsArray()) Reject(key, expected);
  const auto array = value.As<Napi::Array>();
  std::vector<uint32_t> result;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const auto number = AsInteger(array.Get(i), min, max);
    if (!number) Reject(key, expected);
    result.push_back(*number);
  }
  return result;
}

void Args::Done() {
  for (const std::string& name : KeysOf(options_)) {
    if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
      throw Napi::TypeError::New(env_, function_ + ": unknown option '" + name + "'");
    }
  }
}

void NoArgs(const Napi::CallbackInfo& info, const std::string& function) {
  if (info.Length() != 0) throw Napi::TypeError::New(info.Env(), function + ": takes no arguments");
}

}  // namespace omni
