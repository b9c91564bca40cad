// Exponentials, logarithms and powers of float64 in vectors, to about 1e-15 of the value.
#pragma once
#include "simd/simd.h"

namespace anypool::ANYPOOL_ISA {

using Doubles = Vec<double, lanes<double>>;
using Longs = Vec<int64_t, lanes<double>>;

// eʳ − 1 for |r| ≤ ln 2 / 2.
__attribute__((always_inline)) inline Doubles expm1_near(Doubles r) {
    Doubles s = r * (1.0 / 6227020800) + 1.0 / 479001600;
    for (double c : {1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24,
                     1.0 / 6, 0.5, 1.0})
        s = s * r + c;
    return s * r;
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

// ln(1 + s)·… for numbers m in [√½, √2): z = (m − 1)/(m + 1).
__attribute__((always_inline)) inline Doubles twice_atanh(Doubles z) {
    const Doubles w = z * z;
    Doubles s = w * (1.0 / 19) + 1.0 / 17;
    for (double c : {1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3, 1.0}) s = s * w + c;
    return 2 * z * s;
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

// √x, which GCC's vectors have no operator for.
__attribute__((always_inline)) inline Doubles sqrt(Doubles x) {
    for (int i = 0; i < lanes<double>; i++) x[i] = __builtin_sqrt(x[i]);
    return x;
}

// xᵖ of x ≥ 0.
__attribute__((always_inline)) inline Doubles power(Doubles x, double p) {
    if (p == 1) return x;
    if (p == 2) return x * x;
    if (p == 3) return x * x * x;
    if (p == 4) return (x * x) * (x * x);
    if (p == -1) return 1 / x;
    if (p == 0.5) return sqrt(x);
    return exp(log(x) * p);
}

}  // namespace anypool::ANYPOOL_ISA
