// Max and min, with and without offsets, for one instruction set.
#include "forward/planes.h"

namespace anypool::ANYPOOL_ISA {
namespace {

// Offsets in lanes of 32 bits, for small elements in large windows.
template <class T, class K> bool run_converted(const Problem &given, Type type) {
    Problem p = given;
    p.type = type;
    return forward<ExtremeWithOffset<K>, Keys<K, K>>(p, conversion_of<Widening<T, K>>());
}
bool run_converted(const Problem &p) {
    switch (p.type) {
        case Type::i8: return run_converted<int8_t, int32_t>(p, Type::i32);
        case Type::u8: return run_converted<uint8_t, int32_t>(p, Type::i32);
        case Type::i16: return run_converted<int16_t, int32_t>(p, Type::i32);
        case Type::u16: return run_converted<uint16_t, int32_t>(p, Type::i32);
        case Type::f16: return run_converted<Half, float>(p, Type::f32);
        default: return run_converted<Brain, float>(p, Type::f32);
    }
}

template <class T, class K> bool run(const Problem &p) {
    if (!p.offset_bytes) return forward<Extreme<K>, Keys<T, K>>(p);
    // Offsets take half of what their lanes can count: the other half has_offsets what is no element.
    if constexpr (sizeof(K) < 4)
        if (p.window > int64_t(1) << (8 * sizeof(K) - 1)) return run_converted(p);
    return forward<ExtremeWithOffset<K, __is_same(T, Half)>, Keys<T, K>>(p);
}

}  // namespace

bool run_extreme(const Problem &p) {
    switch (p.type) {
        case Type::i8:
        case Type::u8: return run<int8_t, int8_t>(p);
        case Type::i16:
        case Type::u16: return run<int16_t, int16_t>(p);
        case Type::i32:
        case Type::u32: return run<int32_t, int32_t>(p);
        case Type::i64:
        case Type::u64: return run<int64_t, int64_t>(p);
        case Type::f16:
        case Type::bf16: return run<Half, int16_t>(p);
        case Type::f32: return run<float, float>(p);
        case Type::f64: return run<double, double>(p);
    }
    return false;
}

}  // namespace anypool::ANYPOOL_ISA
