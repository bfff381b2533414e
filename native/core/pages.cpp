// SPDX-License-Identifier: Apache-2.0
#include "pages.hpp"

#include <cstdlib>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace bbcodec {

#if defined(__linux__)

namespace {
constexpr std::size_t kHuge = std::size_t{1} << 21;
}

void Pages::resize(std::size_t bytes) {
    release();
    if (bytes == 0) return;
    // Whole huge pages, and one more: the system gives none where the beginning does not stand at one.
    const std::size_t whole = bytes < kHuge ? bytes : (bytes + kHuge - 1) / kHuge * kHuge;
    void* found = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (found == MAP_FAILED) throw std::bad_alloc();
    data_ = found, bytes_ = whole;
    if (whole >= kHuge) madvise(found, whole, MADV_HUGEPAGE);  // where it is refused, pages are small
}

void Pages::release() {
    if (data_ != nullptr) munmap(data_, bytes_);
    data_ = nullptr, bytes_ = 0;
}

#else

void Pages::resize(std::size_t bytes) {
    release();
    if (bytes == 0) return;
    data_ = std::calloc(bytes, 1), bytes_ = bytes;
    if (data_ == nullptr) throw std::bad_alloc();
}

void Pages::release() {
    std::free(data_);
    data_ = nullptr, bytes_ = 0;
}

#endif

}  // namespace bbcodec
