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
template <class Reader> struct MarkedElements {
    using O = UnsignedOf<typename Reader::Lane>;
    Elements<Reader> elements;
    char *offset;
    int bytes;  // of an offset

    MarkedElements operator+(int64_t i) const { return {elements + i, offset + i * bytes, bytes}; }
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

// Quotients of whole numbers, rounded to nearest, ties to even.
inline int64_t divide_even(int64_t a, int64_t d) {
    int64_t q = a / d, r = a % d;
    if (r < 0 != d < 0 && r != 0) q--, r += d;  // now 0 ≤ r/d < 1
    const uint64_t twice = 2 * uint64_t(r < 0 ? -r : r), whole = uint64_t(d < 0 ? -d : d);
    return q + (twice > whole || (twice == whole && (q & 1)));
}

template <class A, class T> void finish_sums(const A *row, Stored<T> *out, int64_t n, Divisor<A> divisor) {
    constexpr int N = lanes<A>;
    using V = Vec<A, N>;
    if constexpr (is_float<A>)
        each_vector(n, N, [&](int64_t i, int64_t m) {
            V v = (divisor + i)(load<V>(row + i));
            if constexpr (!is_floating<T>)
                for (int l = 0; l < N; l++) v[l] = __builtin_nearbyint(v[l]);
            store_lanes(out + i, narrow<T, A, N>(v), m);
        });
    else if constexpr (is_floating<T>) {
        using D = Vec<double, N>;
        each_vector(n, N, [&](int64_t i, int64_t m) {
            D v = __builtin_convertvector(load<V>(row + i), D);
            if (divisor.each) v /= __builtin_convertvector(load<V>(divisor.each + i), D);
            else if (!divisor.multiplies) v /= double(divisor.one);
            store_lanes(out + i, narrow<T, double, N>(v), m);
        });
    } else
        for (int64_t i = 0; i < n; i++) {
            const bool whole = !divisor.each && divisor.multiplies;
            out[i] = T(whole ? row[i] : divide_even(row[i], divisor.each ? divisor.each[i] : divisor.one));
        }
}

template <class A>
__attribute__((noinline)) void finish_sums(Type result, const A *row, char *out, int64_t n, Divisor<A> divisor) {
    auto to = [&]<class T>(T) { finish_sums<A, T>(row, (Stored<T> *)out, n, divisor); };
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
