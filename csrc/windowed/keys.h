// Elements of any dtype as signed integers in the same order, and back: NaN is the greatest.
#pragma once
#include "simd/elements.h"
#include "windowed/layout.h"

namespace anypool::ANYPOOL_ISA {

template <class K> constexpr K greatest = K(UnsignedOf<K>(~UnsignedOf<K>(0)) >> 1);

// Keys of n elements whose bits are E: `top` of unsigned numbers is their highest bit, `infinity` of floats that value's
// bits; either is 0 elsewhere. Says whether there was a NaN.
template <class K, class E>
__attribute__((noinline)) bool to_keys(const char *from, int64_t n, K *to, E top, SignedOf<E> infinity) {
    using S = SignedOf<E>;
    constexpr int N = lanes<K>;
    using V = Vec<S, N>;
    V seen{};
    each_vector(n, N, [&](int64_t i, int64_t m) {
        const E *x = (const E *)from + i;
        V v = (V)(m == N ? load<Vec<E, N>>(x) : load<Vec<E, N>>(x, m));
        if (infinity) {
            const V nan = (V)((v & greatest<S>) > infinity);
            v ^= (v >> S(8 * sizeof(S) - 1)) & greatest<S>;
            v = (nan & greatest<S>) | (~nan & v);
            seen |= nan;
        } else v ^= S(top);
        if constexpr (sizeof(S) == sizeof(K)) store_lanes(to + i, (Vec<K, N>)v, m);
        else store_lanes(to + i, convert<K, S, N>(v), m);
    });
    S any = 0;
    for (int i = 0; i < N; i++) any |= seen[i];
    return any != 0;
}

// What to_keys did, undone, N keys at a time: the bits of elements.
template <class E, class K> inline Vec<E, lanes<K>> to_bits(Vec<K, lanes<K>> keys, E top, bool floating) {
    using S = SignedOf<E>;
    constexpr int N = lanes<K>;
    Vec<S, N> v;
    if constexpr (sizeof(S) == sizeof(K)) v = (Vec<S, N>)keys;
    else v = (Vec<S, N>)convert<UnsignedOf<S>, UnsignedOf<K>, N>((Vec<UnsignedOf<K>, N>)keys);
    if (floating) v ^= (v >> S(8 * sizeof(S) - 1)) & greatest<S>;
    else v ^= S(top);
    return (Vec<E, N>)v;
}

// f(the highest bit of unsigned numbers, infinity's bits of floats), either 0 elsewhere, for the dtype of elements.
template <class F> auto by_type(Type type, F f) {
    switch (type) {
        case Type::i8: return f(uint8_t{0}, int8_t{0});
        case Type::u8: return f(uint8_t{0x80}, int8_t{0});
        case Type::i16: return f(uint16_t{0}, int16_t{0});
        case Type::u16: return f(uint16_t{0x8000}, int16_t{0});
        case Type::f16: return f(uint16_t{0}, int16_t{0x7c00});
        case Type::bf16: return f(uint16_t{0}, int16_t{0x7f80});
        case Type::i32: return f(uint32_t{0}, int32_t{0});
        case Type::u32: return f(uint32_t(1) << 31, int32_t{0});
        case Type::f32: return f(uint32_t{0}, int32_t{0x7f800000});
        case Type::i64: return f(uint64_t{0}, int64_t{0});
        case Type::u64: return f(uint64_t(1) << 63, int64_t{0});
        default: return f(uint64_t{0}, int64_t{0x7ff0000000000000});
    }
}

// Whether elements E have code for keys K: of their own size, and bytes in two bytes, for windows whose elements a byte
// does not count.
template <class K, class E> constexpr bool fits_keys = sizeof(E) == sizeof(K) || (sizeof(E) == 1 && sizeof(K) == 2);

template <class K> Encoding<K> keys_of(const Problem &p) {
    bool (*run)(const Problem &, const char *, int64_t, K *) = [](const Problem &p, const char *from, int64_t n, K *to) {
        return by_type(p.type, [&]<class E>(E top, SignedOf<E> infinity) {
            if constexpr (fits_keys<K, E>) return to_keys<K, E>(from, n, to, top, infinity);
            else return false;
        });
    };
    return by_type(p.type, [&]<class E>(E top, SignedOf<E> infinity) {
        const bool flips = sizeof(E) == sizeof(K) && !infinity;
        return Encoding<K>{flips ? nullptr : run, &p, sizeof(E), flips ? UnsignedOf<K>(top) : UnsignedOf<K>(0)};
    });
}

}  // namespace anypool::ANYPOOL_ISA
