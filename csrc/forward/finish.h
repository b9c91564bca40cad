// From accumulators to the output: keys back to elements, sums divided, offsets in as many bytes as they need. A
// target is a row that is written like any other.
#pragma once
#include "reduce/reducers.h"

namespace anypool::ANYPOOL_ISA {

inline int64_t size_of(Type type) {
    constexpr int8_t bytes[] = {1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8};
    return bytes[int(type)];
}

// What sums are divided by: each output's divisor, or one for all.
template <class A> struct Divisor {
    static constexpr int N = lanes<A>;
    const A *each = nullptr;
    A one = 1;
    bool multiplies = true;  // `one` is the inverse of a power of two: the product is as exact

    static Divisor of(int64_t n) {
        if (n > 0 && (n & (n - 1)) == 0 && (is_float<A> || n == 1)) return {nullptr, A(A(1) / A(n)), true};
        return {nullptr, A(n), false};
    }
    Divisor operator+(int64_t i) const { return {each ? each + i : nullptr, one, multiplies}; }
    __attribute__((always_inline)) Vec<A, N> operator()(Vec<A, N> v) const {
        if (each) return v / load<Vec<A, N>>(each);
        return multiplies ? v * one : v / one;
    }
};

// ---------------------------------------------------------------------------------------------------------------------
// Targets

// Maxima and minima, as elements.
template <class Reader> struct Elements {
    typename Reader::Element *value;
    Reader reader;

    Elements operator+(int64_t i) const { return {value + i, reader}; }
    template <class Acc> __attribute__((always_inline)) void put(const Acc &a, int64_t m) const {
        store_lanes((UnsignedOf<typename Reader::Element> *)value, reader.bits(a.value), m);
    }
};

// The same, with their offsets.
template <class Reader> struct ElementsWithOffsets {
    using O = UnsignedOf<typename Reader::Lane>;
    Elements<Reader> elements;
    char *offset;
    int bytes;  // of an offset

    ElementsWithOffsets operator+(int64_t i) const { return {elements + i, offset + i * bytes, bytes}; }
    template <class Acc> __attribute__((always_inline)) void put(const Acc &a, int64_t m) const {
        elements.put(a, m);
        if (bytes == 1) narrowed<uint8_t>(a, m);
        else if (bytes == 2) narrowed<uint16_t>(a, m);
        else narrowed<uint32_t>(a, m);
    }
    template <class To, class Acc> void narrowed(const Acc &a, int64_t m) const {
        if constexpr (sizeof(To) <= sizeof(O)) store_lanes((To *)offset, convert<To, O, Reader::N>(a.offset), m);
    }
};

// Sums, divided, as elements of type T, or as they are, as lanes.
template <class T, class A> struct Quotients {
    static constexpr bool converts = !__is_same(Stored<T>, A);
    char *value;
    bool are_lanes;
    Divisor<A> divisor;

    Quotients operator+(int64_t i) const {
        const int64_t size = converts && !are_lanes ? sizeof(T) : sizeof(A);
        return {value + i * size, are_lanes, divisor + i};
    }
    template <class Acc> __attribute__((always_inline)) void put(const Acc &a, int64_t m) const {
        if (!converts || !are_lanes) store_lanes((Stored<T> *)value, narrow<T, A, lanes<A>>(divisor(a.value)), m);
        else store_lanes((A *)value, a.value, m);
    }
};

// ---------------------------------------------------------------------------------------------------------------------
// Rows of sums that become something other than what was summed

// Sums of whole numbers are divided as floating-point numbers F, of which those below a limit are exact. A quotient of
// such a sum is then rounded to the right integer: a quotient that is no tie is further from one, 1/2d at least, than
// its own rounding error.
template <class F> constexpr F rounder = sizeof(F) == 4 ? F(0x1.8p23) : F(0x1.8p52);  // added, leaves an integer
template <class F> constexpr int64_t exact_below = int64_t(1) << (sizeof(F) == 4 ? 22 : 51);

template <class F, class A, int N> inline Vec<F, N> exactly(Vec<A, N> v) {
    if constexpr (sizeof(A) == 8) return (Vec<F, N>)(v + __builtin_bit_cast(A, rounder<F>)) - rounder<F>;
    else return __builtin_convertvector(v, Vec<F, N>);
}
// To nearest, ties to even, |v| < exact_below.
template <class A, class F, int N> inline Vec<A, N> rounded(Vec<F, N> v) {
    v += rounder<F>;
    if constexpr (sizeof(A) == 8) return (Vec<A, N>)v - __builtin_bit_cast(A, rounder<F>);
    else return __builtin_convertvector(v - rounder<F>, Vec<A, N>);
}
inline bool are_exact(const int64_t *row, int64_t n) {
    uint64_t over = 0;
    for (int64_t i = 0; i < n; i++) over |= uint64_t(row[i] + exact_below<double>) / uint64_t(2 * exact_below<double>);
    return over == 0;
}
inline bool are_exact(const int32_t *, int64_t) { return true; }

// Any quotient, rounded likewise.
inline int64_t divide_even(int64_t a, int64_t d) {
    int64_t q = a / d, r = a % d;
    if (r < 0 != d < 0 && r != 0) q--, r += d;  // now 0 ≤ r/d < 1
    const uint64_t twice = 2 * uint64_t(r < 0 ? -r : r), whole = uint64_t(d < 0 ? -d : d);
    return q + (twice > whole || (twice == whole && (q & 1)));
}

// Quotients as elements T, of sums that are exact as F.
template <class F, class A, class T> void finish_whole(const A *row, Stored<T> *out, int64_t n, Divisor<A> divisor) {
    constexpr int N = lanes<A>;
    const F by = F(divisor.one), inverse = (divisor.one & (divisor.one - 1)) == 0 && by > 0 ? 1 / by : 0;
    each_vector(n, N, [&](int64_t i, int64_t m) {
        Vec<F, N> v = exactly<F, A, N>(load<Vec<A, N>>(row + i));
        if (divisor.each) v /= exactly<F, A, N>(load<Vec<A, N>>(divisor.each + i));
        else if (inverse) v *= inverse;
        else v /= by;
        if constexpr (is_floating<T>) store_lanes(out + i, narrow<T, F, N>(v), m);
        else store_lanes((UnsignedOf<T> *)out + i,
                         convert<UnsignedOf<T>, UnsignedOf<A>, N>((Vec<UnsignedOf<A>, N>)rounded<A, F, N>(v)), m);
    });
}

template <class A, class T> void finish_sums(const A *row, Stored<T> *out, int64_t n, Divisor<A> divisor, bool small) {
    constexpr int N = lanes<A>;
    using V = Vec<A, N>;
    if constexpr (is_float<A>)
        each_vector(n, N, [&](int64_t i, int64_t m) {
            V v = (divisor + i)(load<V>(row + i));
            if constexpr (!is_floating<T>)
                for (int l = 0; l < N; l++) v[l] = __builtin_nearbyint(v[l]);
            store_lanes(out + i, narrow<T, A, N>(v), m);
        });
    else if (!is_floating<T> && !divisor.each && divisor.one == 1)
        each_vector(n, N, [&](int64_t i, int64_t m) {
            store_lanes(out + i, narrow<T, A, N>(load<V>(row + i)), m);
        });
    else if (sizeof(A) == 4 && small && !__is_same(T, double))
        finish_whole<Choose<sizeof(A) == 4, float, double>, A, T>(row, out, n, divisor);
    else if (are_exact(row, n)) finish_whole<double, A, T>(row, out, n, divisor);
    else if constexpr (is_floating<T>)
        for (int64_t i = 0; i < n; i++) {
            const double quotient = double(row[i]) / double(divisor.each ? divisor.each[i] : divisor.one);
            store(out + i, narrow<T, double, 1>(Vec<double, 1>{quotient}));
        }
    else
        for (int64_t i = 0; i < n; i++) out[i] = T(divide_even(row[i], divisor.each ? divisor.each[i] : divisor.one));
}

// `small`: whole sums that are exact in float32.
template <class A>
__attribute__((noinline)) void finish_sums(Type result, const A *row, char *out, int64_t n, Divisor<A> divisor,
                                           bool small = false) {
    auto to = [&]<class T>(T) { finish_sums<A, T>(row, (Stored<T> *)out, n, divisor, small); };
    switch (result) {
        case Type::f16: return to(Half{});
        case Type::bf16: return to(Brain{});
        case Type::f32: return to(float{});
        case Type::f64: return to(double{});
        default: break;
    }
    if constexpr (!__is_same(A, float)) switch (result) {
            case Type::i8: return to(int8_t{});
            case Type::u8: return to(uint8_t{});
            case Type::i16: return to(int16_t{});
            case Type::u16: return to(uint16_t{});
            case Type::i32: return to(int32_t{});
            case Type::u32: return to(uint32_t{});
            case Type::i64: return to(int64_t{});
            default: return to(uint64_t{});
        }
}

}  // namespace anypool::ANYPOOL_ISA
