// Which instructions the kernels may use, decided when the program runs.
#pragma once

#define EDGEWRIGHT_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define EDGEWRIGHT_X86 1
#define EDGEWRIGHT_AVX2 __attribute__((target("avx2")))
#else
#define EDGEWRIGHT_X86 0
#define EDGEWRIGHT_AVX2
#endif

namespace edgewright {

// Whether this CPU has AVX2 and nobody forbade its use.
bool avx2_enabled();

// Allow or forbid AVX2; returns whether it is used from now on.
bool allow_avx2(bool allowed);

}  // namespace edgewright

// A kernel's body is an always-inline function; this makes its two versions and the function that picks one.
// The body holds no lambda: a lambda would not inherit the target.
#define EDGEWRIGHT_DISPATCH(name, parameters, arguments)              \
  static void name##_portable parameters { name##_body arguments; }   \
  EDGEWRIGHT_AVX2 static void name##_avx2 parameters { name##_body arguments; } \
  static inline void name parameters {                                \
    if (avx2_enabled()) {                                             \
      name##_avx2 arguments;                                          \
    } else {                                                          \
      name##_portable arguments;                                      \
    }                                                                 \
  }
