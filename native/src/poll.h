// A descriptor on the environment's event loop.
#pragma once

#include <napi.h>

#include <functional>

namespace omni {

/**
 * Calls `onReady` on the loop's thread whenever `fd` has input or an error to collect, and keeps the loop alive.
 * Level-triggered. Stops at Close(), when destroyed, or at environment teardown, whichever comes first; `fd` may be
 * closed right after.
 */
class Poll {
 public:
  Poll(Napi::Env env, int fd, std::function<void()> onReady);
  ~Poll() { Close(); }
  Poll(const Poll&) = delete;
  Poll& operator=(const Poll&) = delete;

  /** Idempotent. */
  void Close();

 private:
  struct State;
  /** Deletes itself once libuv let go of the handle. */
  State* state_;
};

}  // namespace omni
