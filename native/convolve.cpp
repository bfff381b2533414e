// SPDX-License-Identifier: Apache-2.0
#include "convolve.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace bbcodec {
namespace {

constexpr std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

// Padded images of a group are kept near this size, to stay in the second level cache between padding and use.
constexpr std::size_t kGroupBytes = 256 << 10;

// Memory of one thread that outlives a call: fresh pages would cost as much as a small convolution.
template <typename T>
T* scratch(std::size_t size) {
    constexpr std::size_t kKeep = (std::size_t{16} << 20) / sizeof(T);
    thread_local std::vector<T> buffer;
    if (buffer.size() < size || buffer.size() > std::max(size, kKeep)) {
        std::vector<T>().swap(buffer);
        buffer.resize(size);
    }
    return buffer.data();
}

// The same, at the start of a cache line, which the widest vectors want.
std::uint64_t* aligned_scratch(std::size_t size) {
    constexpr std::size_t kLine = 64;
    const auto at = reinterpret_cast<std::uintptr_t>(scratch<std::uint64_t>(size + kLine / sizeof(std::uint64_t)));
    return reinterpret_cast<std::uint64_t*>((at + kLine - 1) / kLine * kLine);
}

// Copies images into frames of `margin` zeros on each side (zero bits are +1, as the convention wants).
template <typename T>
void pad(const T* x, const MapShape& shape, std::size_t depth, std::size_t margin, T* out) {
    const std::size_t row = shape.width * depth;
    const std::size_t side = margin * depth;
    const std::size_t band = margin * (row + 2 * side);
    for (std::size_t image = 0; image < shape.n; ++image) {
        out = std::fill_n(out, band, T{0});
        for (std::size_t y = 0; y < shape.height; ++y, x += row) {
            out = std::fill_n(out, side, T{0});
            out = std::copy_n(x, row, out);
            out = std::fill_n(out, side, T{0});
        }
        out = std::fill_n(out, band, T{0});
    }
}

// Runs `tile(pointers, acc, stride)` over all pixels.  `slack` elements behind the last one may be read by a tile.
template <typename T, typename TileFn>
void convolve(const T* x, MapShape shape, std::size_t depth, std::size_t kernel, std::size_t outputs, std::size_t slack,
              const Epilogue& epilogue, TileFn&& tile) {
    const Kernels& table = kernels();
    const std::size_t margin = kernel / 2;
    const std::size_t stride = round_up(outputs, kAccStep);
    std::vector<std::int32_t> acc(kPixels * stride, 0);
    const bool direct = kernel == 1 && slack == 0;
    if (direct) shape = {1, 1, shape.pixels()};
    const std::size_t line = (shape.width + 2 * margin) * depth;
    const std::size_t frame = (shape.height + 2 * margin) * line;
    const std::size_t group = direct ? 1 : std::max<std::size_t>(1, kGroupBytes / sizeof(T) / frame);
    const std::size_t size = shape.height * shape.width;
    for (std::size_t start = 0; start < shape.n; start += group) {
        const MapShape part{std::min(group, shape.n - start), shape.height, shape.width};
        const T* base = x + start * size * depth;
        if (!direct) {
            T* padded = scratch<T>(part.n * frame + slack);
            pad(base, part, depth, margin, padded);
            std::fill_n(padded + part.n * frame, slack, T{0});
            base = padded;
        }
        const std::size_t total = part.pixels();
        std::size_t column = 0, row = 0;
        const T* at = base;
        for (std::size_t first = 0; first < total; first += kPixels) {
            const std::size_t count = std::min(kPixels, total - first);
            const T* pointers[kPixels];
            for (std::size_t p = 0; p < count; ++p) {
                pointers[p] = at;
                at += depth;
                if (++column == shape.width) {
                    column = 0;
                    at += 2 * margin * depth;
                    if (++row == shape.height) {
                        row = 0;
                        at += 2 * margin * line;
                    }
                }
            }
            // A last, partial tile computes its last pixel several times.
            std::fill(pointers + count, pointers + kPixels, pointers[count - 1]);
            tile(table, pointers, acc.data(), stride, line);
            finish(table, epilogue, acc.data(), stride, outputs, start * size + first, count);
        }
    }
}

void check_conv(std::size_t outputs, std::size_t kernel, std::size_t channels) {
    constexpr std::size_t kMost = 8192;  // as in the static check
    if (kernel != 1 && kernel != 3 && kernel != 5) throw std::invalid_argument("kernel must be 1, 3 or 5");
    if (outputs < 1 || outputs > kMost || channels < 1 || channels > kMost)
        throw std::invalid_argument("channels must be 1 to 8192");
}

}  // namespace

BitConv::BitConv(const std::uint64_t* weights, std::size_t outputs, std::size_t kernel, std::size_t channels)
    : outputs_(outputs), kernel_(kernel), channels_(channels), words_((channels + 63) / 64) {
    check_conv(outputs, kernel, channels);
    sliced_ = SlicedWeights(weights, outputs, kernel, channels);
    const std::size_t size = kernel * kernel * words_;
    weights_.assign(round_up(outputs, kBitBlock) * size, 0);
    for (std::size_t o = 0; o < outputs; ++o)
        for (std::size_t j = 0; j < size; ++j)
            weights_[((o / kBitBlock) * size + j) * kBitBlock + o % kBitBlock] = weights[o * size + j];
}

void BitConv::run(const std::uint64_t* x, const MapShape& shape, const Epilogue& epilogue) const {
    const Kernels& best = kernels();
    if (sliced_.pays(shape, best)) {
        const SlicedSizes sizes(sliced_, shape, best.lanes);
        best.sliced({x, &shape, &sliced_, &sizes, &epilogue, &best, aligned_scratch(sizes.total())});
        return;
    }
    BitTile tile{};
    std::vector<std::ptrdiff_t> offsets(kernel_ * kernel_ * words_);
    tile.words = offsets.size();
    tile.weights = weights_.data();
    tile.blocks = weights_.size() / (tile.words * kBitBlock);
    tile.bias = static_cast<std::int32_t>(kernel_ * kernel_ * channels_);
    std::size_t known_line = 0;
    convolve(x, shape, words_, kernel_, outputs_, 0, epilogue,
             [&](const Kernels& table, const std::uint64_t* const* pointers, std::int32_t* acc, std::size_t stride,
                 std::size_t line) {
                 if (line != known_line) {
                     known_line = line;
                     for (std::size_t dy = 0, j = 0; dy < kernel_; ++dy)
                         for (std::size_t i = 0; i < kernel_ * words_; ++i)
                             offsets[j++] = static_cast<std::ptrdiff_t>(dy * line + i);
                     tile.offsets = offsets.data();
                 }
                 std::copy_n(pointers, kPixels, tile.x);
                 tile.acc = acc;
                 tile.stride = stride;
                 table.bit_tile(tile);
             });
}

IntConv::IntConv(const std::int8_t* weights, std::size_t outputs, std::size_t kernel, std::size_t channels)
    : outputs_(outputs), kernel_(kernel), channels_(channels), pairs_((kernel * channels + 1) / 2) {
    check_conv(outputs, kernel, channels);
    // A row of taps is contiguous in the padded map (pixel by pixel, channel by channel) and is cut into pairs; where its
    // length is odd, the last pair reaches into the next element, which meets a weight of 0.
    const std::size_t row = kernel * channels;
    const std::size_t size = kernel * pairs_;
    weights_.assign(round_up(outputs, kIntBlock) * size * 2, 0);
    for (std::size_t o = 0; o < outputs; ++o)
        for (std::size_t dy = 0; dy < kernel; ++dy)
            for (std::size_t i = 0; i < row; ++i) {
                const std::size_t pair = (o / kIntBlock) * size + dy * pairs_ + i / 2;
                weights_[(pair * kIntBlock + o % kIntBlock) * 2 + i % 2] = weights[(o * kernel + dy) * row + i];
            }
}

void IntConv::run(const std::int16_t* x, const MapShape& shape, const Epilogue& epilogue) const {
    IntTile tile{};
    std::vector<std::ptrdiff_t> offsets(kernel_ * pairs_);
    tile.pairs = offsets.size();
    tile.weights = weights_.data();
    tile.blocks = weights_.size() / (tile.pairs * kIntBlock * 2);
    const std::size_t slack = kernel_ * channels_ % 2;
    std::size_t known_line = 0;
    convolve(x, shape, channels_, kernel_, outputs_, slack, epilogue,
             [&](const Kernels& table, const std::int16_t* const* pointers, std::int32_t* acc, std::size_t stride,
                 std::size_t line) {
                 if (line != known_line) {
                     known_line = line;
                     for (std::size_t dy = 0, j = 0; dy < kernel_; ++dy)
                         for (std::size_t i = 0; i < pairs_; ++i)
                             offsets[j++] = static_cast<std::ptrdiff_t>(dy * line + 2 * i);
                     tile.offsets = offsets.data();
                 }
                 std::copy_n(pointers, kPixels, tile.x);
                 tile.acc = acc;
                 tile.stride = stride;
                 table.int_tile(tile);
             });
}

}  // namespace bbcodec
