// SPDX-License-Identifier: Apache-2.0
#include "targets.hpp"

#include <atomic>
#include <stdexcept>

namespace bbcodec {
namespace {

constexpr Target kAll[] = {Target::portable, Target::avx2, Target::avx512, Target::avx512vnni};

Target best() {
    Target found = Target::portable;
    for (Target target : kAll)
        if (supported(target)) found = target;
    return found;
}

std::atomic<Target>& chosen() {
    static std::atomic<Target> target{best()};
    return target;
}

}  // namespace

bool supported(Target target) {
#if BBCODEC_X86
    switch (target) {
        case Target::portable: return true;
        case Target::avx2: return __builtin_cpu_supports("avx2");
        case Target::avx512:
            return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
        case Target::avx512vnni: return supported(Target::avx512) && __builtin_cpu_supports("avx512vnni");
    }
    return false;
#else
    return target == Target::portable;
#endif
}

bool has_popcount() {
#if BBCODEC_X86
    return __builtin_cpu_supports("avx512vpopcntdq");
#else
    return false;
#endif
}

Target current_target() { return chosen().load(std::memory_order_relaxed); }

void set_target(const std::string& name) {
    for (Target target : kAll)
        if (target_name(target) == name && supported(target)) {
            chosen().store(target, std::memory_order_relaxed);
            return;
        }
    throw std::invalid_argument("target '" + name + "' is unknown or not supported by this CPU");
}

std::string target_name(Target target) {
    switch (target) {
        case Target::portable: return "portable";
        case Target::avx2: return "avx2";
        case Target::avx512: return "avx512";
        case Target::avx512vnni: return "avx512vnni";
    }
    return "";
}

std::vector<std::string> target_names() {
    std::vector<std::string> names;
    for (Target target : kAll)
        if (supported(target)) names.push_back(target_name(target));
    return names;
}

}  // namespace bbcodec
