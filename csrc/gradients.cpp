// Gradients of max and min, for one instruction set.
#include "backward.h"

namespace anypool::ANYPOOL_ISA {
namespace {

template <class T, class A> bool run(const Problem &p) {
    if (p.offset_bytes == 1) return Backward<T, A, uint8_t>(p).run();
    if (p.offset_bytes == 2) return Backward<T, A, uint16_t>(p).run();
    return Backward<T, A, uint32_t>(p).run();
}

}  // namespace

bool run_gradient(const Problem &p) {
    if (p.type == Type::f16) return run<Half, float>(p);
    if (p.type == Type::bf16) return run<Brain, float>(p);
    if (p.type == Type::f32) return run<float, float>(p);
    return run<double, double>(p);
}

}  // namespace anypool::ANYPOOL_ISA
