#pragma once

namespace omni {

/** LIBBPF_OPTS for C++: everything zero but the size, by which libbpf knows the caller's version of the record. */
template <typename Options>
Options LibbpfOptions() {
  Options options{};
  options.sz = sizeof(options);
  return options;
}

}  // namespace omni
