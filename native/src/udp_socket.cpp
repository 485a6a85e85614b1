// class UdpSocket: udp(7), behind a filter.
#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "args.h"
#include "bpf_pin.h"
#include "error.h"
#include "exports.h"
#include "fd.h"
#include "stream.h"

namespace omni {
namespace {

/** UDP's own limit over IPv6 without jumbograms. */
constexpr size_t kMaxDatagram = 65535;

struct Datagram {
  Bytes data;
  std::string address;
  uint16_t port;
};

union Address {
  sockaddr any;
  sockaddr_in four;
  sockaddr_in6 six;
};

class UdpSocket : public Stream<UdpSocket> {
 public:
  static constexpr napi_type_tag kTypeTag = {0x6f6d6e6975647073, 0x91d3c05f4ea7268b};

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "UdpSocket",
        {Expose<&UdpSocket::SetFilter>("setFilter"), Expose<&UdpSocket::Send>("send"), Expose<&UdpSocket::Close>("close")});
  }

  explicit UdpSocket(const Napi::CallbackInfo& info) : Stream(info) {
    Guard(info.Env(), [&] {
      Args args(info, "UdpSocket");
      const uint32_t family = args.Integer("family", 4, 6);
      if (family == 5) args.Reject("family", "4 or 6");
      const auto port = static_cast<uint16_t>(args.Integer("port", 1, UINT16_MAX));
      const int receiveBuffer = static_cast<int>(args.Integer("receiveBuffer", 0, INT32_MAX / 2));
      const Napi::Function onDatagram = args.Callback("onDatagram");
      args.Done();

      family_ = family == 4 ? AF_INET : AF_INET6;
      object_ = "UDP port " + std::to_string(port);
      fd_ = Fd(socket(family_, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      if (!fd_.valid()) ThrowErrno("socket", object_);
      SetOption(SOL_SOCKET, SO_RCVBUFFORCE, receiveBuffer);
      // The interface's MTU alone: ICMP errors that say less can be forged by anybody (ip(7), ipv6(7)).
      if (family_ == AF_INET) {
        SetOption(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_INTERFACE);
      } else {
        SetOption(IPPROTO_IPV6, IPV6_V6ONLY, 1);
        SetOption(IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_INTERFACE);
      }
      RefuseAll();
      Bind(port);
      buffer_.resize(kMaxDatagram);
      Listen(onDatagram, fd_.get(), "omni:UdpSocket");
    });
  }

  Napi::Value SetFilter(const Napi::CallbackInfo& info) {
    Args args(info, "UdpSocket.setFilter");
    const std::string program = args.Path("program");
    args.Done();
    if (!fd_.valid()) ThrowError(EBADF, "setsockopt", object_);
    const Fd programFd = OpenPin(program, PinKind::kProgram);
    SetOption(SOL_SOCKET, SO_ATTACH_BPF, programFd.get());
    return info.Env().Undefined();
  }

  Napi::Value Send(const Napi::CallbackInfo& info) {
    Args args(info, "UdpSocket.send");
    const Bytes datagram = args.Data("datagram");
    const IpAddress ip = args.Ip("address");
    const auto port = static_cast<uint16_t>(args.Integer("port", 1, UINT16_MAX));
    if (ip.family != family_) args.Reject("address", "an address of the socket's family");
    args.Done();
    if (!fd_.valid()) ThrowError(EBADF, "sendto", object_);
    Address to{};
    const socklen_t size = Fill(to, ip, port);
    if (sendto(fd_.get(), datagram.data(), datagram.size(), 0, &to.any, size) < 0) ThrowErrno("sendto", object_);
    return info.Env().Undefined();
  }

  std::vector<Datagram> Read() {
    std::vector<Datagram> datagrams;
    while (datagrams.size() < kItemsPerWakeUp && ReadDatagram(datagrams)) continue;
    return datagrams;
  }

  static Napi::Value ToJs(Napi::Env env, const Datagram& datagram) {
    Napi::Object result = Napi::Object::New(env);
    result.Set("data", Napi::Buffer<uint8_t>::Copy(env, datagram.data.data(), datagram.data.size()));
    result.Set("address", datagram.address);
    result.Set("port", Napi::Number::New(env, datagram.port));
    return result;
  }

  void Release() { fd_.Close(); }

 private:
  socklen_t Fill(Address& address, const IpAddress& ip, uint16_t port) const {
    if (family_ == AF_INET) {
      address.four.sin_family = AF_INET;
      address.four.sin_port = htons(port);
      std::memcpy(&address.four.sin_addr, ip.bytes.data(), sizeof(address.four.sin_addr));
      return sizeof(address.four);
    }
    address.six.sin6_family = AF_INET6;
    address.six.sin6_port = htons(port);
    std::memcpy(&address.six.sin6_addr, ip.bytes.data(), sizeof(address.six.sin6_addr));
    return sizeof(address.six);
  }

  /** Before the socket has a port: nothing gets in that no program looked at. */
  void RefuseAll() {
    sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
    const sock_fprog program{1, &none};
    if (setsockopt(fd_.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0)
      ThrowErrno("setsockopt", object_);
  }

  void Bind(uint16_t port) {
    Address address{};
    const socklen_t size = Fill(address, IpAddress{family_, {}}, port);
    if (bind(fd_.get(), &address.any, size) != 0) ThrowErrno("bind", object_);
  }

  void SetOption(int level, int option, int value) {
    if (setsockopt(fd_.get(), level, option, &value, sizeof(value)) != 0) ThrowErrno("setsockopt", object_);
  }

  /** False: nothing more for now. */
  bool ReadDatagram(std::vector<Datagram>& datagrams) {
    Address from{};
    socklen_t size = sizeof(from);
    const ssize_t length = recvfrom(fd_.get(), buffer_.data(), buffer_.size(), 0, &from.any, &size);
    if (length < 0) {
      if (errno == EINTR) return true;
      if (errno == EAGAIN) return false;
      ThrowErrno("recvfrom", object_);
    }
    const bool isFour = family_ == AF_INET;
    const void* bytes = isFour ? static_cast<const void*>(&from.four.sin_addr) : &from.six.sin6_addr;
    datagrams.push_back({.data = Bytes(buffer_.data(), buffer_.data() + length),
                         .address = IpText(family_, bytes, isFour ? 4 : 16),
                         .port = ntohs(isFour ? from.four.sin_port : from.six.sin6_port)});
    return true;
  }

  int family_ = AF_INET;
  std::string object_;
  Fd fd_;
  Bytes buffer_;
};

}  // namespace

void ExportUdpSocket(Napi::Env env, Napi::Object exports) { exports.Set("UdpSocket", UdpSocket::Define(env)); }

}  // namespace omni
