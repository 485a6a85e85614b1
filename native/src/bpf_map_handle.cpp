#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>

#include "bpf_map.h"
#include "bpf_pin.h"
#include "error.h"
#include "libbpf_options.h"

namespace omni {
namespace {

// The kernel's own "not supported" reaches user space from map operations (include/linux/errno.h).
constexpr int kKernelNotSupported = 524;

/** Bytes of keys and values fetched by one system call. */
constexpr size_t kBatchBytes = 512 * 1024;

bool IsPerCpu(uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
         type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

bool IsUnsupported(int error) { return error == kKernelNotSupported || error == EOPNOTSUPP; }

size_t UserValueSize(const bpf_map_info& info) {
  if (!IsPerCpu(info.type)) return info.value_size;
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) ThrowError(-cpus, "libbpf_num_possible_cpus", {});
  return (size_t{info.value_size} + 7) / 8 * 8 * static_cast<size_t>(cpus);
}

}  // namespace

MapHandle::MapHandle(const std::string& pin) : pin_(pin), fd_(OpenPin(pin, PinKind::kMap)) {
  info_ = MapInfoOf(fd_.get(), pin);
  valueSize_ = UserValueSize(info_);
}

std::optional<Bytes> MapHandle::Lookup(const Bytes& key, bool lock) const {
  Bytes value(valueSize_);
  if (bpf_map_lookup_elem_flags(fd_.get(), key.data(), value.data(), lock ? BPF_F_LOCK : 0) == 0) return value;
  if (errno == ENOENT) return std::nullopt;
  ThrowErrno("bpf(BPF_MAP_LOOKUP_ELEM)", pin_);
}

void MapHandle::Update(const uint8_t* key, const uint8_t* value, uint64_t flags) const {
  if (bpf_map_update_elem(fd_.get(), key, value, flags) != 0) ThrowErrno("bpf(BPF_MAP_UPDATE_ELEM)", pin_);
}

bool MapHandle::Delete(const Bytes& key) const {
  if (bpf_map_delete_elem(fd_.get(), key.data()) == 0) return true;
  if (errno == ENOENT) return false;
  ThrowErrno("bpf(BPF_MAP_DELETE_ELEM)", pin_);
}

std::optional<Bytes> MapHandle::Take(const Bytes& key) {
  Bytes value(valueSize_);
  int result = bpf_map_lookup_and_delete_elem_flags(fd_.get(), key.data(), value.data(), takeFlags_);
  if (result != 0 && errno == EINVAL && takeFlags_ != 0) {
    takeFlags_ = 0;
    result = bpf_map_lookup_and_delete_elem_flags(fd_.get(), key.data(), value.data(), takeFlags_);
  }
  if (result == 0) return value;
  if (errno == ENOENT) return std::nullopt;
  if (!IsUnsupported(errno) && errno != EINVAL) ThrowErrno("bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM)", pin_);
  auto found = Lookup(key, false);
  return found && Delete(key) ? found : std::nullopt;
}

MapHandle::Entries MapHandle::ReadAll() const {
  auto batched = ReadBatched();
  return batched ? *std::move(batched) : ReadOneByOne();
}

std::optional<MapHandle::Entries> MapHandle::ReadBatched() const {
  const size_t keySize = info_.key_size;
  auto chunk = static_cast<uint32_t>(std::clamp<size_t>(kBatchBytes / (keySize + valueSize_), 16, 16384));
  Entries entries;
  // The cursor is a bucket number (hash) or a key (array, trie).
  Bytes cursor(std::max<size_t>(keySize, sizeof(uint32_t)));
  Bytes next(cursor.size());
  bool started = false;
  for (;;) {
    entries.keys.resize((size_t{entries.count} + chunk) * keySize);
    entries.values.resize((size_t{entries.count} + chunk) * valueSize_);
    uint32_t count = chunk;
    auto options = LibbpfOptions<bpf_map_batch_opts>();
    const int result =
        bpf_map_lookup_batch(fd_.get(), started ? cursor.data() : nullptr, next.data(),
                             entries.keys.data() + size_t{entries.count} * keySize,
                             entries.values.data() + size_t{entries.count} * valueSize_, &count, &options);
    const int error = result == 0 ? 0 : errno;
    if (error == ENOSPC) {  // one bucket holds more than a chunk
      chunk *= 2;
      continue;
    }
    if (error != 0 && error != ENOENT) {
      if (!started && (IsUnsupported(error) || error == EINVAL)) return std::nullopt;
      ThrowError(error, "bpf(BPF_MAP_LOOKUP_BATCH)", pin_);
    }
    entries.count += count;
    if (error == ENOENT) break;
    started = true;
    cursor.swap(next);
  }
  entries.keys.resize(size_t{entries.count} * keySize);
  entries.values.resize(size_t{entries.count} * valueSize_);
  return entries;
}

MapHandle::Entries MapHandle::ReadOneByOne() const {
  Entries entries;
  Bytes key(info_.key_size);
  const uint8_t* previous = nullptr;
  for (;;) {
    Bytes next(info_.key_size);
    if (bpf_map_get_next_key(fd_.get(), previous, next.data()) != 0) {
      if (errno == ENOENT) return entries;
      ThrowErrno("bpf(BPF_MAP_GET_NEXT_KEY)", pin_);
    }
    key = std::move(next);
    previous = key.data();
    // Gone in between: not an entry any more.
    const auto value = Lookup(key, false);
    if (!value) continue;
    entries.keys.insert(entries.keys.end(), key.begin(), key.end());
    entries.values.insert(entries.values.end(), value->begin(), value->end());
    ++entries.count;
  }
}

void MapHandle::UpdateAll(uint32_t count, const Bytes& keys, const Bytes& values) const {
  if (count == 0) return;
  uint32_t done = count;
  auto options = LibbpfOptions<bpf_map_batch_opts>();
  if (bpf_map_update_batch(fd_.get(), keys.data(), values.data(), &done, &options) == 0) return;
  const int error = errno;
  // Refused as a whole, the kernel leaves the count as it was.
  if (done >= count) done = 0;
  if (done == 0 && (IsUnsupported(error) || error == EINVAL)) return UpdateOneByOne(count, keys, values);
  ThrowError(error, "bpf(BPF_MAP_UPDATE_BATCH)", std::to_string(done));
}

void MapHandle::UpdateOneByOne(uint32_t count, const Bytes& keys, const Bytes& values) const {
  for (uint32_t i = 0; i < count; ++i) {
    const uint8_t* key = keys.data() + size_t{i} * info_.key_size;
    const uint8_t* value = values.data() + size_t{i} * valueSize_;
    if (bpf_map_update_elem(fd_.get(), key, value, BPF_ANY) != 0) {
      ThrowErrno("bpf(BPF_MAP_UPDATE_ELEM)", std::to_string(i));
    }
  }
}

}  // namespace omni
