// A map's elements, free of JavaScript.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "bytes.h"
#include "fd.h"

namespace omni {

class MapHandle {
 public:
  explicit MapHandle(const std::string& pin);

  const bpf_map_info& info() const { return info_; }
  const std::string& pin() const { return pin_; }
  /** Bytes of a value in user space: per-CPU maps have one per possible CPU, each padded to 8. */
  size_t valueSize() const { return valueSize_; }

  std::optional<Bytes> Lookup(const Bytes& key, bool lock) const;
  void Update(const uint8_t* key, const uint8_t* value, uint64_t flags) const;
  bool Delete(const Bytes& key) const;
  std::optional<Bytes> Take(const Bytes& key);

  struct Entries {
    uint32_t count = 0;
    Bytes keys;
    Bytes values;
  };
  Entries ReadAll() const;
  /** All entries, without ever holding all of them. */
  void Visit(const std::function<void(const uint8_t* key, const uint8_t* value)>& visit) const;
  /** Throws with the index of the first entry that failed as `object`. */
  void UpdateAll(uint32_t count, const Bytes& keys, const Bytes& values) const;

  void Close() { fd_.Close(); }
  bool open() const { return fd_.valid(); }

 private:
  std::optional<Entries> ReadBatched() const;
  Entries ReadOneByOne() const;
  void UpdateOneByOne(uint32_t count, const Bytes& keys, const Bytes& values) const;

  std::string pin_;
  Fd fd_;
  bpf_map_info info_{};
  size_t valueSize_ = 0;
  /** BPF_F_LOCK until the kernel said that the value has no lock. */
  uint64_t takeFlags_ = BPF_F_LOCK;
};

}  // namespace omni
