// SPDX-License-Identifier: Apache-2.0
// Convolutions of the portable kernels as a program, to be run on other CPUs or emulated ones (test_other_cpus.py).
//
//     emulated KIND SLICES N HEIGHT WIDTH CHANNELS OUTPUTS KERNEL < input > output
//
// KIND is `bits` (input: map and weights in words, output: int32 accumulators, then the signs for limits of 0),
// or `numbers` (input: map in int16 and weights in int8, output: int32 accumulators).  SLICES is as in set_slices().
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/convolve.hpp"

namespace {

using namespace bbcodec;

template <typename T>
std::vector<T> take(std::size_t size) {
    std::vector<T> values(size);
    if (std::fread(values.data(), sizeof(T), size, stdin) != size) std::exit(2);
    return values;
}

template <typename T>
void give(const std::vector<T>& values) {
    if (std::fwrite(values.data(), sizeof(T), values.size(), stdout) != values.size()) std::exit(3);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 9) return 1;
    std::size_t number[9] = {};
    for (int i = 3; i < argc; ++i) number[i] = std::strtoul(argv[i], nullptr, 10);
    const MapShape shape{number[3], number[4], number[5]};
    const std::size_t channels = number[6], outputs = number[7], kernel = number[8];
    const std::size_t taps = outputs * kernel * kernel, words = (channels + 63) / 64;
    set_slices(argv[2]);
    std::vector<std::int32_t> acc(shape.pixels() * outputs);
    Epilogue epilogue;
    epilogue.acc = acc.data();
    if (std::string(argv[1]) == "numbers") {
        const auto x = take<std::int16_t>(shape.pixels() * channels);
        const auto weights = take<std::int8_t>(taps * channels);
        IntConv(weights.data(), outputs, kernel, channels).run(x.data(), shape, epilogue);
        give(acc);
        return 0;
    }
    const auto x = take<std::uint64_t>(shape.pixels() * words);
    const auto weights = take<std::uint64_t>(taps * words);
    const BitConv conv(weights.data(), outputs, kernel, channels);
    conv.run(x.data(), shape, epilogue);
    give(acc);
    const std::vector<std::int32_t> limits(outputs, 0);
    const std::vector<std::uint8_t> flips(outputs, 0);
    const Threshold threshold(limits.data(), flips.data(), outputs);
    std::vector<std::uint64_t> bits(shape.pixels() * ((outputs + 63) / 64));
    Epilogue signs;
    signs.threshold = &threshold;
    signs.bits = bits.data();
    conv.run(x.data(), shape, signs);
    give(bits);
}
