// Gradients of max and min, for one instruction set.
#include <memory>
#include <new>

#include "backward/gather.h"
#include "backward/scatter.h"
#include "backward/tiles.h"

namespace anypool::ANYPOOL_ISA {
namespace {

template <class T, class A, class O> bool run(const Problem &p) {
    const GradientPlanes<T, O> planes(p);
    if (planes.in * planes.outer == 0) return true;
    if (planes.packs_alone()) {
        const std::unique_ptr<Stored<T>[]> memory(new (std::nothrow) Stored<T>[planes.out * planes.outer]);
        return memory && run<T, A, O>(planes.packed(memory.get()));
    }
    std::vector<int32_t> table;
    if (Tiles<T, O>::fits(planes)) return Tiles<T, O>(planes, table).run();
    if constexpr (sizeof(O) == 1)
        if (Gather<T, A>::fits(planes)) {
            std::vector<Terms> terms;
            return Gather<T, A>(planes, terms).run();
        }
    return Scatter<T, A, O>(planes, table).run();
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
