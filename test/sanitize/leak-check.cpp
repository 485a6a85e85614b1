// Linked into instrumented addons only. Reports leaked memory when a process that loaded one ends.
#include <sanitizer/lsan_interface.h>

namespace {

struct LeakCheck {
  ~LeakCheck() { __lsan_do_recoverable_leak_check(); }
} atExit;

}  // namespace
