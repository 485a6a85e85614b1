#pragma once

#include <string>

namespace omni {

/** Turns libbpf's printing from stderr to the LogCapture of the thread, if it has one. Once per process. */
void CaptureLibbpfLog();

/** Collects what libbpf warns on this thread while it lives. Not nested. */
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  const std::string& text() const { return text_; }
  void Append(std::string_view text);

 private:
  std::string text_;
};

}  // namespace omni
