// What is kept of a window. A reducer loads elements (from the array, or from rows already reduced), combines two accumulators, the earlier
// elements first, and stores rows. Everything else about pooling is the same for all.
#pragma once
#include "elements.h"

namespace anypool::ANYPOOL_ISA {

// Whether accumulators follow each other in row-major order, or may come in any, so that equal values need their offsets compared.
enum class Order { sequential, any };

// A row of reduced values in scratch memory.
template <class K> struct Row {
    using Lane = K;
    K *value;
    Row at(int64_t i) const { return {value + i}; }
};

// The same, with the offset in its window of the element that each value is.
template <class K> struct MarkedRow {
    using Lane = K;
    K *value;
    UnsignedOf<K> *offset;
    MarkedRow at(int64_t i) const { return {value + i, offset + i}; }
};

// How elements become keys whose maximum is the answer. `flip` exchanges the order (min) or moves unsigned numbers to signed ones; half-precision numbers
// are compared as integers, NaN the largest.
template <class T, class K> struct Keys {
    static constexpr int N = lanes<K>;
    static constexpr bool half = __is_same(T, Half);
    using Bits = UnsignedOf<T>;
    using BV = Vec<Bits, N>;
    using V = Vec<K, N>;
    Bits flip, infinity;

    static Keys of(const Problem &p) {
        const bool is_unsigned = p.type == Type::u8 || p.type == Type::u16 || p.type == Type::u32 || p.type == Type::u64;
        const Bits top = Bits(Bits(1) << (8 * sizeof(Bits) - 1));
        const bool floating = half || is_float<K>;
        Bits flip = is_unsigned ? top : 0;
        if (p.operation == Operation::min) flip ^= floating ? top : Bits(~Bits(0));
        return {flip, Bits(p.type == Type::f16 ? 0x7c00 : 0x7f80)};
    }
    // Whether keys are the elements themselves.
    bool trivial() const { return __is_same(T, K) && flip == 0; }

    V key(BV bits) const {
        bits ^= flip;
        if constexpr (half) {
            using S = Vec<int16_t, N>;
            const BV magnitude = bits & 0x7fff;
            const S key = (S)bits ^ (S)((BV)((S)bits >> 15) & 0x7fff);
            const S nan = (S)(magnitude > infinity);
            return __builtin_convertvector((nan & 0x7fff) | (~nan & key), V);
        } else if constexpr (sizeof(T) == sizeof(K)) return (V)bits;
        else return __builtin_convertvector((Vec<SignedOf<T>, N>)bits, V);
    }
    BV unkey(V v) const {
        if constexpr (half) {
            using S = Vec<int16_t, N>;
            const S key = __builtin_convertvector(v, S);
            return ((BV)key ^ ((BV)(key >> 15) & 0x7fff)) ^ flip;
        } else if constexpr (sizeof(T) == sizeof(K)) return (BV)v ^ flip;
        else return (BV)__builtin_convertvector(v, Vec<SignedOf<T>, N>) ^ flip;
    }
    // The key that every element beats or equals.
    K lowest() const {
        if constexpr (half) return K(int16_t(uint16_t(~infinity)));
        else if constexpr (is_float<K>) return -__builtin_inf();
        else return K(SignedOf<T>(UnsignedOf<T>(1) << (8 * sizeof(T) - 1)));
    }
};

template <class T, class K> struct Extreme {
    using Element = Stored<T>;
    using Lane = K;
    using Rows = Row<K>;
    static constexpr int N = lanes<K>;
    static constexpr bool pairwise = false;
    static constexpr bool scaled = false;
    using V = Vec<K, N>;
    struct Acc { V value; };
    struct Mark {};
    static constexpr Mark unmarked{};
    Keys<T, K> keys;

    static Mark mark(const Axis &, Window, int64_t) { return {}; }

    explicit Extreme(const Problem &p) : keys(Keys<T, K>::of(p)) {}
    bool trivial() const { return keys.trivial(); }

    Acc neutral() const { return {broadcast<V>(keys.lowest())}; }
    Acc load(const Element *x, int64_t m, Mark) const {
        using B = typename Keys<T, K>::BV;
        const auto *bits = (const typename Keys<T, K>::Bits *)x;
        return {keys.key(m == N ? ANYPOOL_ISA::load<B>(bits) : ANYPOOL_ISA::load<B>(bits, m))};
    }
    Acc load(Rows row, int64_t, Mark) const { return {ANYPOOL_ISA::load<V>(row.value)}; }
    static void store(Rows row, Acc a, int64_t m) {
        if (m == N) ANYPOOL_ISA::store(row.value, a.value);
        else ANYPOOL_ISA::store(row.value, a.value, m);
    }
    template <Order> static Acc combine(Acc a, Acc b) {
        if constexpr (is_float<K>) {
#if defined(__AVX512F__)
            // maxps gives its second operand where either is NaN: only a NaN in the first is left to keep.
            if constexpr (sizeof(K) == 4) {
                const __m512 va = (__m512)a.value, vb = (__m512)b.value;
                return {(V)_mm512_mask_mov_ps(_mm512_max_ps(va, vb), _mm512_cmp_ps_mask(va, va, _CMP_UNORD_Q), va)};
            } else {
                const __m512d va = (__m512d)a.value, vb = (__m512d)b.value;
                return {(V)_mm512_mask_mov_pd(_mm512_max_pd(va, vb), _mm512_cmp_pd_mask(va, va, _CMP_UNORD_Q), va)};
            }
#endif
            const auto take = (b.value > a.value) | (b.value != b.value);
            return {take ? b.value : a.value};
        } else return {b.value > a.value ? b.value : a.value};
    }
    static Acc permute(Acc a, Vec<SignedOf<K>, N> lane) { return {__builtin_shuffle(a.value, lane)}; }
    static Acc gather(Rows row, const int64_t *index, const int64_t *, Acc none) {
        K lane[N];
        ANYPOOL_ISA::store(lane, none.value);
        for (int i = 0; i < N; i++)
            if (index[i] >= 0) lane[i] = row.value[index[i]];
        return {ANYPOOL_ISA::load<V>(lane)};
    }
};

template <class T, class K> struct MarkedExtreme {
    using Element = Stored<T>;
    using Lane = K;
    using Rows = MarkedRow<K>;
    static constexpr int N = lanes<K>;
    static constexpr bool pairwise = false;
    static constexpr bool scaled = false;
    using V = Vec<K, N>;
    using O = UnsignedOf<K>;
    using OV = Vec<O, N>;
    struct Acc { V value; OV offset; };
    using Mark = O;
    static constexpr Mark unmarked = 0;
    Keys<T, K> keys;

    static Mark mark(const Axis &axis, Window w, int64_t j) { return O((w.first + j) * axis.weight); }

    explicit MarkedExtreme(const Problem &p) : keys(Keys<T, K>::of(p)) {}
    static constexpr bool trivial() { return false; }

    // The greatest offset, so that an equal element comes first.
    Acc neutral() const { return {broadcast<V>(keys.lowest()), ~OV{}}; }
    Acc load(const Element *x, int64_t m, Mark offset) const {
        using B = typename Keys<T, K>::BV;
        const auto *bits = (const typename Keys<T, K>::Bits *)x;
        return {keys.key(m == N ? ANYPOOL_ISA::load<B>(bits) : ANYPOOL_ISA::load<B>(bits, m)), broadcast<OV>(offset)};
    }
    Acc load(Rows row, int64_t, Mark offset) const {
        return {ANYPOOL_ISA::load<V>(row.value), ANYPOOL_ISA::load<OV>(row.offset) + offset};
    }
    static void store(Rows row, Acc a, int64_t m) {
        if (m == N) {
            ANYPOOL_ISA::store(row.value, a.value);
            ANYPOOL_ISA::store(row.offset, a.offset);
        } else {
            ANYPOOL_ISA::store(row.value, a.value, m);
            ANYPOOL_ISA::store(row.offset, a.offset, m);
        }
    }
    // −0 and 0 are equal, though not their keys.
    static V comparable(V v) {
        if constexpr (Keys<T, K>::half) return v - (v == -1);
        else return v;
    }
    template <Order order> static Acc combine(Acc a, Acc b) {
        const V va = comparable(a.value), vb = comparable(b.value);
        auto take = vb > va;
        if constexpr (is_float<K>) take |= (vb != vb) & (va == va);
        if constexpr (order == Order::any) {
            auto tie = va == vb;
            if constexpr (is_float<K>) tie |= (va != va) & (vb != vb);
            take |= tie & (b.offset < a.offset);
        }
        return {take ? b.value : a.value, take ? b.offset : a.offset};
    }
    static Acc permute(Acc a, Vec<SignedOf<K>, N> lane) {
        return {__builtin_shuffle(a.value, lane), __builtin_shuffle(a.offset, (OV)lane)};
    }
    static Acc gather(Rows row, const int64_t *index, const int64_t *add, Acc none) {
        K value[N];
        O offset[N];
        ANYPOOL_ISA::store(value, none.value);
        ANYPOOL_ISA::store(offset, none.offset);
        for (int i = 0; i < N; i++)
            if (index[i] >= 0) {
                value[i] = row.value[index[i]];
                offset[i] = row.offset[index[i]] + O(add[i]);
            }
        return {ANYPOOL_ISA::load<V>(value), ANYPOOL_ISA::load<OV>(offset)};
    }
};

// Sums; with Scaled, of elements that have factors (the gradient of an average whose windows hold different numbers of elements).
template <class T, class A, bool Scaled = false> struct Total {
    using Element = Stored<T>;
    using Lane = A;
    using Rows = Row<A>;
    static constexpr int N = lanes<A>;
    static constexpr bool pairwise = is_float<A>, scaled = Scaled;
    using V = Vec<A, N>;
    struct Acc { V value; };
    using Mark = A;
    static constexpr Mark unmarked = 1;

    explicit Total(const Problem &) {}
    static constexpr bool trivial() { return __is_same(T, A); }
    static Mark mark(const Axis &axis, Window w, int64_t j) {
        if constexpr (Scaled) return axis.scales ? A(axis.scales[w.begin + j * axis.step]) : A(1);
        else return 1;
    }
    static void scale(Rows row, const double *factors, int64_t n) {
        if (factors)
            for (int64_t i = 0; i < n; i++) row.value[i] *= A(factors[i]);
    }

    static Acc neutral() { return {V{}}; }
    static Acc load(const Element *x, int64_t m, Mark factor) {
        using E = Vec<Element, N>;
        return by({widen<A, T, N>(m == N ? ANYPOOL_ISA::load<E>(x) : ANYPOOL_ISA::load<E>(x, m))}, factor);
    }
    static Acc load(Rows row, int64_t, Mark factor) { return by({ANYPOOL_ISA::load<V>(row.value)}, factor); }
    static Acc by(Acc a, Mark factor) {
        if constexpr (Scaled) return {a.value * factor};
        else return a;
    }
    static void store(Rows row, Acc a, int64_t m) {
        if (m == N) ANYPOOL_ISA::store(row.value, a.value);
        else ANYPOOL_ISA::store(row.value, a.value, m);
    }
    template <Order> static Acc combine(Acc a, Acc b) { return {a.value + b.value}; }
    static Acc permute(Acc a, Vec<SignedOf<A>, N> lane) { return {__builtin_shuffle(a.value, lane)}; }
    static Acc gather(Rows row, const int64_t *index, const int64_t *, Acc) {
        A lane[N] = {};
        for (int i = 0; i < N; i++)
            if (index[i] >= 0) lane[i] = row.value[index[i]];
        return {ANYPOOL_ISA::load<V>(lane)};
    }
};

}  // namespace anypool::ANYPOOL_ISA
