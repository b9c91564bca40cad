// Order statistics, and the most frequent of whole numbers, for one instruction set.
#include "windowed/run.h"
#include "windowed/sort.h"

namespace anypool::ANYPOOL_ISA {
namespace {

// The bits of elements, in keys, as numbers A.
template <class A, class E, class K> inline Vec<A, lanes<K>> to_numbers(Type type, Vec<K, lanes<K>> keys, E top, bool floating) {
    constexpr int N = lanes<K>;
    const auto bits = to_bits<E, K>(keys, top, floating);
    if constexpr (sizeof(E) == 2)
        if (floating)
            return type == Type::f16 ? widen<A, Half, N>(bits) : widen<A, Brain, N>(bits);
    if constexpr (sizeof(E) == 4)
        if (floating) return widen<A, float, N>((Vec<float, N>)bits);
    if constexpr (sizeof(E) == 8)
        if (floating) return widen<A, double, N>((Vec<double, N>)bits);
    if (top) return __builtin_convertvector(bits, Vec<A, N>);
    return __builtin_convertvector((Vec<SignedOf<E>, N>)bits, Vec<A, N>);
}

// The n elements of windows of that size, which may stay in registers.
template <int n, class K, class V>
__attribute__((always_inline)) inline void load_all(const Windowed<K> &windows, int64_t lane, V *v) {
    const K *at[n];
    for (int64_t r = 0, e = 0; r < windows.row_count; r++)
        for (int64_t j = 0; j < windows.along; j++) at[e++] = windows.rows[r] + windows.offsets[j] + lane;
#pragma GCC unroll 32
    for (int e = 0; e < n; e++) v[e] = load<V>(at[e]);
}

// f(lanes, number) of the elements of windows that the edge cuts, what is missing greater than any.
template <class K, class F>
__attribute__((always_inline)) inline void sorted_last(const Windowed<K> &windows, int64_t lane, F f) {
    using V = Vec<K, lanes<K>>;
    windows.each_valid(lane, f, [&](V v, auto valid, int64_t e) ANYPOOL_INLINED { f(valid ? v : broadcast<V>(greatest<K>), e); });
}

// What stands at one or two places of every sorted window.
template <class K> class Places {
  public:
    using Lane = K;
    static constexpr int N = lanes<K>;
    using V = Vec<K, N>;
    using Int = SignedOf<K>;
    using Count = Vec<UnsignedOf<K>, N>;

    explicit Places(const Problem &p) : p(p), bits(8 * int(size_of(p.type))), between(is_between(p)) {}

    void plan(Arena &arena, int64_t row) {
        lower = arena.take<K>(row);
        upper = arena.take<K>(row);
        counts = arena.take<K>(between ? row : 0);
    }
    void start(const Layout<K> &layout) { has_nan = layout.special; }

    template <bool IsWhole> void vector(const Windowed<K> &windows, int64_t lane) {
        const int64_t n = windows.size();
        V low, high;
        if (n > longest_network) bisect<IsWhole>(windows, lane, low, high);
        else if (IsWhole || fits_whole(windows)) select<IsWhole>(windows, lane, low, high);
        else pick(windows, lane, low, high);
        if (has_nan) {
            auto nan = low != low;
            auto see = [&](V v) ANYPOOL_INLINED { nan |= v == greatest<K>; };
            if constexpr (IsWhole) windows.each(lane, [&](V v, int64_t) ANYPOOL_INLINED { see(v); });
            else
                windows.each_valid(lane, [&](V v, int64_t) ANYPOOL_INLINED { see(v); },
                                   [&](V v, auto valid, int64_t) ANYPOOL_INLINED { nan |= valid & (v == greatest<K>); });
            low = nan ? broadcast<V>(greatest<K>) : low;
            high = nan ? broadcast<V>(greatest<K>) : high;
        }
        store(lower + lane, low);
        if (!between) return;
        store(upper + lane, high);
        V count = broadcast<V>(K(n));
        if (!IsWhole) windows.each_count(lane, [&](auto have, int64_t n) ANYPOOL_INLINED { count = have ? broadcast<V>(K(n)) : count; });
        store(counts + lane, count);
    }

    void finish(int64_t n, char *to) const {
        by_type(p.type, [&]<class E>(E top, SignedOf<E> infinity) {
            if constexpr (fits_keys<K, E>) {
                if (!between)
                    each_vector(n, N, [&](int64_t i, int64_t m) {
                        store_lanes((E *)to + i, to_bits<E, K>(load<V>(lower + i), top, infinity != 0), m);
                    });
                else if (p.accumulator == Type::f64) finish_between<double, E>(n, to, top, infinity != 0);
                else finish_between<float, E>(n, to, top, infinity != 0);
            }
        });
    }

  private:
    static bool is_between(const Problem &p) {
        for (int64_t n = 1; n <= p.window; n++)
            if (p.places[n].first != p.places[n].last) return true;
        return p.result != p.type;
    }

    const Problem &p;
    const int bits;      // of an element
    const bool between;  // whether values are numbers between elements
    bool has_nan = false;
    K *lower = nullptr, *upper = nullptr;
    K *counts = nullptr;  // of elements

    // Windows that are whole, or whose missing elements stand before and behind the others as it would be for whole ones.
    template <bool IsWhole> void select(const Windowed<K> &windows, int64_t lane, V &low, V &high) const {
        const int64_t n = windows.size();
        const Place place = p.places[n];
        const bool middle = place.first == (n - 1) / 2 && place.last == place.first;
        if (middle && n == 4) return fixed<IsWhole, 4>(windows, lane, low, high);
        if (middle && n == 8) return fixed<IsWhole, 8>(windows, lane, low, high);
        if (middle && n == 9) return fixed<IsWhole, 9>(windows, lane, low, high);
        if (middle && n == 25) return fixed<IsWhole, 25>(windows, lane, low, high);
        V v[longest_network];
        fill<IsWhole>(windows, lane, v);
        run_network(*p.networks[2 * n], v);
        low = v[place.first], high = v[place.last];
    }
    template <bool IsWhole, int n>
    __attribute__((noinline)) void fixed(const Windowed<K> &windows, int64_t lane, V &low, V &high) const {
        V v[n];
        if constexpr (IsWhole) load_all<n>(windows, lane, v);
        else {
            V from[n];
            fill<false>(windows, lane, from);
#pragma GCC unroll 32
            for (int e = 0; e < n; e++) v[e] = from[e];
        }
        Fixed<n, uint64_t(1) << (n - 1) / 2>::run(v);
        low = high = v[(n - 1) / 2];
    }
    template <bool IsWhole>
    __attribute__((always_inline)) void fill(const Windowed<K> &windows, int64_t lane, V *v) const {
        if constexpr (IsWhole) windows.each(lane, [&](V each, int64_t e) ANYPOOL_INLINED { v[e] = each; });
        else {
            const Place whole = p.places[windows.size()];
            V before{}, missing{};
            windows.each_count(lane, [&](auto have, int64_t n) ANYPOOL_INLINED {
                before = have ? broadcast<V>(K(whole.first - p.places[n].first)) : before;
            });
            windows.each_valid(lane, [&](V each, int64_t e) ANYPOOL_INLINED { v[e] = each; }, [&](V each, auto valid, int64_t e) ANYPOOL_INLINED {
                v[e] = valid ? each : missing < before ? broadcast<V>(K(~greatest<K>)) : broadcast<V>(greatest<K>);
                missing += V(~valid & 1);
            });
        }
    }
    // Whether the missing elements of cut windows can be put before and behind so that places are those of whole ones.
    bool fits_whole(const Windowed<K> &windows) const {
        const Place whole = p.places[windows.size()];
        for (int64_t j = 1; j < windows.along; j++) {
            const Place place = p.places[windows.row_count * j];
            const int64_t before = whole.first - place.first, missing = windows.size() - windows.row_count * j;
            if (before < 0 || before > missing || whole.last - place.last != before) return false;
        }
        return true;
    }

    // Windows that the edge cuts, each elsewhere: all of it sorted, what is missing last.
    __attribute__((noinline)) void pick(const Windowed<K> &windows, int64_t lane, V &low, V &high) const {
        V v[longest_network];
        sorted_last(windows, lane, [&](V each, int64_t e) ANYPOOL_INLINED { v[e] = each; });
        run_network(*p.networks[2 * windows.size() + 1], v);
        low = high = v[0];
        windows.each_count(lane, [&](auto have, int64_t n) ANYPOOL_INLINED {
            const Place place = p.places[n];
            low = have ? v[place.first] : low, high = have ? v[place.last] : high;
        });
    }

    template <bool IsWhole>
    __attribute__((noinline)) void bisect(const Windowed<K> &windows, int64_t lane, V &low, V &high) const {
        auto each = [&](auto f) ANYPOOL_INLINED {
            if constexpr (IsWhole) windows.each(lane, [&](V v, int64_t) ANYPOOL_INLINED { f(v); });
            else sorted_last(windows, lane, [&](V v, int64_t) ANYPOOL_INLINED { f(v); });
        };
        using U = UnsignedOf<K>;
        const Place whole = p.places[windows.size()];
        Count first = broadcast<Count>(U(whole.first)), last = broadcast<Count>(U(whole.last));
        if (!IsWhole)
            windows.each_count(lane, [&](auto have, int64_t n) ANYPOOL_INLINED {
                first = have ? broadcast<Count>(U(p.places[n].first)) : first;
                last = have ? broadcast<Count>(U(p.places[n].last)) : last;
            });
        low = high = Bisection<K>::at(each, first, bits);
        if (!between) return;
        const V next = Bisection<K>::behind(each, low, first);
        high = last > first ? next : low;
    }

    template <class A, class E> void finish_between(int64_t n, char *to, E top, bool floating) const {
        each_vector(n, N, [&](int64_t i, int64_t m) {
            const auto below = to_numbers<A, E, K>(p.type, load<V>(lower + i), top, floating);
            const auto above = to_numbers<A, E, K>(p.type, load<V>(upper + i), top, floating);
            A value[N];
            for (int l = 0; l < N; l++) {
                const A t = A(p.places[UnsignedOf<K>(counts[i + l])].t), a = below[l], b = above[l];
                value[l] = a == b ? a : a * (1 - t) + b * t;
            }
            put(value, m, to, i);
        });
    }
    template <class A> void put(const A *value, int64_t m, char *to, int64_t at) const {
        for (int64_t l = 0; l < m; l++) {
            const Vec<A, 1> v{value[l]};
            if (p.result == Type::f32) ((float *)to)[at + l] = float(value[l]);
            else if (p.result == Type::f64) ((double *)to)[at + l] = double(value[l]);
            else if (p.result == Type::f16) ((uint16_t *)to)[at + l] = narrow<Half, A, 1>(v)[0];
            else ((uint16_t *)to)[at + l] = narrow<Brain, A, 1>(v)[0];
        }
    }
};

// The most frequent element, of several the smallest: the first longest run of the sorted window.
template <class K> class Mode {
  public:
    using Lane = K;
    static constexpr int N = lanes<K>;
    using V = Vec<K, N>;
    using Int = SignedOf<K>;

    explicit Mode(const Problem &p) : p(p) {}
    void plan(Arena &arena, int64_t row) {
        int64_t size = 1;
        for (const Axis &axis : p.axes) size *= axis.kernel_size;
        sorted = arena.take<V>(size);
        values = arena.take<K>(row);
    }
    void start(const Layout<K> &) {}

    template <bool IsWhole> void vector(const Windowed<K> &windows, int64_t lane) {
        const int64_t n = windows.size();
        if (IsWhole && n == 4) return of_four(windows, lane);
        if (IsWhole && n == 8) return fixed<8>(windows, lane);
        V count = broadcast<V>(K(n));
        if constexpr (IsWhole) windows.each(lane, [&](V v, int64_t e) ANYPOOL_INLINED { sorted[e] = v; });
        else {
            sorted_last(windows, lane, [&](V v, int64_t e) ANYPOOL_INLINED { sorted[e] = v; });
            windows.each_count(lane, [&](auto have, int64_t n) ANYPOOL_INLINED { count = have ? broadcast<V>(K(n)) : count; });
        }
        sort(sorted, n);
        store(values + lane, longest_run<!IsWhole>(sorted, n, count));
    }
    void finish(int64_t n, char *to) const {
        by_type(p.type, [&]<class E>(E top, SignedOf<E>) {
            if constexpr (fits_keys<K, E>)
                each_vector(n, N, [&](int64_t i, int64_t m) {
                    store_lanes((E *)to + i, to_bits<E, K>(load<V>(values + i), top, false), m);
                });
        });
    }

  private:
    const Problem &p;
    V *sorted = nullptr;
    K *values = nullptr;

    void of_four(const Windowed<K> &windows, int64_t lane) {
        V v[4];
        load_all<4>(windows, lane, v);
        Fixed<4, 15>::run(v);
        const V last = v[2] == v[3] ? v[2] : v[0], middle = v[1] == v[2] ? v[1] : last;
        store(values + lane, v[0] == v[1] ? v[0] : middle);
    }
    template <int n> void fixed(const Windowed<K> &windows, int64_t lane) {
        V v[n];
        load_all<n>(windows, lane, v);
        Fixed<n, (uint64_t(1) << n) - 1>::run(v);
        store(values + lane, longest_run<false>(v, n, V{}));
    }
    template <bool Counted> __attribute__((always_inline)) static V longest_run(const V *v, int64_t n, V count) {
        V best = v[0], run = broadcast<V>(K(1)), longest = run;
#pragma GCC unroll 8
        for (int64_t i = 1; i < n; i++) {
            run = v[i] == v[i - 1] ? run + K(1) : broadcast<V>(K(1));
            auto longer = run > longest;
            if constexpr (Counted) longer &= count > K(i);
            best = longer ? v[i] : best;
            longest = longer ? run : longest;
        }
        return best;
    }
};

template <template <class> class Op> bool run(const Problem &p) {
    int64_t size = 1;
    for (int a = 0; a < p.rank; a++) size *= p.axes[a].kernel_size;
    const int64_t bytes = size_of(p.type), most = p.operation == Operation::mode ? 127 : 255;
    // Lanes count elements, signed numbers those along an axis.
    if (bytes == 1 && size <= most && p.axes[p.rank - 1].kernel_size <= 127) return WindowedRun<Op<int8_t>>(p, keys_of<int8_t>(p), greatest<int8_t>).run();
    if (bytes <= 2) return WindowedRun<Op<int16_t>>(p, keys_of<int16_t>(p), greatest<int16_t>).run();
    if (bytes == 4) return WindowedRun<Op<int32_t>>(p, keys_of<int32_t>(p), greatest<int32_t>).run();
    return WindowedRun<Op<int64_t>>(p, keys_of<int64_t>(p), greatest<int64_t>).run();
}

}  // namespace

bool run_order(const Problem &p) { return p.operation == Operation::mode ? run<Mode>(p) : run<Places>(p); }

}  // namespace anypool::ANYPOOL_ISA
