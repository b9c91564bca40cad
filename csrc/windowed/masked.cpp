// Max, min, sum and average of the elements that a mask lets count, of those that are no NaN, or of both, for one
// instruction set. The mask is packed beside the elements.
#include "windowed/numbers.h"

namespace anypool::ANYPOOL_ISA {
namespace {

template <class L> bool mask_line(const Problem &, const char *from, int64_t n, L *to) {
    constexpr int N = lanes<L>;
    each_vector(n, N, [&](int64_t i, int64_t m) {
        store_lanes(to + i, Widening<uint8_t, L>::read((const uint8_t *)from + i, m), m);
    });
    return false;
}

template <class L, bool HasMask, bool Omits> class Masked : public Numbers<L> {
    using typename Numbers<L>::V;
    using Mask = Vec<SignedOf<L>, lanes<L>>;
    using Numbers<L>::p;

  public:
    using Numbers<L>::Numbers;
    template <bool IsWhole> void vector(const Windowed<L> &windows, int64_t lane) {
        const bool selects = p.operation == Operation::max || p.operation == Operation::min;
        V count{};
        V value = selects ? extreme<IsWhole>(windows, lane, count) : total<IsWhole>(windows, lane, count);
        if (p.operation == Operation::average) value /= p.divisor ? broadcast<V>(L(p.divisor)) : count;
        store(this->values + lane, count >= L(p.numbers[0]) ? value : broadcast<V>(L(p.numbers[1])));
    }

  private:
    static Mask counts(const L *at, V v, int64_t beside) {
        Mask mask = v == v;
        if constexpr (!Omits) mask = ~Mask{};
        if constexpr (HasMask) mask &= load<V>(at + beside) != 0;
        return mask;
    }
    // f(lanes, which of them count) for every element.
    template <bool IsWhole, class F>
    __attribute__((always_inline)) static void each(const Windowed<L> &windows, int64_t lane, F f) {
        auto whole = [&](const L *at, int64_t) ANYPOOL_INLINED {
            const V v = load<V>(at);
            f(v, counts(at, v, windows.beside));
        };
        auto cut = [&](const L *at, Mask valid, int64_t) ANYPOOL_INLINED {
            const V v = load<V>(at);
            f(v, valid & counts(at, v, windows.beside));
        };
        if constexpr (IsWhole) windows.each_place(lane, whole);
        else windows.each_valid_place(lane, whole, cut);
    }
    template <bool IsWhole>
    __attribute__((always_inline)) static V total(const Windowed<L> &windows, int64_t lane, V &count) {
        const V one = broadcast<V>(L(1));
        if (windows.size() <= few) {
            V sum{}, n{};
            each<IsWhole>(windows, lane, [&](V v, Mask mask) ANYPOOL_INLINED { sum += mask ? v : V{}, n += mask ? one : V{}; });
            count = n;
            return sum;
        }
        Exact<V> sum;
        V n{};
        each<IsWhole>(windows, lane, [&](V v, Mask mask) ANYPOOL_INLINED { sum.add(mask ? v : V{}), n += mask ? one : V{}; });
        count = n;
        return sum.total;
    }
    template <bool IsWhole>
    __attribute__((noinline)) V extreme(const Windowed<L> &windows, int64_t lane, V &count) const {
        const L sign = p.operation == Operation::max ? L(1) : L(-1);
        V best = broadcast<V>(L(-__builtin_inf())), n{};
        each<IsWhole>(windows, lane, [&](V v, Mask mask) ANYPOOL_INLINED {
            v *= sign;
            best = mask & ((v > best) | (v != v)) ? v : best;
            n += mask ? broadcast<V>(L(1)) : V{};
        });
        count = n;
        return best * sign;
    }
};

template <class L> bool run(const Problem &p) {
    const bool has_mask = p.offsets.data, omits = p.omits_nan;
    const Encoding<L> own = widening_of<L>(p), mask{mask_line<L>, &p, 1};
    if (!has_mask) return WindowedRun<Masked<L, false, true>>(p, own, 0).run();
    if (omits) return WindowedRun<Masked<L, true, true>>(p, own, 0, mask).run();
    return WindowedRun<Masked<L, true, false>>(p, own, 0, mask).run();
}

}  // namespace

bool run_masked(const Problem &p) { return p.type == Type::f64 ? run<double>(p) : run<float>(p); }

}  // namespace anypool::ANYPOOL_ISA
