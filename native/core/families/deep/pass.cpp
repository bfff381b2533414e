// SPDX-License-Identifier: Apache-2.0
#include "families/deep/pass.hpp"

#include "select_kernels.hpp"

namespace bbcodec::deep {

Pass::~Pass() = default;

Symbols::Symbols(bool traced) : traced_(traced) {}
Symbols::~Symbols() = default;

Symbols::Place Symbols::begin(std::size_t n) {
    const std::size_t from = start_.size();
    sections_.push_back(static_cast<std::int64_t>(n));
    start_.resize(from + n), freq_.resize(from + n);
    if (traced_) pixels_.resize(from + n);
    return {start_.data() + from, freq_.data() + from, traced_ ? pixels_.data() + from : nullptr};
}

std::unique_ptr<Pass> make_pass(const ChainJob& job) { return std::unique_ptr<Pass>(deep_pass_maker()(job)); }

}  // namespace bbcodec::deep
