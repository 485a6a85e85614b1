// Loading an object, free of JavaScript: it runs on a pool thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bytes.h"

namespace omni {

struct LoadRequest {
  std::string object;
  std::string pinMaps;
  std::map<std::string, std::string> pinPrograms;
  std::map<std::string, Bytes> rodata;
  std::map<std::string, uint32_t> maxEntries;
  bool stats = false;
};

struct LoadedProgram {
  std::string name;
  uint32_t id;
  std::string tag;
  uint32_t instructions;
  uint32_t jitedBytes;
  uint32_t verifiedInstructions;
};

struct LoadResult {
  std::vector<LoadedProgram> programs;
  std::string log;
};

/** Throws NativeError; then nothing new stays pinned. */
LoadResult LoadObject(const LoadRequest& request);

}  // namespace omni
