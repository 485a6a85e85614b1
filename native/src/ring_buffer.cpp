// class RingBuffer
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "args.h"
#include "bpf_pin.h"
#include "error.h"
#include "exports.h"
#include "libbpf_log.h"
#include "stream.h"

namespace omni {
namespace {

struct FreeRing {
  void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};

class RingBuffer : public Stream<RingBuffer> {
 public:
  static constexpr napi_type_tag kTypeTag = {0x6f6d6e6972696e67, 0x91d3e07b64a25c18};

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "RingBuffer", {Expose<&RingBuffer::Close>("close")});
  }

  explicit RingBuffer(const Napi::CallbackInfo& info) : Stream(info) {
    Guard(info.Env(), [&] {
      Args args(info, "RingBuffer");
      const std::string pin = args.Path("pin");
      const Napi::Function onRecord = args.Callback("onRecord");
      args.Done();
      LogCapture log;
      map_ = OpenPin(pin, PinKind::kMap);
      ring_.reset(ring_buffer__new(map_.get(), OnSample, &records_, nullptr));
      if (!ring_)
        throw NativeError(
            {.error = errno, .syscall = "ring_buffer__new", .object = pin, .log = log.text(), .detail = {}});
      Listen(onRecord, ring_buffer__epoll_fd(ring_.get()), "omni:RingBuffer");
    });
  }

  std::vector<Bytes> Read() {
    const int result = ring_buffer__consume(ring_.get());
    if (result < 0 && result != -ECANCELED) ThrowError(-result, "ring_buffer__consume", {});
    return std::exchange(records_, {});
  }

  static Napi::Value ToJs(Napi::Env env, const Bytes& record) {
    return Napi::Buffer<uint8_t>::Copy(env, record.data(), record.size());
  }

  void Release() {
    ring_.reset();
    map_.Close();
  }

 private:
  /** The record is consumed whatever this returns; a negative number ends the round. */
  static int OnSample(void* context, void* data, size_t size) {
    auto& records = *static_cast<std::vector<Bytes>*>(context);
    const auto* bytes = static_cast<const uint8_t*>(data);
    records.emplace_back(bytes, bytes + size);
    return records.size() < kItemsPerWakeUp ? 0 : -ECANCELED;
  }

  Fd map_;
  std::vector<Bytes> records_;
  std::unique_ptr<ring_buffer, FreeRing> ring_;
};

}  // namespace

void ExportRingBuffer(Napi::Env env, Napi::Object exports) { exports.Set("RingBuffer", RingBuffer::Define(env)); }

}  // namespace omni
