// Which neighbour notifications a socket is given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace omni {

constexpr size_t kMaxNeighbourLinks = 64;

/**
 * Lets the kernel drop, before they wake anybody, notifications of neighbours on other links than `ifindexes`, those that
 * the netlink port `exceptPort` caused, and deletions of entries that had ceased to be valid before, which was notified.
 * Notifications of other kinds pass. Takes the place of an earlier filter.
 */
void FilterNeighbours(int fd, const std::vector<uint32_t>& ifindexes, uint32_t exceptPort);

}  // namespace omni
