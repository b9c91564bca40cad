// The kernels as compiled for each instruction set, and the choice between them.
#pragma once
#include "core/problem.h"

namespace anypool {

struct Kernels {
    const char *name;
    bool (*extreme)(const Problem &);
    bool (*total)(const Problem &);
    bool (*gradient)(const Problem &);
    bool (*order)(const Problem &);
    bool (*moments)(const Problem &);
    bool (*masked)(const Problem &);
};

// The best this machine can run, or the one that ANYPOOL_ISA names ("v3" or "x86-64-v3"); null where it cannot run any.
const Kernels *choose_kernels(const char *wanted);

}  // namespace anypool
