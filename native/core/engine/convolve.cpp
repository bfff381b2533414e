// SPDX-License-Identifier: Apache-2.0
#include "engine/convolve.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "engine/kernels/kernels.hpp"
#include "select_kernels.hpp"

namespace bbcodec {
namespace {

constexpr std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

// Padded images of a group are kept near this size, to stay in the second level cache between padding and use.
constexpr std::size_t kGroupBytes = 256 << 10;

// Returns memory that each thread keeps for its next call: fresh pages would cost as much as a small convolution.
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

// The same, aligned to a cache line for the widest vectors.
std::uint64_t* aligned_scratch(std::size_t size) {
    constexpr std::size_t kLine = 64;
    const auto at = reinterpret_cast<std::uintptr_t>(scratch<std::uint64_t>(size + kLine / sizeof(std::uint64_t)));
    return reinterpret_cast<std::uint64_t*>((at + kLine - 1) / kLine * kLine);
}

// Tiles write outputs in blocks. If all blocks are whole, tiles write to the output itself.
constexpr std::size_t kWholeOutputs = std::max(kBitBlock, kIntBlock);

// The ways of numbers into a padded map. Bits of padding are 0, which stands for +1.
template <typename T>
struct Copied {
    typedef T From;
    typedef T To;
    static constexpr bool kSame = true;
    T zero = 0;
    T* run(const T* x, std::size_t size, T* out) const { return std::copy_n(x, size, out); }
};

struct Narrowed {
    typedef std::int16_t From;
    typedef std::uint8_t To;
    static constexpr bool kSame = false;
    std::uint8_t zero;
    std::uint8_t* run(const std::int16_t* x, std::size_t size, std::uint8_t* out) const {
        for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(x[i] + zero);
        return out + size;
    }
};

// Writes images with `margin` zeros on each side.
template <typename Way>
void pad(const Way& way, const typename Way::From* x, const MapShape& shape, std::size_t depth, std::size_t margin,
         typename Way::To* out) {
    const std::size_t row = shape.width * depth;
    const std::size_t side = margin * depth;
    const std::size_t band = margin * (row + 2 * side);
    for (std::size_t image = 0; image < shape.n; ++image) {
        out = std::fill_n(out, band, way.zero);
        for (std::size_t y = 0; y < shape.height; ++y, x += row) {
            out = std::fill_n(out, side, way.zero);
            out = way.run(x, row, out);
            out = std::fill_n(out, side, way.zero);
        }
        out = std::fill_n(out, band, way.zero);
    }
}

// Runs `tile(pointers, acc, stride)` over all pixels. A tile may read `slack` elements behind the last one.
template <typename Way, typename TileFn>
void convolve(const Way& way, const typename Way::From* x, MapShape shape, std::size_t depth, std::size_t kernel,
              std::size_t outputs, std::size_t slack, const Epilogue& epilogue, TileFn&& tile) {
    typedef typename Way::To T;
    const Kernels& table = kernels();
    const std::size_t margin = kernel / 2;
    const std::size_t stride = round_up(outputs, kAccStep);
    std::vector<std::int32_t> acc(kPixels * stride, 0);
    const bool direct = Way::kSame && kernel == 1 && slack == 0;
    if (direct) shape = {1, 1, shape.pixels()};
    const std::size_t line = (shape.width + 2 * margin) * depth;
    const std::size_t frame = (shape.height + 2 * margin) * line;
    const std::size_t group = direct ? 1 : std::max<std::size_t>(1, kGroupBytes / sizeof(T) / frame);
    const std::size_t size = shape.height * shape.width;
    for (std::size_t start = 0; start < shape.n; start += group) {
        const MapShape part{std::min(group, shape.n - start), shape.height, shape.width};
        const typename Way::From* const from = x + start * size * depth;
        const T* at;
        if (direct) {
            at = reinterpret_cast<const T*>(from);
        } else {
            T* padded = scratch<T>(part.n * frame + slack);
            pad(way, from, part, depth, margin, padded);
            std::fill_n(padded + part.n * frame, slack, T{0});
            at = padded;
        }
        const std::size_t total = part.pixels();
        std::size_t column = 0, row = 0;
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
            // A partial tile at the end computes its last pixel several times.
            std::fill(pointers + count, pointers + kPixels, pointers[count - 1]);
            if (epilogue.acc != nullptr && outputs % kWholeOutputs == 0 && count == kPixels) {
                tile(table, pointers, epilogue.acc + (start * size + first) * outputs, outputs, line);
            } else {
                tile(table, pointers, acc.data(), stride, line);
                finish(table, epilogue, acc.data(), stride, outputs, start * size + first, count);
            }
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
    convolve(
        Copied<std::uint64_t>{}, x, shape, words_, kernel_, outputs_, 0, epilogue,
        [&](const Kernels& table, const std::uint64_t* const* pointers, std::int32_t* acc, std::size_t stride, std::size_t line) {
            if (line != known_line) {
                known_line = line;
                for (std::size_t dy = 0, j = 0; dy < kernel_; ++dy)
                    for (std::size_t i = 0; i < kernel_ * words_; ++i) offsets[j++] = static_cast<std::ptrdiff_t>(dy * line + i);
                tile.offsets = offsets.data();
            }
            std::copy_n(pointers, kPixels, tile.x);
            tile.acc = acc;
            tile.stride = stride;
            table.bit_tile(tile);
        });
}

IntConv::IntConv(const std::int8_t* weights, std::size_t outputs, std::size_t kernel, std::size_t channels, std::int32_t lo,
                 std::int32_t hi)
    : outputs_(outputs), kernel_(kernel), channels_(channels) {
    check_conv(outputs, kernel, channels);
    weights_ = in_blocks<2, std::int16_t>(weights);
    const std::int32_t least = std::min(lo, 0), most = std::max(hi, 0);  // padding is 0
    if (!has_byte_kernels() || most - least > 255) return;
    offset_ = static_cast<std::uint8_t>(-least);
    byte_weights_ = in_blocks<4, std::int8_t>(weights);
    start_.assign(round_up(outputs, kIntBlock), 0);
    const std::size_t size = kernel * kernel * channels;
    for (std::size_t o = 0; o < outputs; ++o)
        start_[o] = -offset_ * std::accumulate(weights + o * size, weights + (o + 1) * size, std::int32_t{0});
}

template <std::size_t Inputs, typename T>
Weights<T> IntConv::in_blocks(const std::int8_t* weights) const {
    const std::size_t row = kernel_ * channels_, per_row = steps(Inputs), size = kernel_ * per_row;
    Weights<T> out(round_up(outputs_, kIntBlock) * size * Inputs, 0);
    for (std::size_t o = 0; o < outputs_; ++o)
        for (std::size_t dy = 0; dy < kernel_; ++dy)
            for (std::size_t i = 0; i < row; ++i) {
                const std::size_t step = (o / kIntBlock) * size + dy * per_row + i / Inputs;
                out[(step * kIntBlock + o % kIntBlock) * Inputs + i % Inputs] = weights[(o * kernel_ + dy) * row + i];
            }
    return out;
}

std::vector<std::ptrdiff_t> IntConv::offsets(std::size_t line, std::size_t of) const {
    std::vector<std::ptrdiff_t> out;
    for (std::size_t dy = 0; dy < kernel_; ++dy)
        for (std::size_t i = 0; i < steps(of); ++i) out.push_back(static_cast<std::ptrdiff_t>(dy * line + i * of));
    return out;
}

void IntConv::run(const std::int16_t* x, const MapShape& shape, const Epilogue& epilogue) const {
    if (!byte_weights_.empty() && kernels().byte_tile != nullptr) return run_bytes(x, shape, epilogue);
    IntTile tile{};
    std::vector<std::ptrdiff_t> places;
    tile.pairs = kernel_ * steps(2);
    tile.weights = weights_.data();
    tile.blocks = weights_.size() / (tile.pairs * kIntBlock * 2);
    convolve(
        Copied<std::int16_t>{}, x, shape, channels_, kernel_, outputs_, kernel_ * channels_ % 2, epilogue,
        [&](const Kernels& table, const std::int16_t* const* pointers, std::int32_t* acc, std::size_t stride, std::size_t line) {
            if (places.empty()) places = offsets(line, 2);
            tile.offsets = places.data();
            std::copy_n(pointers, kPixels, tile.x);
            tile.acc = acc;
            tile.stride = stride;
            table.int_tile(tile);
        });
}

void IntConv::run_bytes(const std::int16_t* x, const MapShape& shape, const Epilogue& epilogue) const {
    ByteTile tile{};
    std::vector<std::ptrdiff_t> places;
    tile.quads = kernel_ * steps(4);
    tile.weights = byte_weights_.data();
    tile.blocks = byte_weights_.size() / (tile.quads * kIntBlock * 4);
    tile.start = start_.data();
    convolve(
        Narrowed{offset_}, x, shape, channels_, kernel_, outputs_, steps(4) * 4 - kernel_ * channels_, epilogue,
        [&](const Kernels& table, const std::uint8_t* const* pointers, std::int32_t* acc, std::size_t stride, std::size_t line) {
            if (places.empty()) places = offsets(line, 4);
            tile.offsets = places.data();
            std::copy_n(pointers, kPixels, tile.x);
            tile.acc = acc;
            tile.stride = stride;
            table.byte_tile(tile);
        });
}

}  // namespace bbcodec
