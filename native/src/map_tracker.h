// What a map should hold: what was found in it, and what this process wrote since. Free of JavaScript.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "bpf_map.h"
#include "bytes.h"

namespace omni {

/** Keys of entries, concatenated. */
struct MapChanges {
  std::string added;
  std::string changed;
  std::string removed;
};

class MapTracker {
 public:
  /** Of values the bytes count whose byte in `mask` is not 0. Starts with what is in the map. */
  MapTracker(const MapHandle& map, const Bytes& mask);

  void Wrote(const uint8_t* key, const uint8_t* value);
  void Deleted(const uint8_t* key);
  /** What others changed since it was last told; from then on it is as it should be. One pass over the map where nothing differs. */
  MapChanges Compare(const MapHandle& map);

 private:
  uint64_t HashOf(const uint8_t* key, const uint8_t* value) const;
  std::string KeyOf(const uint8_t* key) const { return {reinterpret_cast<const char*>(key), keySize_}; }
  MapChanges Differences(const MapHandle& map);

  size_t keySize_;
  /** All ones where a byte counts, in words, so that values are hashed by words; as long as a value, rounded up. */
  Bytes mask_;
  size_t valueSize_;
  /** First word of the mask that counts, and the word behind the last. */
  size_t first_ = 0;
  size_t end_ = 0;
  std::unordered_map<std::string, uint64_t> hashes_;
  /** Of all hashes: in no order, as a map has none. */
  uint64_t sum_ = 0;
};

}  // namespace omni
