// Elements in memory and in arithmetic: half precision, and the keys that make a maximum of every extreme.
#pragma once
#include "core/problem.h"
#include "simd/simd.h"

namespace anypool::ANYPOOL_ISA {

// Half-precision elements as their bits.
struct Half { uint16_t bits; };
struct Brain { uint16_t bits; };

template <class T> struct Storage { using type = T; };
template <> struct Storage<Half> { using type = uint16_t; };
template <> struct Storage<Brain> { using type = uint16_t; };
template <class T> using Stored = typename Storage<T>::type;

template <class T> constexpr bool is_floating = is_float<T>;
template <> inline constexpr bool is_floating<Half> = true;
template <> inline constexpr bool is_floating<Brain> = true;

// Bits of N float16 to float32, exactly.
template <int N> inline Vec<float, N> from_half(Vec<uint16_t, N> h) {
#if defined(__AVX512F__)
    if constexpr (N == 16) return (Vec<float, N>)_mm512_cvtph_ps((__m256i)h);
#endif
#if defined(__F16C__)
    if constexpr (N == 8) return (Vec<float, N>)_mm256_cvtph_ps((__m128i)h);
#endif
    using U = Vec<uint32_t, N>;
    using F = Vec<float, N>;
    const U wide = __builtin_convertvector(h, U);
    const F magnitude =
        (F)((wide & 0x7fff) << 13) * 0x1p112f;  // the exponent moves from bias 15 to 127, subnormals with it
    const U special = (U)(magnitude >= 65536.0f) & (255u << 23);
    return (F)((U)magnitude | special | ((wide & 0x8000) << 16));
}

template <int N> inline Vec<float, N> from_brain(Vec<uint16_t, N> h) {
    using U = Vec<uint32_t, N>;
    return (Vec<float, N>)(__builtin_convertvector(h, U) << 16);
}

// Rounded to nearest, ties to even; NaN stays NaN.
template <int N> inline Vec<uint16_t, N> to_brain(Vec<float, N> f) {
    using U = Vec<uint32_t, N>;
    const U bits = (U)f;
    const U rounded = bits + 0x7fff + ((bits >> 16) & 1);
    const U nan = (U)(f != f);
    return __builtin_convertvector(((nan & (bits | 0x400000)) | (~nan & rounded)) >> 16, Vec<uint16_t, N>);
}

template <int N> inline Vec<uint16_t, N> to_half(Vec<float, N> f) {
#if defined(__AVX512F__)
    if constexpr (N == 16) return (Vec<uint16_t, N>)_mm512_cvtps_ph((__m512)f, _MM_FROUND_TO_NEAREST_INT);
#endif
#if defined(__F16C__)
    if constexpr (N == 8) return (Vec<uint16_t, N>)_mm256_cvtps_ph((__m256)f, _MM_FROUND_TO_NEAREST_INT);
#endif
    using U = Vec<uint32_t, N>;
    using F = Vec<float, N>;
    const U sign = (U)f & 0x80000000u, size = (U)f & 0x7fffffffu;
    // Normal results: round in place. Subnormal ones: adding 0.5 puts the rounding at 2^-24, where their last bit is.
    const U normal = (size - (112u << 23) + 0xfff + ((size >> 13) & 1)) >> 13;
    const U subnormal = (U)((F)size + 0.5f) - (126u << 23);
    const U is_small = (U)(size < (113u << 23)), is_large = (U)(size >= 0x477ff000u), is_nan = (U)(size > 0x7f800000u);
    U bits = (is_small & subnormal) | (~is_small & normal);
    bits = (is_large & 0x7c00) | (~is_large & bits);
    bits |= is_nan & 0x200;
    return __builtin_convertvector(bits | (sign >> 16), Vec<uint16_t, N>);
}

// Elements T in memory to lanes A of arithmetic and back, N at a time.
template <class A, class T, int N> inline Vec<A, N> widen(Vec<Stored<T>, N> v) {
    if constexpr (__is_same(T, Half)) return __builtin_convertvector(from_half<N>(v), Vec<A, N>);
    else if constexpr (__is_same(T, Brain)) return __builtin_convertvector(from_brain<N>(v), Vec<A, N>);
    else return convert<A, T, N>(v);
}
template <class T, class A, int N> inline Vec<Stored<T>, N> narrow(Vec<A, N> v) {
    if constexpr (__is_same(T, Half)) return to_half<N>(__builtin_convertvector(v, Vec<float, N>));
    else if constexpr (__is_same(T, Brain)) return to_brain<N>(__builtin_convertvector(v, Vec<float, N>));
    else return convert<T, A, N>(v);
}

}  // namespace anypool::ANYPOOL_ISA
