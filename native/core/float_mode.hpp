// SPDX-License-Identifier: Apache-2.0
// The way in which this thread computes with floats, which any library in the process may have changed.
//
// Floats decide in families/local: docs/local.md asks for rounding to nearest and for subnormal numbers. A program that
// set something else (fesetround, torch.set_flush_denormal, -ffast-math) would write files that nobody else can read.
// So each function that Python calls (python/bindings.hpp) and each thread of a crew works under a NormalFloats.
//
// A compiler knows nothing of the register and may move arithmetic past these lines. Let the code that computes be a
// function of another file, which stays behind them.
#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#include <cfenv>
#endif

namespace bbcodec {

// While it exists, this thread rounds to nearest, keeps subnormal numbers, and no operation traps. Afterwards everything
// is as it was before, the flags of exceptions included.
class NormalFloats {
  public:
    NormalFloats(const NormalFloats&) = delete;
    NormalFloats& operator=(const NormalFloats&) = delete;

#if defined(__x86_64__) || defined(_M_X64)
    NormalFloats() : before_(_mm_getcsr()) { _mm_setcsr(kAllMasked); }
    ~NormalFloats() { _mm_setcsr(before_); }

  private:
    static constexpr unsigned kAllMasked = 0x1f80;  // MXCSR: the six exceptions are masked, all else is 0
    const unsigned before_;
#elif defined(__aarch64__)
    // The flags have a register of their own, FPSR. Nobody reads them.
    NormalFloats() : before_(read()) {
        if (before_ != 0) write(0);
    }
    ~NormalFloats() {
        if (before_ != 0) write(before_);
    }

  private:
    static std::uint64_t read() {
        std::uint64_t control;
        __asm__ volatile("mrs %0, fpcr" : "=r"(control));
        return control;
    }
    static void write(std::uint64_t control) { __asm__ volatile("msr fpcr, %0" : : "r"(control) : "memory"); }
    const std::uint64_t before_;
#else
    NormalFloats() {
        std::fegetenv(&before_);
        std::fesetenv(FE_DFL_ENV);
    }
    ~NormalFloats() { std::fesetenv(&before_); }

  private:
    std::fenv_t before_;
#endif
};

}  // namespace bbcodec
