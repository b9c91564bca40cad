#include "runtime/isa.h"

#include <cstring>
#if defined(__x86_64__) && defined(__clang__)
#include <cpuid.h>
#endif

namespace anypool {

#define DECLARE(isa)                    \
    namespace isa {                     \
    bool run_extreme(const Problem &);  \
    bool run_total(const Problem &);    \
    bool run_gradient(const Problem &); \
    bool run_order(const Problem &);    \
    bool run_moments(const Problem &);  \
    bool run_masked(const Problem &);   \
    }
#define KERNELS(isa) {#isa, isa::run_extreme, isa::run_total, isa::run_gradient, isa::run_order, isa::run_moments, isa::run_masked}

// The best first; null ends the list.
#ifdef ANYPOOL_v4
DECLARE(v4)
#endif
#ifdef ANYPOOL_v3
DECLARE(v3)
#endif
#ifdef ANYPOOL_v2
DECLARE(v2)
#endif
#ifdef ANYPOOL_plain
DECLARE(plain)
#endif
static const Kernels sets[] = {
#ifdef ANYPOOL_v4
    KERNELS(v4),
#endif
#ifdef ANYPOOL_v3
    KERNELS(v3),
#endif
#ifdef ANYPOOL_v2
    KERNELS(v2),
#endif
#ifdef ANYPOOL_plain
    KERNELS(plain),
#endif
    {},
};

#if defined(__x86_64__) && defined(__clang__)
// Clang knows no levels before version 18, and of their features not those that are read here.
static bool has_f16c_movbe_lzcnt() {
    unsigned a, b, c, d;
    constexpr unsigned movbe = 1u << 22, f16c = 1u << 29, lzcnt = 1u << 5;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (movbe | f16c)) != (movbe | f16c)) return false;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & lzcnt);
}
static bool runs_v2() { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"); }
static bool runs_v3() {
    return runs_v2() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma") && has_f16c_movbe_lzcnt();
}
static bool runs_v4() {
    return runs_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#elif defined(__x86_64__)
static bool runs_v2() { return __builtin_cpu_supports("x86-64-v2"); }
static bool runs_v3() { return __builtin_cpu_supports("x86-64-v3"); }
static bool runs_v4() { return __builtin_cpu_supports("x86-64-v4"); }
#endif

static bool runs(const char *name) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!std::strcmp(name, "v4")) return runs_v4();
    if (!std::strcmp(name, "v3")) return runs_v3();
    if (!std::strcmp(name, "v2")) return runs_v2();
#endif
    return !std::strcmp(name, "plain");
}

const Kernels *choose_kernels(const char *wanted) {
    constexpr char prefix[] = "x86-64-";
    if (wanted && !std::strncmp(wanted, prefix, sizeof prefix - 1)) wanted += sizeof prefix - 1;
    for (const Kernels *set = sets; set->name; set++)
        if (runs(set->name) && (!wanted || !*wanted || !std::strcmp(wanted, set->name))) return set;
    return nullptr;
}

}  // namespace anypool
