#include "map_tracker.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace omni {
namespace {

constexpr size_t kWord = sizeof(uint64_t);

/** The finalizer of SplitMix64: every bit of the word changes half of the result's. */
uint64_t Mix(uint64_t word) {
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
  word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
  return word ^ (word >> 31);
}

/** At most `size` bytes; zeros follow. */
uint64_t Load(const uint8_t* bytes, size_t size) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, size < kWord ? size : kWord);
  return word;
}

}  // namespace

MapTracker::MapTracker(const MapHandle& map, const Bytes& mask)
    : keySize_(map.info().key_size), mask_((mask.size() + kWord - 1) / kWord * kWord), valueSize_(mask.size()) {
  first_ = mask_.size() / kWord;
  for (size_t at = 0; at < mask.size(); ++at) {
    if (mask[at] == 0) continue;
    mask_[at] = 0xff;
    first_ = std::min(first_, at / kWord);
    end_ = at / kWord + 1;
  }
  map.Visit([&](const uint8_t* key, const uint8_t* value) { Wrote(key, value); });
}

uint64_t MapTracker::HashOf(const uint8_t* key, const uint8_t* value) const {
  uint64_t hash = 0x9e3779b97f4a7c15;
  for (size_t at = 0; at < keySize_; at += kWord) hash = Mix(hash ^ Load(key + at, keySize_ - at));
  for (size_t word = first_; word < end_; ++word) {
    const size_t at = word * kWord;
    hash = Mix(hash ^ (Load(value + at, valueSize_ - at) & Load(mask_.data() + at, kWord)));
  }
  return hash;
}

void MapTracker::Wrote(const uint8_t* key, const uint8_t* value) {
  uint64_t& hash = hashes_[KeyOf(key)];
  const uint64_t now = HashOf(key, value);
  sum_ += now - hash;
  hash = now;
}

void MapTracker::Deleted(const uint8_t* key) {
  const auto found = hashes_.find(KeyOf(key));
  if (found == hashes_.end()) return;
  sum_ -= found->second;
  hashes_.erase(found);
}

MapChanges MapTracker::Compare(const MapHandle& map) {
  uint64_t sum = 0;
  size_t count = 0;
  map.Visit([&](const uint8_t* key, const uint8_t* value) {
    sum += HashOf(key, value);
    ++count;
  });
  if (sum == sum_ && count == hashes_.size()) return {};
  return Differences(map);
}

MapChanges MapTracker::Differences(const MapHandle& map) {
  MapChanges changes;
  std::unordered_map<std::string, uint64_t> before = std::exchange(hashes_, {});
  sum_ = 0;
  map.Visit([&](const uint8_t* key, const uint8_t* value) {
    const std::string name = KeyOf(key);
    const auto found = before.find(name);
    Wrote(key, value);
    if (found == before.end()) {
      changes.added += name;
      return;
    }
    if (found->second != HashOf(key, value)) changes.changed += name;
    before.erase(found);
  });
  for (const auto& [name, hash] : before) changes.removed += name;
  return changes;
}

}  // namespace omni
