#include "poll.h"

#include <node_api.h>
#include <uv.h>

#include <utility>

#include "error.h"

namespace omni {

struct Poll::State {
  uv_poll_t handle{};
  napi_async_cleanup_hook_handle hook = nullptr;
  std::function<void()> onReady;
  /** Cleared on teardown, when the state goes before its owner does. */
  Poll* owner = nullptr;

  void Start() { uv_poll_start(&handle, UV_READABLE, OnPoll); }

  void Close() {
    if (owner == nullptr) return;
    std::exchange(owner, nullptr)->state_ = nullptr;
    onReady = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(&handle), OnClosed);
  }

  static void OnPoll(uv_poll_t* handle, int status, int /*events*/) {
    auto* self = static_cast<State*>(handle->data);
    // libuv stops the handle when the socket has an error pending (ENOBUFS, ENETDOWN); reading collects it.
    if (status < 0) self->Start();
    // A copy: the callback may close this.
    const std::function<void()> onReady = self->onReady;
    onReady();
  }

  static void OnTeardown(napi_async_cleanup_hook_handle /*hook*/, void* data) { static_cast<State*>(data)->Close(); }

  static void OnClosed(uv_handle_t* handle) {
    auto* self = static_cast<State*>(handle->data);
    napi_remove_async_cleanup_hook(self->hook);
    delete self;
  }
};

Poll::Poll(Napi::Env env, int fd, std::function<void()> onReady) : state_(new State) {
  state_->onReady = std::move(onReady);
  state_->owner = this;
  state_->handle.data = state_;
  uv_loop_t* loop = nullptr;
  int error = UV_EINVAL;
  if (napi_get_uv_event_loop(env, &loop) == napi_ok) error = uv_poll_init(loop, &state_->handle, fd);
  if (error != 0) {
    delete std::exchange(state_, nullptr);
    ThrowError(-error, "uv_poll_init", {});
  }
  napi_add_async_cleanup_hook(env, State::OnTeardown, state_, &state_->hook);
  state_->Start();
}

void Poll::Close() {
  if (state_ != nullptr) state_->Close();
}

}  // namespace omni
