#include "runtime/isa.h"

#include <cstring>

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

static bool runs(const char *name) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!std::strcmp(name, "v4")) return __builtin_cpu_supports("x86-64-v4");
    if (!std::strcmp(name, "v3")) return __builtin_cpu_supports("x86-64-v3");
    if (!std::strcmp(name, "v2")) return __builtin_cpu_supports("x86-64-v2");
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
