// class PacketSocket: packet(7).
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "args.h"
#include "error.h"
#include "exports.h"
#include "fd.h"
#include "stream.h"

namespace omni {
namespace {

/** A frame that GRO merged, its Ethernet header, and the VLAN tag that we put back. */
constexpr size_t kMaxFrame = 65535 + ETH_HLEN + 4;
constexpr size_t kVlanOffset = 2 * ETH_ALEN;

std::string InterfaceText(int ifindex) { return "ifindex " + std::to_string(ifindex); }

/** The kernel takes the outermost VLAN tag out of the frame and hands it over beside. */
void RestoreVlanTag(msghdr& header, Bytes& frame) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_PACKET || control->cmsg_type != PACKET_AUXDATA) continue;
    tpacket_auxdata auxiliary{};
    std::memcpy(&auxiliary, CMSG_DATA(control), sizeof(auxiliary));
    if ((auxiliary.tp_status & TP_STATUS_VLAN_VALID) == 0 || frame.size() < kVlanOffset) return;
    const bool hasType = (auxiliary.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0;
    const std::array<uint16_t, 2> tag = {htons(hasType ? auxiliary.tp_vlan_tpid : uint16_t{ETH_P_8021Q}),
                                         htons(auxiliary.tp_vlan_tci)};
    const auto* bytes = reinterpret_cast<const uint8_t*>(tag.data());
    frame.insert(frame.begin() + kVlanOffset, bytes, bytes + sizeof(tag));
    return;
  }
}

class PacketSocket : public Stream<PacketSocket> {
 public:
  static constexpr napi_type_tag kTypeTag = {0x6f6d6e6970616b74, 0x2c9fe41837b5d06a};

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "PacketSocket",
                       {Expose<&PacketSocket::Send>("send"), Expose<&PacketSocket::Close>("close")});
  }

  explicit PacketSocket(const Napi::CallbackInfo& info) : Stream(info) {
    Guard(info.Env(), [&] {
      Args args(info, "PacketSocket");
      ifindex_ = args.Ifindex("ifindex");
      const int receiveBuffer = static_cast<int>(args.Integer("receiveBuffer", 0, INT32_MAX / 2));
      const bool outgoing = args.Flag("outgoing");
      const bool receives = args.Has("onFrame");
      const Napi::Function onFrame = receives ? args.Callback("onFrame") : Napi::Function();
      const bool filters = args.Has("protocol");
      const uint16_t protocol =
          filters ? static_cast<uint16_t>(args.Integer("protocol", ETH_P_802_3_MIN, UINT16_MAX)) : uint16_t{ETH_P_ALL};
      if (filters && !receives) args.Reject("protocol", "absent where nothing is received");
      args.Done();
      // Protocol 0 receives nothing until it is bound to one interface.
      fd_ = Fd(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      if (!fd_.valid()) ThrowErrno("socket", "AF_PACKET");
      if (receives) {
        SetOption(SOL_SOCKET, SO_RCVBUFFORCE, receiveBuffer);
        SetOption(SOL_PACKET, PACKET_AUXDATA, 1);
        if (!outgoing) SetOption(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
        buffer_.resize(kMaxFrame);
      }
      Bind(receives ? protocol : uint16_t{0});
      if (receives) Listen(onFrame, fd_.get(), "omni:PacketSocket");
    });
  }

  Napi::Value Send(const Napi::CallbackInfo& info) {
    Args args(info, "PacketSocket.send");
    const Bytes frame = args.Data("frame");
    if (frame.size() < ETH_HLEN || frame.size() > kMaxFrame) {
      args.Reject("frame", "of " + std::to_string(ETH_HLEN) + " to " + std::to_string(kMaxFrame) + " bytes");
    }
    args.Done();
    if (!fd_.valid()) ThrowError(EBADF, "sendto", InterfaceText(ifindex_));
    sockaddr_ll address = Address(0);
    // For the qdisc and the taps: the type of the frame itself.
    std::memcpy(&address.sll_protocol, frame.data() + kVlanOffset, sizeof(address.sll_protocol));
    const ssize_t sent =
        sendto(fd_.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    if (sent < 0) ThrowErrno("sendto", InterfaceText(ifindex_));
    return info.Env().Undefined();
  }

  std::vector<Bytes> Read() {
    std::vector<Bytes> frames;
    while (frames.size() < kItemsPerWakeUp && ReadFrame(frames)) continue;
    return frames;
  }

  static Napi::Value ToJs(Napi::Env env, const Bytes& frame) {
    return Napi::Buffer<uint8_t>::Copy(env, frame.data(), frame.size());
  }

  void Release() { fd_.Close(); }

 private:
  sockaddr_ll Address(uint16_t protocol) const {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(protocol);
    address.sll_ifindex = ifindex_;
    address.sll_halen = ETH_ALEN;
    return address;
  }

  void Bind(uint16_t protocol) {
    sockaddr_ll address = Address(protocol);
    if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
      ThrowErrno("bind", InterfaceText(ifindex_));
  }

  void SetOption(int level, int option, int value) {
    if (setsockopt(fd_.get(), level, option, &value, sizeof(value)) != 0) ThrowErrno("setsockopt", "AF_PACKET");
  }

  /** False: nothing more for now. */
  bool ReadFrame(std::vector<Bytes>& frames) {
    alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(sizeof(tpacket_auxdata))> control{};
    iovec part{buffer_.data(), buffer_.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t size = recvmsg(fd_.get(), &header, 0);
    if (size < 0) {
      // The interface went down or away: reported once; frames come again when it is up.
      if (errno == ENETDOWN || errno == EINTR) return true;
      if (errno == EAGAIN) return false;
      ThrowErrno("recvmsg", InterfaceText(ifindex_));
    }
    Bytes& frame = frames.emplace_back(buffer_.data(), buffer_.data() + size);
    RestoreVlanTag(header, frame);
    return true;
  }

  int ifindex_ = 0;
  Fd fd_;
  Bytes buffer_;
};

}  // namespace

void ExportPacketSocket(Napi::Env env, Napi::Object exports) { exports.Set("PacketSocket", PacketSocket::Define(env)); }

}  // namespace omni
