// What is accumulated of a window. A reducer combines accumulators, the earlier elements first, and loads and stores rows of
// them; a reader makes lanes of elements in memory. Everything else about pooling is the same for all.
#pragma once
#include "simd/elements.h"

namespace anypool::ANYPOOL_ISA {

// Whether accumulators follow each other in row-major order, or may come in any, so that equal values need their
// offsets compared.
enum class Order { sequential, any };

// A row of reduced values in scratch memory. Like all rows that are written, it takes m lanes of an accumulator.
template <class K> struct Row {
    K *value;
    Row operator+(int64_t i) const { return {value + i}; }
    template <class Acc> __attribute__((always_inline)) void put(const Acc &a, int64_t m) const {
        store_lanes(value, a.value, m);
    }
};

// The same, with the offset in its window of the element that each value is.
template <class K> struct RowWithOffsets {
    K *value;
    UnsignedOf<K> *offset;
    RowWithOffsets operator+(int64_t i) const { return {value + i, offset + i}; }
    template <class Acc> __attribute__((always_inline)) void put(const Acc &a, int64_t m) const {
        store_lanes(value, a.value, m);
        store_lanes(offset, a.offset, m);
    }
};

// A row of elements in an array.
template <class Reader> struct RawRow {
    const typename Reader::Element *elements;
    Reader reader;
    RawRow operator+(int64_t i) const { return {elements + i, reader}; }
};

// ---------------------------------------------------------------------------------------------------------------------
// Readers

// Elements as keys whose maximum is the answer. `flip` exchanges the order (min) or moves unsigned numbers to signed
// ones; half-precision numbers are compared as integers, NaN the largest.
template <class T, class K> struct Keys {
    using Source = T;
    using Element = Stored<T>;
    using Lane = K;
    static constexpr int N = lanes<K>;
    static constexpr bool half = __is_same(T, Half);
    using Bits = UnsignedOf<T>;
    using BV = Vec<Bits, N>;
    using V = Vec<K, N>;
    // A reader goes along with every row: two words of it stay in registers, three would not.
    struct Nothing {};
    Bits flip = 0;
    [[no_unique_address]] Choose<half, Bits, Nothing> infinity{};

    Keys() = default;  // elements that are keys already
    explicit Keys(const Problem &p) {
        const Type t = p.type;
        const bool is_unsigned = t == Type::u8 || t == Type::u16 || t == Type::u32 || t == Type::u64;
        const Bits top = Bits(Bits(1) << (8 * sizeof(Bits) - 1));
        flip = is_unsigned ? top : 0;
        if (p.operation == Operation::min) flip ^= half || is_float<K> ? top : Bits(~Bits(0));
        if constexpr (half) infinity = Bits(p.type == Type::f16 ? 0x7c00 : 0x7f80);
    }

    V read(const Element *x, int64_t m) const {
        const auto *from = (const Bits *)x;
        const BV bits = (m == N ? load<BV>(from) : load<BV>(from, m)) ^ flip;
        if constexpr (half) {
            using S = Vec<int16_t, N>;
            const S key = (S)bits ^ (S)((BV)((S)bits >> 15) & 0x7fff);
            const S nan = (S)((bits & 0x7fff) > infinity);
            return __builtin_convertvector((nan & 0x7fff) | (~nan & key), V);
        } else if constexpr (sizeof(T) == sizeof(K)) return (V)bits;
        else return convert<K, SignedOf<T>, N>((Vec<SignedOf<T>, N>)bits);
    }
    BV bits(V v) const {
        if constexpr (half) {
            using S = Vec<int16_t, N>;
            const S key = __builtin_convertvector(v, S);
            return ((BV)key ^ ((BV)(key >> 15) & 0x7fff)) ^ flip;
        } else if constexpr (sizeof(T) == sizeof(K)) return (BV)v ^ flip;
        else return (BV)convert<SignedOf<T>, K, N>(v) ^ flip;
    }
    // The key that every element beats or equals.
    K identity() const {
        if constexpr (half) return K(int16_t(uint16_t(~infinity)));
        else if constexpr (is_float<K>) return -__builtin_inf();
        else return K(SignedOf<T>(UnsignedOf<T>(1) << (8 * sizeof(T) - 1)));
    }
};

template <class T, class A> struct Widening {
    using Source = T;
    using Element = Stored<T>;
    using Lane = A;
    static constexpr int N = lanes<A>;


    Widening() = default;
    explicit Widening(const Problem &) {}
    static Vec<A, N> read(const Element *x, int64_t m) {
        using E = Vec<Element, N>;
        return widen<A, T, N>(m == N ? load<E>(x) : load<E>(x, m));
    }
};

// ---------------------------------------------------------------------------------------------------------------------
// Reducers

// What values without offsets share.
template <class K> struct Plain {
    using Lane = K;
    using Rows = Row<K>;
    static constexpr int N = lanes<K>;
    using V = Vec<K, N>;
    struct Acc { V value; };

    static Acc only(Vec<SignedOf<K>, N> keep, Acc a, Acc none) { return {keep ? a.value : none.value}; }
    using WideAcc = Acc;  // what long runs are accumulated in
    using WideRows = Rows;
    static WideAcc widen_acc(Acc a) { return a; }
    static Acc narrow_acc(WideAcc a) { return a; }
    static WideAcc load_wide(WideRows row) { return {ANYPOOL_ISA::load<V>(row.value)}; }
    static Acc even(Acc a, Acc b) { return {ANYPOOL_ISA::even(a.value, b.value)}; }
    static Acc odd(Acc a, Acc b) { return {ANYPOOL_ISA::odd(a.value, b.value)}; }
    static Acc zip_low(Acc a, Acc b) { return {ANYPOOL_ISA::zip_low(a.value, b.value)}; }
    static Acc zip_high(Acc a, Acc b) { return {ANYPOOL_ISA::zip_high(a.value, b.value)}; }
    static Acc ramp(Acc a, int64_t) { return a; }
    static void copy(Rows from, Rows to) { *to.value = *from.value; }
    static Acc gather(Rows row, const int64_t *index, const int64_t *, Acc none) {
        K lane[N];
        ANYPOOL_ISA::store(lane, none.value);
        for (int i = 0; i < N; i++)
            if (index[i] >= 0) lane[i] = row.value[index[i]];
        return {ANYPOOL_ISA::load<V>(lane)};
    }
};

template <class K> struct Extreme : Plain<K> {
    using typename Plain<K>::V, typename Plain<K>::Acc, typename Plain<K>::Rows;
    using Plain<K>::N;
    static constexpr bool pairwise = false, idempotent = true, has_offsets = false, converts = false, scales = false;
    struct Offset {};
    static constexpr Offset no_offset{};
    K identity_key;

    template <class Reader> explicit Extreme(const Reader &reader) : identity_key(reader.identity()) {}
    Acc identity() const { return {broadcast<V>(identity_key)}; }
    static Offset offset_of(const Axis &, Window, int64_t) { return {}; }
    static Offset offset_of(int64_t, int64_t) { return {}; }
    static Acc shifted(Acc a, Offset) { return a; }
    template <class Reader> static Acc load(RawRow<Reader> row, int64_t m, Offset) {
        return {row.reader.read(row.elements, m)};
    }
    static Acc load(Rows row, int64_t, Offset) { return {ANYPOOL_ISA::load<V>(row.value)}; }

    template <Order> static Acc combine(Acc a, Acc b) {
        if constexpr (is_float<K>) {
            // maxps gives its second operand where either is NaN: only a NaN in the first is left to keep.
#if defined(__AVX512F__)
            if constexpr (sizeof(K) == 4) {
                const __m512 va = (__m512)a.value, vb = (__m512)b.value;
                return {(V)_mm512_mask_mov_ps(_mm512_max_ps(va, vb), _mm512_cmp_ps_mask(va, va, _CMP_UNORD_Q), va)};
            } else {
                const __m512d va = (__m512d)a.value, vb = (__m512d)b.value;
                return {(V)_mm512_mask_mov_pd(_mm512_max_pd(va, vb), _mm512_cmp_pd_mask(va, va, _CMP_UNORD_Q), va)};
            }
#elif defined(__AVX2__)
            const auto nan = a.value != a.value;
            if constexpr (sizeof(K) == 4) return {nan ? a.value : (V)_mm256_max_ps((__m256)a.value, (__m256)b.value)};
            else return {nan ? a.value : (V)_mm256_max_pd((__m256d)a.value, (__m256d)b.value)};
#else
            const auto take = (b.value > a.value) | (b.value != b.value);
            return {take ? b.value : a.value};
#endif
        } else return {b.value > a.value ? b.value : a.value};
    }
};

// Max or min with the offset of the first element that has the value. IsHalf: −0 and 0 are equal, though not their
// keys.
template <class K, bool IsHalf = false> struct ExtremeWithOffset {
    using Lane = K;
    using Rows = RowWithOffsets<K>;
    static constexpr int N = lanes<K>;
    using V = Vec<K, N>;
    using O = UnsignedOf<K>;
    using OV = Vec<O, N>;
    struct Acc {
        V value;
        OV offset;
    };
    static constexpr bool pairwise = false, idempotent = true, has_offsets = true, scales = false,
                          converts = __is_same(K, int32_t) || __is_same(K, float);
    using Offset = O;
    static constexpr Offset no_offset = 0;
    K identity_key;

    template <class Reader> explicit ExtremeWithOffset(const Reader &reader) : identity_key(reader.identity()) {}
    // An offset behind that of any element, even when more is added to it, so that an equal element comes first.
    Acc identity() const { return {broadcast<V>(identity_key), broadcast<OV>(O(O(1) << (8 * sizeof(O) - 1)))}; }
    static Offset offset_of(const Axis &axis, Window w, int64_t j) { return O((w.first + j) * axis.weight); }
    static Offset offset_of(int64_t element, int64_t weight) { return O(element * weight); }
    static Acc shifted(Acc a, Offset more) { return {a.value, a.offset + more}; }
    template <class Reader> static Acc load(RawRow<Reader> row, int64_t m, Offset offset) {
        return {row.reader.read(row.elements, m), broadcast<OV>(offset)};
    }
    static Acc load(Rows row, int64_t, Offset offset) {
        return {ANYPOOL_ISA::load<V>(row.value), ANYPOOL_ISA::load<OV>(row.offset) + offset};
    }

    static V comparable(V v) {
        if constexpr (IsHalf) return v - (v == -1);
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
    using WideAcc = Acc;
    using WideRows = Rows;
    static WideAcc widen_acc(Acc a) { return a; }
    static Acc narrow_acc(WideAcc a) { return a; }
    static WideAcc load_wide(WideRows row) { return load(row, N, 0); }
    static Acc only(Vec<SignedOf<K>, N> keep, Acc a, Acc none) {
        return {keep ? a.value : none.value, keep ? a.offset : none.offset};
    }
    static Acc even(Acc a, Acc b) {
        return {ANYPOOL_ISA::even(a.value, b.value), ANYPOOL_ISA::even(a.offset, b.offset)};
    }
    static Acc odd(Acc a, Acc b) {
        return {ANYPOOL_ISA::odd(a.value, b.value), ANYPOOL_ISA::odd(a.offset, b.offset)};
    }
    // Neighbouring elements: lane i is element i.
    static Acc ramp(Acc a, int64_t weight) { return {a.value, a.offset + count<OV>() * O(weight)}; }
    static void copy(Rows from, Rows to) { *to.value = *from.value, *to.offset = *from.offset; }
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

template <class A> struct Total : Plain<A> {
    using typename Plain<A>::V, typename Plain<A>::Acc, typename Plain<A>::Rows;
    using Plain<A>::N;
    static constexpr bool pairwise = is_float<A>, idempotent = false, has_offsets = false, converts = true,
                          scales = is_float<A>;
    struct Offset {};
    static constexpr Offset no_offset{};

    template <class Reader> explicit Total(const Reader &) {}
    static Acc identity() { return {V{}}; }
    static Offset offset_of(const Axis &, Window, int64_t) { return {}; }
    static Offset offset_of(int64_t, int64_t) { return {}; }
    static Acc shifted(Acc a, Offset) { return a; }
    template <class Reader> static Acc load(RawRow<Reader> row, int64_t m, Offset) {
        return {row.reader.read(row.elements, m)};
    }
    static Acc load(Rows row, int64_t, Offset) { return {ANYPOOL_ISA::load<V>(row.value)}; }
    // Sums in float32 run in float64, so that a long run loses nothing: two vectors for one.
    struct WideSum {
        Vec<double, N / 2> low, high;
    };
    struct WideRow : Row<double> {
        WideRow operator+(int64_t i) const { return {{this->value + i}}; }
        void put(WideSum a, int64_t) const { store(this->value, a.low), store(this->value + N / 2, a.high); }
    };
    static constexpr bool is_wider = __is_same(A, float);
    using WideAcc = Choose<is_wider, WideSum, Acc>;
    using WideRows = Choose<is_wider, WideRow, Rows>;
    static WideAcc load_wide(WideRows row) {
        using ANYPOOL_ISA::load;
        using Half = Vec<double, N / 2>;
        if constexpr (is_wider) return {load<Half>(row.value), load<Half>(row.value + N / 2)};
        else return {load<V>(row.value)};
    }
    static WideAcc widen_acc(Acc a) {
        if constexpr (is_wider) return {half<double, 0>(a.value), half<double, 1>(a.value)};
        else return a;
    }
    static Acc narrow_acc(WideAcc a) {
        if constexpr (is_wider) return {joined<A>(a.low, a.high)};
        else return a;
    }
    template <Order> static Acc combine(Acc a, Acc b) { return {a.value + b.value}; }
    template <Order> static WideSum combine(WideSum a, WideSum b) { return {a.low + b.low, a.high + b.high}; }
};

}  // namespace anypool::ANYPOOL_ISA
