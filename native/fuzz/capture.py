#!/usr/bin/env python3
"""Writes the seeds of native/fuzz/corpus anew: what the kernel of this machine says, and the BTF of the tests' fixtures.

usage, as root in a namespace of its own: unshare --net native/fuzz/capture.py FIXTURE.bpf.o ...
"""
import pathlib
import socket
import struct
import subprocess
import sys

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH = 18, 22, 26, 30
GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME = 16, 3, 2
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
SOL_NETLINK, NETLINK_EXT_ACK, NETLINK_GENERIC = 270, 11, 16
GROUPS = (1, 5, 9, 7, 11, 4)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def attribute(kind, payload):
    return struct.pack("=HH", 4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


def ask(kind, flags, payload, family=socket.NETLINK_ROUTE):
    """One request; the datagrams of its answer."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family) as connection:
        connection.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        connection.bind((0, 0))
        connection.settimeout(10)
        connection.send(struct.pack("=IHHII", 16 + len(payload), kind, NLM_F_REQUEST | flags, 1, 0) + payload)
        while True:
            datagram = connection.recv(65536)
            yield datagram
            offset = 0
            while offset < len(datagram):
                size, answer = struct.unpack_from("=IH", datagram, offset)
                if answer in (2, 3):
                    return
                offset += (size + 3) & ~3


def write(folder, name, data):
    # The end of a dump alone says nothing.
    if len(data) > 20:
        (CORPUS / folder / name).write_bytes(data)


def capture_netlink():
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    listener.bind((0, 0))
    for group in GROUPS:
        listener.setsockopt(SOL_NETLINK, 1, group)
    ip("link", "set", "lo", "up")
    ip("link", "add", "seed0", "address", "02:00:00:00:00:01", "type", "veth", "peer", "seed1", "address", "02:00:00:00:00:02")
    ip("link", "set", "seed1", "up")
    ip("link", "set", "seed0", "alias", "omni:seed", "up")
    ip("address", "add", "192.0.2.1/24", "dev", "seed0")
    ip("address", "add", "2001:db8::1/64", "dev", "seed0", "nodad")
    ip("route", "add", "198.51.100.0/24", "via", "192.0.2.2", "src", "192.0.2.1", "mtu", "1400", "metric", "7")
    ip("route", "add", "203.0.113.0/24", "nexthop", "via", "192.0.2.2", "dev", "seed0", "nexthop", "via", "192.0.2.3", "dev", "seed0")
    ip("route", "add", "198.51.100.128/25", "via", "inet6", "2001:db8::2", "dev", "seed0")
    ip("-6", "route", "add", "2001:db8:1::/48", "via", "2001:db8::2")
    ip("neigh", "add", "192.0.2.2", "lladdr", "02:00:00:00:00:02", "dev", "seed0")
    ip("neigh", "add", "2001:db8::2", "lladdr", "02:00:00:00:00:02", "dev", "seed0")
    subprocess.run(["tc", "qdisc", "add", "dev", "seed0", "clsact"], check=True)
    listener.settimeout(0.5)
    seen = set()
    try:
        while True:
            datagram = listener.recv(65536)
            size, kind = struct.unpack_from("=IH", datagram)
            # One of each shape is enough: the kernel says most things several times.
            if (size, kind) not in seen:
                write("netlink", f"notification-{kind}-{size}", datagram)
            seen.add((size, kind))
    except TimeoutError:
        pass
    index = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex("seed0"), 0, 0)
    for name, kind, flags, payload in (
        ("links", RTM_GETLINK, NLM_F_DUMP, struct.pack("=BxHiII", 0, 0, 0, 0, 0)),
        ("link", RTM_GETLINK, NLM_F_ACK, index),
        ("no-link", RTM_GETLINK, NLM_F_ACK, struct.pack("=BxHiII", 0, 0, 9999, 0, 0)),
        ("bad-request", RTM_GETLINK, NLM_F_ACK, index + attribute(3, b"x" * 40)),
        ("addresses", RTM_GETADDR, NLM_F_DUMP, struct.pack("=BBBBI", 0, 0, 0, 0, 0)),
        ("routes-4", RTM_GETROUTE, NLM_F_DUMP, struct.pack("=8BI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)),
        ("routes-6", RTM_GETROUTE, NLM_F_DUMP, struct.pack("=8BI", socket.AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0)),
        ("neighbours", RTM_GETNEIGH, NLM_F_DUMP, struct.pack("=BxxxiHBB", 0, 0, 0, 0, 0)),
    ):
        for number, datagram in enumerate(ask(kind, flags, payload)):
            write("netlink", f"{name}-{number}", datagram)
    family = struct.pack("=BBH", CTRL_CMD_GETFAMILY, 2, 0) + attribute(CTRL_ATTR_FAMILY_NAME, b"netdev\0")
    for number, datagram in enumerate(ask(GENL_ID_CTRL, NLM_F_ACK, family, NETLINK_GENERIC)):
        write("netlink", f"family-{number}", datagram)
        number_of_family = struct.unpack_from("=H", datagram, datagram.index(b"\x06\x00\x01\x00") + 4)[0]
        device = struct.pack("=BBH", 1, 1, 0) + attribute(1, struct.pack("=I", socket.if_nametoindex("seed0")))
        for part, answer in enumerate(ask(number_of_family, NLM_F_ACK, device, NETLINK_GENERIC)):
            write("netlink", f"features-{part}", answer)
        return


def section(path, wanted):
    """The bytes of one section of a 64-bit little-endian ELF file."""
    data = pathlib.Path(path).read_bytes()
    table, = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, table + size * i) for i in range(count)]
    for name, _kind, _flags, _address, offset, length in headers:
        start = headers[names][4] + name
        if data[start : data.index(b"\0", start)].decode() == wanted:
            return data[offset : offset + length]
    raise SystemExit(f"{path} has no {wanted}")


capture_netlink()
for fixture in sys.argv[1:]:
    write("btf", pathlib.Path(fixture).name.split(".")[0], section(fixture, ".BTF"))
