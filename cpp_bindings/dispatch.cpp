#include "dispatch.hpp"

#include <atomic>

namespace edgewright {
namespace {

bool cpu_has_avx2() {
#if EDGEWRIGHT_X86
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2");
#else
  return false;
#endif
}

std::atomic<bool>& flag() {
  static std::atomic<bool> enabled{cpu_has_avx2()};
  return enabled;
}

}  // namespace

bool avx2_enabled() { return flag().load(std::memory_order_relaxed); }

bool allow_avx2(bool allowed) {
  flag().store(allowed && cpu_has_avx2(), std::memory_order_relaxed);
  return avx2_enabled();
}

}  // namespace edgewright
