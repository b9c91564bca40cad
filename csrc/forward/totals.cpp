// Sums and averages, for one instruction set.
#include "forward/planes.h"
#include "forward/spread.h"

namespace anypool::ANYPOOL_ISA {
namespace {

template <class T, class A> bool run(const Problem &p) { return forward<Total<A>, Widening<T, A>>(p); }

// Elements that are no hot path of their own: they become accumulators before anything is added.
template <class T, class A> bool run_converted(const Problem &given) {
    Problem p = given;
    p.type = p.accumulator;
    return forward<Total<A>, Widening<A, A>>(p, conversion_of<Widening<T, A>>());
}

template <class T, class A> bool run_floats(const Problem &p) {
    return Spread<T, A>::fits(p) ? Spread<T, A>(p).run() : run<T, A>(p);
}

}  // namespace

bool run_total(const Problem &p) {
    switch (p.accumulator) {
        case Type::f32:
            if (p.type == Type::f16) return run_floats<Half, float>(p);
            if (p.type == Type::bf16) return run_floats<Brain, float>(p);
            return run_floats<float, float>(p);
        case Type::f64:
            if (p.type == Type::f16) return run_converted<Half, double>(p);
            if (p.type == Type::bf16) return run_converted<Brain, double>(p);
            if (p.type == Type::f32) return run_converted<float, double>(p);
            if (p.type == Type::i64) return run_converted<int64_t, double>(p);
            if (p.type == Type::u64) return run_converted<uint64_t, double>(p);
            return run_floats<double, double>(p);
        case Type::i32:
            if (p.type == Type::i8) return run_converted<int8_t, int32_t>(p);
            if (p.type == Type::i16) return run_converted<int16_t, int32_t>(p);
            if (p.type == Type::u8) return run<uint8_t, int32_t>(p);
            return run<uint16_t, int32_t>(p);
        default:
            if (p.type == Type::i8) return run_converted<int8_t, int64_t>(p);
            if (p.type == Type::u8) return run_converted<uint8_t, int64_t>(p);
            if (p.type == Type::i16) return run_converted<int16_t, int64_t>(p);
            if (p.type == Type::u16) return run_converted<uint16_t, int64_t>(p);
            if (p.type == Type::i32) return run<int32_t, int64_t>(p);
            if (p.type == Type::u32) return run_converted<uint32_t, int64_t>(p);
            return run<int64_t, int64_t>(p);
    }
}

}  // namespace anypool::ANYPOOL_ISA
