// SPDX-License-Identifier: Apache-2.0
// Arrays, copies and comparisons for files that are compiled for several instruction sets.
//
// Everything here has internal linkage. Templates of the standard library have not: the linker keeps one instance of
// each, perhaps the one with instructions that a CPU lacks. Such files use these instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace bbcodec {
namespace {

template <typename T>
inline T smaller(T a, T b) {
    return b < a ? b : a;
}
template <typename T>
inline T larger(T a, T b) {
    return a < b ? b : a;
}

template <typename T>
inline void copy(const T* from, std::size_t n, T* to) {
    for (std::size_t i = 0; i < n; ++i) to[i] = from[i];
}

// An array on the heap. It starts at a cache line, so that no vector crosses one.
template <typename T>
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(std::size_t size) { resize(size); }
    Buffer(const Buffer& other) { *this = other; }
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(const Buffer& other) {
        if (this == &other) return *this;
        resize(other.size_);
        for (std::size_t i = 0; i < size_; ++i) data_[i] = other.data_[i];
        return *this;
    }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Buffer() { release(); }

    // Replaces all elements by `size` new ones: zeros, or what their constructors make.
    void resize(std::size_t size) {
        release();
        if (size == 0) return;
        data_ = static_cast<T*>(::operator new(size * sizeof(T), kLine));
        for (; size_ < size; ++size_) new (data_ + size_) T();
    }
    void assign(std::size_t size, const T& value) {
        resize(size);
        fill(value);
    }
    // Slow: for a few elements.
    void append(const T& value) {
        Buffer more(size_ + 1);
        for (std::size_t i = 0; i < size_; ++i) more[i] = data_[i];
        more[size_] = value;
        swap(more);
    }
    void fill(const T& value) {
        for (std::size_t i = 0; i < size_; ++i) data_[i] = value;
    }

    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    T* data() { return data_; }
    const T* data() const { return data_; }
    T& operator[](std::size_t i) { return data_[i]; }
    const T& operator[](std::size_t i) const { return data_[i]; }
    T* begin() { return data_; }
    T* end() { return data_ + size_; }
    const T* begin() const { return data_; }
    const T* end() const { return data_ + size_; }

  private:
    static constexpr std::align_val_t kLine{64};

    void swap(Buffer& other) noexcept {
        T* const data = data_;
        const std::size_t size = size_;
        data_ = other.data_, size_ = other.size_;
        other.data_ = data, other.size_ = size;
    }
    void release() {
        while (size_ > 0) data_[--size_].~T();
        ::operator delete(data_, kLine);
        data_ = nullptr;
    }

    T* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace
}  // namespace bbcodec
