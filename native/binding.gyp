{
  "targets": [
    {
      "target_name": "omni_native",
      "sources": [
        "src/addon.cpp",
        "src/args.cpp",
        "src/bpf_link.cpp",
        "src/bpf_load.cpp",
        "src/bpf_map.cpp",
        "src/bpf_map_handle.cpp",
        "src/bpf_object.cpp",
        "src/bpf_pin.cpp",
        "src/bpf_program.cpp",
        "src/bpf_program_map.cpp",
        "src/bpf_test_run.cpp",
        "src/btf.cpp",
        "src/btf_reader.cpp",
        "src/error.cpp",
        "src/ethtool.cpp",
        "src/guard.cpp",
        "src/inet.cpp",
        "src/libbpf_log.cpp",
        "src/misc.cpp",
        "src/netdev.cpp",
        "src/netlink.cpp",
        "src/netlink_address.cpp",
        "src/netlink_decode.cpp",
        "src/netlink_link.cpp",
        "src/netlink_link_change.cpp",
        "src/netlink_message.cpp",
        "src/netlink_monitor.cpp",
        "src/netlink_neighbour.cpp",
        "src/netlink_notification.cpp",
        "src/netlink_route.cpp",
        "src/packet_socket.cpp",
        "src/poll.cpp",
        "src/probe.cpp",
        "src/ring_buffer.cpp"
      ],
      "defines": ["NAPI_VERSION=8", "NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": [
        "-std=c++20",
        "-fexceptions",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-isystem <!(node -p \"require('path').resolve(require('node-addon-api').include_dir)\")",
        "<!@(pkg-config --cflags libbpf libelf zlib libmnl)"
      ],
      "libraries": ["<!@(pkg-config --libs libbpf libelf zlib libmnl)"],
      "configurations": { "Release": { "cflags_cc": ["-O2"] } }
    }
  ]
}
