// SPDX-License-Identifier: Apache-2.0
// Large zeroed memory for tables that are read here and there: on pages that are as large as the system gives them, so that
// few addresses have to be looked up.
#pragma once

#include <cstddef>

namespace bbcodec {

class Pages {
  public:
    Pages() = default;
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    ~Pages() { release(); }

    // Replaces what there was by `bytes` zeros. Throws std::bad_alloc.
    void resize(std::size_t bytes);
    void* data() { return data_; }
    const void* data() const { return data_; }

  private:
    void release();

    void* data_ = nullptr;
    std::size_t bytes_ = 0;
};

}  // namespace bbcodec
