// MapHandle::Visit
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "bpf_map.h"
#include "error.h"
#include "libbpf_options.h"

namespace omni {
namespace {

/** Stays in a processor's cache while its entries are looked at. */
constexpr size_t kChunkBytes = 128 * 1024;
constexpr size_t kLeastEntries = 64;

}  // namespace

void MapHandle::Visit(const std::function<void(const uint8_t*, const uint8_t*)>& visit) const {
  const size_t keySize = info_.key_size;
  auto chunk = static_cast<uint32_t>(std::max(kChunkBytes / (keySize + valueSize_), kLeastEntries));
  Bytes keys(chunk * keySize);
  Bytes values(chunk * valueSize_);
  Bytes cursor(std::max<size_t>(keySize, sizeof(uint32_t)));
  Bytes next(cursor.size());
  for (bool started = false;;) {
    uint32_t count = chunk;
    auto options = LibbpfOptions<bpf_map_batch_opts>();
    const int result = bpf_map_lookup_batch(fd_.get(), started ? cursor.data() : nullptr, next.data(), keys.data(),
                                            values.data(), &count, &options);
    const int error = result == 0 ? 0 : errno;
    if (error == ENOSPC) {  // one bucket holds more than a chunk
      chunk *= 2;
      keys.resize(chunk * keySize);
      values.resize(chunk * valueSize_);
      continue;
    }
    if (error != 0 && error != ENOENT) {
      if (started) ThrowError(error, "bpf", "map");
      // This map type has no batch operations. Only the first call may fall back: later ones have visited entries already.
      const Entries entries = ReadAll();
      for (uint32_t at = 0; at < entries.count; ++at) {
        visit(entries.keys.data() + at * keySize, entries.values.data() + at * valueSize_);
      }
      return;
    }
    for (uint32_t at = 0; at < count; ++at) visit(keys.data() + at * keySize, values.data() + at * valueSize_);
    if (error == ENOENT) return;
    started = true;
    cursor.swap(next);
  }
}

}  // namespace omni
