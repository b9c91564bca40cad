// Gradients of max and min, for one instruction set.
#include "backward/gather.h"
#include "backward/scatter.h"
#include "backward/tiles.h"

namespace anypool::ANYPOOL_ISA {
namespace {

template <class T, class A, class O> bool run(const GradientPlanes<T, O> &planes) {
    std::vector<int32_t> table;
    if (Tiles<T, O>::fits(planes)) return Tiles<T, O>(planes, table).run();
    if constexpr (sizeof(O) == 1)
        if (Gather<T, A>::fits(planes)) {
            std::vector<Terms> terms;
            return Gather<T, A>(planes, terms).run();
        }
    return Scatter<T, A, O>(planes, table).run();
}

// The same with copies of what has gaps.
template <class T, class A, class O> bool run_copies(const GradientPlanes<T, O> &planes) {
    const Problem &p = planes.p;
    Problem dense = p;
    DenseCopy<Stored<T>> grad(p, p.x, planes.grad), to(p, p.out, planes.to);
    DenseCopy<O> offsets(p, p.offsets, planes.offsets);
    if (!planes.grad_dense && !grad.replace(dense.x)) return false;
    if (!planes.offsets_dense && !offsets.replace(dense.offsets)) return false;
    if (!planes.to_dense && !to.replace(dense.out)) return false;
    if (!planes.grad_dense) grad.pack_all();
    if (!planes.offsets_dense) offsets.pack_all();
    if (!run<T, A, O>(GradientPlanes<T, O>(dense))) return false;
    if (!planes.to_dense) to.unpack_all();
    return true;
}

template <class T, class A, class O> bool run(const Problem &p) {
    const GradientPlanes<T, O> planes(p);
    if (planes.in * planes.outer == 0) return true;
    return planes.packs_alone() ? run_copies<T, A, O>(planes) : run<T, A, O>(planes);
}

template <class T, class A> bool run(const Problem &p) {
    if (p.offset_bytes == 1) return run<T, A, uint8_t>(p);
    if (p.offset_bytes == 2) return run<T, A, uint16_t>(p);
    return run<T, A, uint32_t>(p);
}

}  // namespace

bool run_gradient(const Problem &p) {
    if (p.type == Type::f16) return run<Half, float>(p);
    if (p.type == Type::bf16) return run<Brain, float>(p);
    if (p.type == Type::f32) return run<float, float>(p);
    return run<double, double>(p);
}

}  // namespace anypool::ANYPOOL_ISA
