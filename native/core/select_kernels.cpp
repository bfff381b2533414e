// SPDX-License-Identifier: Apache-2.0
#include "select_kernels.hpp"

#include <atomic>
#include <cstddef>
#include <stdexcept>

#include "engine/kernels/kernels.hpp"
#include "families/deep/pass.hpp"
#include "families/local/pass.hpp"
#include "families/loglinear/coder.hpp"
#if BBCODEC_X86
#include "x86/cpu.hpp"
#endif

namespace bbcodec {
namespace {

// A target: its name, what the CPU must have for it, and its kernels.
struct Target {
    const char* name;
    unsigned features;
    Kernels kernels;
    local::MakePass local_pass;
    loglinear::MakeCoder loglinear_coder;
    deep::MakePass deep_pass;
};

// Weakest first. Where two have one name, the last that is supported is used.
#if BBCODEC_X86
constexpr unsigned kVnni = x86::kAvx512 | x86::kVnni;
constexpr Target kTargets[] = {
    {"portable",
     0,
     {portable::bit_tile, portable::int_tile, nullptr, portable::scale, portable::threshold, portable::add, portable::multiply,
      portable::sign, 128, 4, portable::sliced},
     local::make_pass_sse2,
     loglinear::make_coder_sse2,
     deep::make_pass_sse2},
    {"avx2",
     x86::kAvx2,
     {avx2::bit_tile, avx2::int_tile, nullptr, avx2::scale, avx2::threshold, avx2::add, avx2::multiply, avx2::sign, 256, 1.7,
      avx2::sliced},
     local::make_pass_avx2,
     loglinear::make_coder_avx2,
     deep::make_pass_avx2},
    // Whatever else the CPU has, as on one that has no more.
    {"avx512",
     x86::kAvx512,
     {avx2::bit_tile, avx2::int_tile, nullptr, avx512::scale, avx512::threshold, avx512::add, avx2::multiply, avx512::sign, 512,
      4, avx512::sliced},
     local::make_pass_avx512,
     loglinear::make_coder_avx512,
     deep::make_pass_avx512},
    {"avx512vnni",
     kVnni,
     {avx2::bit_tile, avx512::int_tile, avx512::byte_tile, avx512::scale, avx512::threshold, avx512::add, avx2::multiply,
      avx512::sign, 512, 4, avx512::sliced},
     local::make_pass_avx512vnni,
     loglinear::make_coder_avx512vnni,
     deep::make_pass_avx512vnni},
    {"avx512vnni",
     kVnni | x86::kPopcount,
     {avx512::bit_tile, avx512::int_tile, avx512::byte_tile, avx512::scale, avx512::threshold, avx512::add, avx2::multiply,
      avx512::sign, 512, 1.5, avx512::sliced},
     local::make_pass_avx512vnni,
     loglinear::make_coder_avx512vnni,
     deep::make_pass_avx512vnni},
};
unsigned cpu_features() { return x86::cpu_features(); }
#else
constexpr Target kTargets[] = {
    {"portable",
     0,
     {portable::bit_tile, portable::int_tile, nullptr, portable::scale, portable::threshold, portable::add, portable::multiply,
      portable::sign, 128, 4, portable::sliced},
     local::make_pass_portable,
     loglinear::make_coder_portable,
     deep::make_pass_portable},
};
unsigned cpu_features() { return 0; }
#endif

bool supported(const Target& target) {
    static const unsigned found = cpu_features();
    return (target.features & ~found) == 0;
}

const Target& best() {
    const Target* found = nullptr;
    for (const Target& target : kTargets)
        if (supported(target)) found = &target;
    return *found;
}

std::atomic<const Target*>& chosen() {
    static std::atomic<const Target*> target{&best()};
    return target;
}

const Target& in_use() { return *chosen().load(std::memory_order_relaxed); }

}  // namespace

const Kernels& kernels() { return in_use().kernels; }

local::MakePass local_pass_maker() { return in_use().local_pass; }

loglinear::MakeCoder loglinear_coder_maker() { return in_use().loglinear_coder; }

deep::MakePass deep_pass_maker() { return in_use().deep_pass; }

bool has_byte_kernels() {
    for (const Target& target : kTargets)
        if (supported(target) && target.kernels.byte_tile != nullptr) return true;
    return false;
}

std::string target() { return in_use().name; }

std::vector<std::string> targets() {
    std::vector<std::string> names;
    for (const Target& target : kTargets)
        if (supported(target) && (names.empty() || names.back() != target.name)) names.emplace_back(target.name);
    return names;
}

void set_target(const std::string& name) {
    const Target* found = nullptr;
    for (const Target& target : kTargets)
        if (supported(target) && name == target.name) found = &target;
    if (found == nullptr) throw std::invalid_argument("target '" + name + "' is unknown or not supported by this CPU");
    chosen().store(found, std::memory_order_relaxed);
}

}  // namespace bbcodec
