// Typed reading of a call's one options record. Everything is copied out: a getter on the record may run any
// JavaScript, even detach the buffer that was read a line before.
#pragma once

#include <napi.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bytes.h"
#include "inet.h"

namespace omni {

class Args {
 public:
  /** `function` is the name for messages. Throws TypeError unless the call has one object. */
  Args(const Napi::CallbackInfo& info, std::string function);

  /** Absent and `undefined` are the same. */
  bool Has(const char* key);

  /** Non-empty, without NUL, at most `maxLength` bytes of UTF-8. */
  std::string Text(const char* key, size_t maxLength);
  /** May be empty. */
  std::string TextOrEmpty(const char* key, size_t maxLength);
  std::string Path(const char* key);
  /** Non-empty, at most IFNAMSIZ - 1 bytes. */
  std::string InterfaceName(const char* key);
  /** 1 … 2^31 - 1. */
  int Ifindex(const char* key);
  uint32_t Integer(const char* key, uint32_t min, uint32_t max);
  bool Flag(const char* key);
  Bytes Data(const char* key);
  IpAddress Ip(const char* key);
  IpPrefix Prefix(const char* key);
  MacAddress Mac(const char* key);
  Napi::Function Callback(const char* key);
  std::map<std::string, std::string> TextRecord(const char* key);
  std::map<std::string, uint32_t> IntegerRecord(const char* key, uint32_t min, uint32_t max);
  std::map<std::string, bool> FlagRecord(const char* key);
  std::map<std::string, Bytes> DataRecord(const char* key);
  std::vector<std::string> TextList(const char* key);
  std::vector<uint32_t> IntegerList(const char* key, uint32_t min, uint32_t max);

  /** Throws TypeError if the record has a key that nobody asked for. Call last. */
  void Done();

  /** A TypeError that names function and option. */
  [[noreturn]] void Reject(const char* key, const std::string& expected);

 private:
  Napi::Value Get(const char* key);
  Napi::Object GetRecord(const char* key);

  Napi::Env env_;
  std::string function_;
  Napi::Object options_;
  std::vector<std::string> known_;
};

/** Throws TypeError if the call has arguments. */
void NoArgs(const Napi::CallbackInfo& info, const std::string& function);

}  // namespace omni
