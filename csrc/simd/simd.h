// Vectors of the width the instruction set has, in GCC's vector extensions: comparisons give masks of −1 and 0.
#pragma once
#include <cstdint>
#include <utility>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/arithmetic.h"

namespace anypool::ANYPOOL_ISA {

#if defined(__AVX512BW__)
constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

template <class T, int N> struct VectorOf {
    typedef T type __attribute__((vector_size(N * sizeof(T))));
};
template <class T, int N> using Vec = typename VectorOf<T, N>::type;
template <class T> constexpr int lanes = vector_bytes / int(sizeof(T));

template <int Bytes> struct IntOf;
template <> struct IntOf<1> { using type = int8_t; using natural = uint8_t; };
template <> struct IntOf<2> { using type = int16_t; using natural = uint16_t; };
template <> struct IntOf<4> { using type = int32_t; using natural = uint32_t; };
template <> struct IntOf<8> { using type = int64_t; using natural = uint64_t; };
template <class T> using SignedOf = typename IntOf<sizeof(T)>::type;
template <class T> using UnsignedOf = typename IntOf<sizeof(T)>::natural;

template <bool First, class A, class B> struct ChooseType { using type = A; };
template <class A, class B> struct ChooseType<false, A, B> { using type = B; };
template <bool First, class A, class B> using Choose = typename ChooseType<First, A, B>::type;

template <class T> constexpr bool is_float = T(0.5) != T(0);

template <class V, class T> inline V load(const T *p) {
    V v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
template <class V, class T> inline void store(T *p, V v) { __builtin_memcpy(p, &v, sizeof v); }

// The first m elements only; the other lanes are 0. Nothing behind them is touched.
template <class V, class T> inline V load(const T *p, int64_t m) {
#if defined(__AVX512BW__)
    const uint64_t keep = ~0ull >> (64 - m * sizeof(T));
    if constexpr (sizeof(V) == 64) return (V)_mm512_maskz_loadu_epi8(keep, p);
    if constexpr (sizeof(V) == 32) return (V)_mm256_maskz_loadu_epi8(keep, p);
    if constexpr (sizeof(V) == 16) return (V)_mm_maskz_loadu_epi8(keep, p);
#endif
    T lane[sizeof(V) / sizeof(T)] = {};
    for (int64_t i = 0; i < m; i++) lane[i] = p[i];
    return load<V>(lane);
}
template <class V, class T> inline void store(T *p, V v, int64_t m) {
#if defined(__AVX512BW__)
    const uint64_t keep = ~0ull >> (64 - m * sizeof(T));
    if constexpr (sizeof(V) == 64) return _mm512_mask_storeu_epi8(p, keep, (__m512i)v);
    if constexpr (sizeof(V) == 32) return _mm256_mask_storeu_epi8(p, keep, (__m256i)v);
    if constexpr (sizeof(V) == 16) return _mm_mask_storeu_epi8(p, keep, (__m128i)v);
#endif
    T lane[sizeof(V) / sizeof(T)];
    store(lane, v);
    for (int64_t i = 0; i < m; i++) p[i] = lane[i];
}

// lane i: p[i] for 0 ≤ i + at < n, else 0.
template <class V, class T> inline V load_inside(const T *p, int64_t at, int64_t n) {
    constexpr int N = sizeof(V) / sizeof(T);
    const int64_t from = smaller(larger(-at, 0), N), to = larger(smaller(n - at, N), from);
#if defined(__AVX512BW__)
    const uint64_t below = to * sizeof(T) == 64 ? ~0ull : (1ull << (to * sizeof(T))) - 1;
    const uint64_t keep = from * sizeof(T) == 64 ? 0 : below >> (from * sizeof(T)) << (from * sizeof(T));
    if constexpr (sizeof(V) == 64) return (V)_mm512_maskz_loadu_epi8(keep, p);
    if constexpr (sizeof(V) == 32) return (V)_mm256_maskz_loadu_epi8(keep, p);
    if constexpr (sizeof(V) == 16) return (V)_mm_maskz_loadu_epi8(keep, p);
#endif
    T lane[N] = {};
    for (int64_t i = from; i < to; i++) lane[i] = p[i];
    return load<V>(lane);
}

template <class T, class V> inline void store_lanes(T *p, V v, int64_t m) {
    if (m == int64_t(sizeof v / sizeof *p)) store(p, v);
    else store(p, v, m);
}

template <int N> using Indices = std::make_integer_sequence<int, N>;

// Lanes of two vectors: every other one, or one from each in turn.
template <class V, int... I> inline V shuffle_even(V a, V b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (2 * I)...);
}
template <class V, int... I> inline V shuffle_odd(V a, V b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (2 * I + 1)...);
}
template <class V, int... I> inline V shuffle_zip(V a, V b, int, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (I / 2 + I % 2 * int(sizeof...(I)))...);
}
template <class V, int... I> inline V shuffle_zip(V a, V b, long, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (int(sizeof...(I)) / 2 + I / 2 + I % 2 * int(sizeof...(I)))...);
}
template <class V> using IndicesOf = Indices<sizeof(V) / sizeof(V{}[0])>;
template <class V> inline V even(V a, V b) { return shuffle_even(a, b, IndicesOf<V>{}); }
template <class V> inline V odd(V a, V b) { return shuffle_odd(a, b, IndicesOf<V>{}); }
template <class V> inline V zip_low(V a, V b) { return shuffle_zip(a, b, 0, IndicesOf<V>{}); }
template <class V> inline V zip_high(V a, V b) { return shuffle_zip(a, b, 0L, IndicesOf<V>{}); }

// Lane i: v[index[i]], for 0 ≤ index[i] < lanes: GCC's __builtin_shuffle, which Clang lacks.
#if defined(__clang__)
template <class V> inline V __builtin_shuffle(V v, V index) {
    V result;
    for (int i = 0; i < int(sizeof(V) / sizeof(v[0])); i++) result[i] = v[index[i]];
    return result;
}
#endif

// 0, 1, 2, …
template <class V, int... I> inline V count(std::integer_sequence<int, I...>) { return V{I...}; }
template <class V> inline V count() { return count<V>(IndicesOf<V>{}); }

// Lanes of one type to another, by steps of two: GCC 12 takes larger ones lane by lane.
template <class To, class From, int N> inline Vec<To, N> convert(Vec<From, N> v) {
#if defined(__AVX512F__)
    if constexpr (N == 16 && __is_same(From, uint8_t) && __is_same(To, uint32_t))
        return (Vec<To, N>)_mm512_cvtepu8_epi32((__m128i)v);
    if constexpr (N == 16 && __is_same(From, uint32_t) && __is_same(To, uint8_t))
        return (Vec<To, N>)_mm512_cvtepi32_epi8((__m512i)v);
#endif
    constexpr bool is_signed = From(-1) < From(0);
    if constexpr (sizeof(To) >= 4 * sizeof(From)) {
        using Twice = IntOf<2 * sizeof(From)>;
        using Middle = Choose<is_signed, typename Twice::type, typename Twice::natural>;
        return convert<To, Middle, N>(__builtin_convertvector(v, Vec<Middle, N>));
    } else if constexpr (sizeof(From) >= 4 * sizeof(To) && !is_float<From>) {
        using Middle = typename IntOf<sizeof(From) / 2>::natural;
        return convert<To, Middle, N>(__builtin_convertvector(v, Vec<Middle, N>));
    } else return __builtin_convertvector(v, Vec<To, N>);
}

// Half of a vector's lanes, as another type, and two such halves as one vector.
template <class V, int... I> inline auto shuffle_half(V v, int from, std::integer_sequence<int, I...>) {
    return from ? __builtin_shufflevector(v, v, (int(sizeof...(I)) + I)...) : __builtin_shufflevector(v, v, I...);
}
template <class To, int Which, class V> inline auto half(V v) {
    constexpr int N = sizeof(V) / sizeof(V{}[0]) / 2;
    return __builtin_convertvector(shuffle_half(v, Which, std::make_integer_sequence<int, N>{}), Vec<To, N>);
}
template <class To, class V, int... I> inline auto joined(V low, V high, std::integer_sequence<int, I...>) {
    using Half = Vec<To, sizeof...(I) / 2>;
    return __builtin_shufflevector(__builtin_convertvector(low, Half), __builtin_convertvector(high, Half), I...);
}
template <class To, class V> inline auto joined(V low, V high) {
    return joined<To>(low, high, std::make_integer_sequence<int, 2 * int(sizeof(V) / sizeof(V{}[0]))>{});
}

template <class V> inline V broadcast(auto value) { return V{} + value; }

// Whether every lane of a comparison holds.
template <class M> inline bool holds_everywhere(M mask) {
#if defined(__AVX512BW__)
    if constexpr (sizeof(M) == 64) return _mm512_movepi8_mask((__m512i)mask) == ~0ull;
#endif
#if defined(__AVX2__)
    if constexpr (sizeof(M) == 32) return _mm256_movemask_epi8((__m256i)mask) == -1;
#endif
#if defined(__x86_64__)
    if constexpr (sizeof(M) == 16) return _mm_movemask_epi8((__m128i)mask) == 0xffff;
#endif
    bool all = true;
    for (int i = 0; i < int(sizeof(M) / sizeof(mask[0])); i++) all &= mask[i] != 0;
    return all;
}

// f(i) for every vector of `step` elements in n ≥ step: the last one overlaps the one before.
template <class F> inline void each_whole(int64_t n, int64_t step, F f) {
    for (int64_t i = 0; i < n; i += step) f(i <= n - step ? i : n - step);
}

// f(i, m) for every vector of `step` elements in n: m of them from i. The last one overlaps the one before where it
// can, so that m < step only if n is.
template <class F> inline void each_vector(int64_t n, int64_t step, F f) {
    if (n >= step) each_whole(n, step, [&](int64_t i) { f(i, step); });
    else if (n > 0) f(int64_t(0), n);
}

}  // namespace anypool::ANYPOOL_ISA
