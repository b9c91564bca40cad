// Elements of windows as floating-point lanes, and sums over them.
#pragma once
#include "windowed/run.h"

namespace anypool::ANYPOOL_ISA {

// f(an element of the dtype): floats, and whole numbers of which every one is a float64.
template <class F> bool by_element(Type type, F f) {
    switch (type) {
        case Type::i8: return f(int8_t{});
        case Type::u8: return f(uint8_t{});
        case Type::i16: return f(int16_t{});
        case Type::u16: return f(uint16_t{});
        case Type::i32: return f(int32_t{});
        case Type::u32: return f(uint32_t{});
        case Type::i64: return f(int64_t{});
        case Type::u64: return f(uint64_t{});
        case Type::f16: return f(Half{});
        case Type::bf16: return f(Brain{});
        case Type::f32: return f(float{});
        default: return f(double{});
    }
}

template <class L> bool widen_line(const Problem &p, const char *from, int64_t n, L *to) {
    return by_element(p.type, [&]<class T>(T) {
        constexpr int N = lanes<L>;
        each_vector(n, N, [&](int64_t i, int64_t m) {
            store_lanes(to + i, Widening<T, L>::read((const Stored<T> *)from + i, m), m);
        });
        return false;
    });
}
template <class L> Encoding<L> widening_of(const Problem &p) {
    const bool same = (p.type == Type::f32 && sizeof(L) == 4) || (p.type == Type::f64 && sizeof(L) == 8);
    return {same ? nullptr : widen_line<L>, &p, size_of(p.type)};
}

template <class V> struct Running {
    V total{};
    void add(V v) { total += v; }
};
// A sum whose error does not grow with the number of terms (Kahan 1965).
template <class V> struct Exact {
    V total{}, lost{};
    void add(V v) {
        const V more = v - lost, sum = total + more;
        const V rounding = (sum - total) - more;
        lost = rounding - rounding == 0 ? rounding : V{};  // of infinities there is none
        total = sum;
    }
};
constexpr int64_t few = 128;  // terms that are added as they come

// f(where the lanes of an element lie) summed over the elements of windows, in four sums where rows are long, since an
// addition waits for the one before.
template <class Sum, bool IsWhole, class L, class F>
__attribute__((always_inline)) inline Vec<L, lanes<L>> sum_by(const Windowed<L> &windows, int64_t lane, F f) {
    using V = Vec<L, lanes<L>>;
    Sum a, b, c, d;
    if constexpr (IsWhole) {
        for (int64_t r = 0; r < windows.row_count; r++) {
            const L *row = windows.rows[r] + lane;
            int64_t j = 0;
            for (; j + 4 <= windows.along; j += 4) {
                a.add(f(row + windows.offsets[j])), b.add(f(row + windows.offsets[j + 1]));
                c.add(f(row + windows.offsets[j + 2])), d.add(f(row + windows.offsets[j + 3]));
            }
            for (; j < windows.along; j++) a.add(f(row + windows.offsets[j]));
        }
        if (windows.along >= 4) a.add(b.total), c.add(d.total), a.add(c.total);
    } else
        windows.each_valid_place(lane, [&](const L *at, int64_t) ANYPOOL_INLINED { a.add(f(at)); },
                                 [&](const L *at, auto valid, int64_t) ANYPOOL_INLINED { a.add(valid ? f(at) : V{}); });
    return a.total;
}
template <bool IsWhole, class L, class F>
__attribute__((always_inline)) inline Vec<L, lanes<L>> sum_at(const Windowed<L> &windows, int64_t lane, F f) {
    using V = Vec<L, lanes<L>>;
    if (windows.size() <= few) return sum_by<Running<V>, IsWhole>(windows, lane, f);
    return sum_by<Exact<V>, IsWhole>(windows, lane, f);
}
template <bool IsWhole, class L, class F>
__attribute__((always_inline)) inline Vec<L, lanes<L>> sum_of(const Windowed<L> &windows, int64_t lane, F f) {
    return sum_at<IsWhole>(windows, lane, [&](const L *at) ANYPOOL_INLINED { return f(load<Vec<L, lanes<L>>>(at)); });
}
template <bool IsWhole, class L>
__attribute__((always_inline)) inline Vec<L, lanes<L>> sum_of(const Windowed<L> &windows, int64_t lane) {
    return sum_of<IsWhole>(windows, lane, [](auto v) ANYPOOL_INLINED { return v; });
}

// How many elements the windows have, as lanes.
template <bool IsWhole, class L>
__attribute__((always_inline)) inline Vec<L, lanes<L>> counts_of(const Windowed<L> &windows, int64_t lane) {
    using V = Vec<L, lanes<L>>;
    V n = broadcast<V>(L(windows.size()));
    if (!IsWhole) windows.each_count(lane, [&](auto have, int64_t count) ANYPOOL_INLINED { n = have ? broadcast<V>(L(count)) : n; });
    return n;
}

// What operations with a row of lanes share.
template <class L> class Numbers {
  public:
    using Lane = L;
    static constexpr int N = lanes<L>;
    using V = Vec<L, N>;

    explicit Numbers(const Problem &p) : p(p) {}
    void plan(Arena &arena, int64_t row) { values = arena.take<L>(row); }
    void start(const Layout<L> &layout) {
        if (layout.special) __atomic_store_n(p.gives_up, true, __ATOMIC_RELAXED);
    }
    void finish(int64_t n, char *to) const { finish_sums(p.result, values, to, n, Divisor<L>{}); }

  protected:
    const Problem &p;
    L *values = nullptr;
};

}  // namespace anypool::ANYPOOL_ISA
