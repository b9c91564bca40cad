// Sums and averages, for one instruction set.
#include "forward/planes.h"
#include "forward/spread.h"

namespace anypool::ANYPOOL_ISA {
namespace {

template <class T, class A> bool run(const Problem &p) {
    if constexpr (is_floating<T> && __is_same(A, double) == __is_same(T, double)) {
        if (Spread<T, A>::fits(p)) return Spread<T, A>(p).run();
        for (int a = 0; a < p.rank; a++)
            if (p.axes[a].scales) return forward<Total<A, true>, Widening<T, A>>(p);
    }
    return forward<Total<A>, Widening<T, A>>(p);
}

bool run_integers(const Problem &p) {
    using A = int64_t;
    switch (p.type) {
        case Type::i8: return run<int8_t, A>(p);
        case Type::u8: return run<uint8_t, A>(p);
        case Type::i16: return run<int16_t, A>(p);
        case Type::u16: return run<uint16_t, A>(p);
        case Type::i32: return run<int32_t, A>(p);
        case Type::u32: return run<uint32_t, A>(p);
        default: return run<int64_t, A>(p);
    }
}

}  // namespace

bool run_total(const Problem &p) {
    switch (p.accumulator) {
        case Type::f32:
            if (p.type == Type::f16) return run<Half, float>(p);
            if (p.type == Type::bf16) return run<Brain, float>(p);
            return run<float, float>(p);
        case Type::f64:
            if (p.type == Type::f16) return run<Half, double>(p);
            if (p.type == Type::bf16) return run<Brain, double>(p);
            if (p.type == Type::f32) return run<float, double>(p);
            if (p.type == Type::i64) return run<int64_t, double>(p);
            if (p.type == Type::u64) return run<uint64_t, double>(p);
            return run<double, double>(p);
        case Type::i32:
            if (p.type == Type::i8) return run<int8_t, int32_t>(p);
            if (p.type == Type::u8) return run<uint8_t, int32_t>(p);
            if (p.type == Type::i16) return run<int16_t, int32_t>(p);
            return run<uint16_t, int32_t>(p);
        default: return run_integers(p);
    }
}

}  // namespace anypool::ANYPOOL_ISA
