// Exponentials, logarithms, powers and roots of float64 in vectors, to about 1e-10 of the value: for results that are float32
// at most.
#pragma once
#include "simd/simd.h"

namespace anypool::ANYPOOL_ISA {

using Doubles = Vec<double, lanes<double>>;
using Longs = Vec<int64_t, lanes<double>>;

// eʳ − 1 for |r| ≤ ln 2 / 2.
__attribute__((always_inline)) inline Doubles expm1_near(Doubles r) {
    const Doubles s = r * (1.0 / 362880) + 1.0 / 40320;
    return ((((((((s * r + 1.0 / 5040) * r + 1.0 / 720) * r + 1.0 / 120) * r + 1.0 / 24) * r + 1.0 / 6) * r + 0.5) * r) + 1.0) * r;
}

// eˣ; 0 below −708, ∞ above 709.
__attribute__((always_inline)) inline Doubles exp(Doubles x) {
    constexpr double shift = 0x1.8p52;  // added, leaves an integer
    const Doubles within = x > 709 ? broadcast<Doubles>(709.0) : x < -708 ? broadcast<Doubles>(-708.0) : x;
    const Doubles k = within * 0x1.71547652b82fep0 + shift, whole = k - shift;
    const Doubles r = within - whole * 0x1.62e42fee00000p-1 - whole * 0x1.a39ef35793c76p-33;
    const Doubles scale = (Doubles)(((Longs)k << 52) + (int64_t(1023) << 52));
    Doubles y = scale + scale * expm1_near(r);
    y = x > 709 ? broadcast<Doubles>(__builtin_inf()) : x < -708 ? Doubles{} : y;
    return x != x ? x : y;
}

// 2·atanh z, which is ln m for z = (m − 1)/(m + 1): |z| < 0.2.
__attribute__((always_inline)) inline Doubles twice_atanh(Doubles z) {
    const Doubles w = z * z;
    const Doubles s = w * (1.0 / 13) + 1.0 / 11;
    return 2 * z * (((((s * w + 1.0 / 9) * w + 1.0 / 7) * w + 1.0 / 5) * w + 1.0 / 3) * w + 1.0);
}

// ln x; NaN below 0, −∞ at 0 and below the least normal number.
__attribute__((always_inline)) inline Doubles log(Doubles x) {
    constexpr int64_t root_half = 0x3fe6a09e667f3bcd;
    const Longs moved = (Longs)x - root_half;
    const Longs exponent = moved >> 52;
    const Doubles m = (Doubles)((Longs)x - (exponent << 52));
    const Doubles e = __builtin_convertvector(exponent, Doubles);
    Doubles y = e * 0x1.62e42fefa39efp-1 + twice_atanh((m - 1) / (m + 1));
    y = x < __DBL_MIN__ ? broadcast<Doubles>(-__builtin_inf()) : y;
    y = x < 0 ? broadcast<Doubles>(__builtin_nan("")) : y;
    return (x != x) | (x == __builtin_inf()) ? x : y;
}

// ln(1 + s) for |s| < ½.
__attribute__((always_inline)) inline Doubles log1p_near(Doubles s) { return twice_atanh(s / (2 + s)); }

// √x, which vectors have no operator for.
template <class V> __attribute__((always_inline)) inline V sqrt(V x) {
#if defined(__AVX512F__)
    if constexpr (__is_same(V, Vec<double, 8>)) return (V)_mm512_sqrt_pd((__m512d)x);
    if constexpr (__is_same(V, Vec<float, 16>)) return (V)_mm512_sqrt_ps((__m512)x);
#endif
#if defined(__AVX2__)
    if constexpr (__is_same(V, Vec<double, 4>)) return (V)_mm256_sqrt_pd((__m256d)x);
    if constexpr (__is_same(V, Vec<float, 8>)) return (V)_mm256_sqrt_ps((__m256)x);
#endif
    for (int i = 0; i < int(sizeof(V) / sizeof(x[0])); i++) x[i] = __builtin_sqrt(x[i]);
    return x;
}

// ∛x of x ≥ 0: a guess by a third of the exponent, and Halley's iteration, which triples its digits.
__attribute__((always_inline)) inline Doubles cbrt(Doubles x) {
    constexpr double third = 1.0 / 3;
    const Doubles bits = __builtin_convertvector((Longs)x >> 32, Doubles) * third;
    Doubles y = (Doubles)((__builtin_convertvector(bits, Longs) + 0x2a9f7893) << 32);
    for (int i = 0; i < 2; i++) {
        const Doubles cube = y * y * y;
        y = y * (cube + 2 * x) / (2 * cube + x);
    }
    return (x > 0) & (x < __builtin_inf()) ? y : x;
}

// xᵖ of x ≥ 0.
__attribute__((always_inline)) inline Doubles power(Doubles x, double p) {
    if (p == 1) return x;
    if (p == 2) return x * x;
    if (p == 3) return x * x * x;
    if (p == 4) return (x * x) * (x * x);
    if (p == -1) return 1 / x;
    if (p == 0.5) return sqrt(x);
    if (p == 1.0 / 3) return cbrt(x);
    return exp(log(x) * p);
}

}  // namespace anypool::ANYPOOL_ISA
