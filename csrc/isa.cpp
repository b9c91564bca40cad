#include "isa.h"

#include <cstring>

namespace anypool {

#define DECLARE(isa)                    \
    namespace isa {                     \
    bool run_extreme(const Problem &);  \
    bool run_total(const Problem &);    \
    bool run_gradient(const Problem &); \
    }
#define KERNELS(isa) {#isa, isa::run_extreme, isa::run_total, isa::run_gradient}

#if defined(__x86_64__) && defined(ANYPOOL_X86)
DECLARE(v2)
DECLARE(v3)
DECLARE(v4)
static const Kernels sets[] = {KERNELS(v4), KERNELS(v3), KERNELS(v2)};
static bool runs(int i) {
    __builtin_cpu_init();
    return i == 0 ? __builtin_cpu_supports("x86-64-v4") : i == 1 ? __builtin_cpu_supports("x86-64-v3") : __builtin_cpu_supports("x86-64-v2");
}
#else
DECLARE(plain)
static const Kernels sets[] = {KERNELS(plain)};
static bool runs(int) { return true; }
#endif

const Kernels *choose_kernels(const char *wanted) {
    for (int i = 0; i < int(sizeof sets / sizeof *sets); i++)
        if (runs(i) && (!wanted || !*wanted || !std::strcmp(wanted, sets[i].name))) return &sets[i];
    return nullptr;
}

}  // namespace anypool
