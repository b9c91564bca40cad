// Gradients gathered: for every element, the outputs whose windows it lies in, each taken where its offset names the element. Vectors throughout, and
// every element is written once; but the work grows with how many windows overlap.
#pragma once
#include "backward.h"

namespace anypool::ANYPOOL_ISA {

// lane i: p[i] for 0 ≤ i + at < n, else 0.
template <class V, class T> inline V load_inside(const T *p, int64_t at, int64_t n) {
    constexpr int N = sizeof(V) / sizeof(T);
    const int64_t from = smaller(larger(-at, 0), N), to = larger(smaller(n - at, N), from);
#if defined(__AVX512BW__)
    const uint64_t below = to * sizeof(T) == 64 ? ~0ull : (1ull << (to * sizeof(T))) - 1;
    const uint64_t keep = from * sizeof(T) == 64 ? 0 : below >> (from * sizeof(T)) << (from * sizeof(T));
    if constexpr (sizeof(V) == 64) return (V)_mm512_maskz_loadu_epi8(keep, p);
    if constexpr (sizeof(V) == 32) return (V)_mm256_maskz_loadu_epi8(keep, p);
    if constexpr (sizeof(V) == 16) return (V)_mm_maskz_loadu_epi8(keep, p);
#endif
    T lane[N] = {};
    for (int64_t i = from; i < to; i++) lane[i] = p[i];
    return load<V>(lane);
}

// Windows of a sliding axis that hold a position: outputs `output` and as many before it as reach so far, of which it is element `element`,
// element + stride, ….
struct Phase {
    int64_t output, element;
};
class Cover {
    Axis axis;
    int64_t most, rest;

  public:
    Cover() = default;
    explicit Cover(const Axis &axis) : axis(axis), most((axis.width - 1) / axis.stride), rest((axis.width - 1) % axis.stride) {}

    Phase phase(int64_t position) const {
        const int64_t output = floor_div(position + axis.before, axis.stride);
        return {output, position + axis.before - output * axis.stride};
    }
    Phase next(Phase at) const { return ++at.element < axis.stride ? at : Phase{at.output + 1, 0}; }

    // f(output, element) for each in ascending order; with `all` for outputs that are not there, too.
    template <bool all = false, class F> void each(Phase at, F f) const {
        for (int64_t back = most - (at.element > rest); back >= 0; back--) {
            const int64_t output = at.output - back;
            if (all || uint64_t(output) < uint64_t(axis.outputs)) f(output, (at.element + back * axis.stride) * axis.weight);
        }
    }
};

// What a run of elements is the sum of: of outputs `place` + i the gradient for element i, where their offset is `offset`, for lo ≤ i < hi.
struct Term {
    int64_t place, lo, hi;
    uint8_t offset;
};
constexpr int most_terms = 64;
struct Terms {
    int n = 0;
    int64_t lo = INT64_MIN, hi = INT64_MAX;  // where all terms are there
    Term term[most_terms];

    void add(int64_t place, int64_t offset, int64_t from, int64_t past) {
        lo = larger(lo, from), hi = smaller(hi, past);
        term[n++] = {place, from, past, uint8_t(offset)};
    }
};

template <class T, class A> class Gather {
    using O = uint8_t;
    using Element = Stored<T>;
    static constexpr int N = lanes<A>;
    using V = Vec<A, N>;

    GradientPlanes<T, O> planes;
    const Axis &last;
    Cover cover[cube];
    int64_t chunk, splits = 1, together;
    bool flat;   // an element's outputs lie at the same distances for all of a plane
    bool wraps;  // rows may read past the ends of rows of outputs

    const Element *grad = nullptr;
    const O *offsets = nullptr;

  public:
    // Whether it is the faster form.
    static bool fits(const GradientPlanes<T, O> &planes) {
        int64_t terms = 1;
        for (const Axis &axis : planes.axes) {
            if (axis.kind != Windows::sliding || axis.step != 1 || axis.width < 1) return false;
            const bool clips = planes.p.inner > 1 || &axis != &planes.axes[cube - 1];
            terms *= clips ? smaller(ceil_div(axis.width, axis.stride), axis.outputs) : ceil_div(axis.width, axis.stride);
            if (terms > most_terms) return false;
        }
        const int64_t stride = planes.axes[cube - 1].stride;
        const bool vectors = planes.p.inner >= N / 2 || is_flat(planes) || (planes.p.inner == 1 && (stride <= 2 || stride == 4));
        return vectors && planes.in * terms <= 3 * N * planes.out;
    }

    __attribute__((cold)) explicit Gather(const GradientPlanes<T, O> &planes) : planes(planes), last(this->planes.axes[cube - 1]), flat(is_flat(planes)) {
        for (int a = 0; a < cube; a++) cover[a] = Cover(planes.axes[a]);
        wraps = !has_empty_window(last) && last.outputs * last.stride >= last.length;
        together = planes_together(planes, 1);
        chunk = planes.axes[planes.split].length;
        if (planes.dense && planes.outer < 64) chunk = smaller(chunk, larger(1, (1 << 18) / (planes.in_below[planes.split] * int64_t(sizeof(Element)))));
        splits = ceil_div(planes.axes[planes.split].length, chunk);
    }

    bool run() const {
        const int64_t work = planes.outer * planes.in * int64_t(sizeof(Element));
        return run_units(ceil_div(planes.outer, together) * splits, work < (1 << 16) ? 1 : planes.p.threads, task, this);
    }

  private:
    // A window with nothing in it has an offset all the same.
    static bool has_empty_window(const Axis &axis) { return axis.before >= axis.width || (axis.outputs - 1) * axis.stride - axis.before >= axis.length; }

    // At stride 1, rows of outputs as long as rows of elements: the output that a distance leads to beyond the end of a row belongs to a window that has
    // the element's number in the padding, so its offset never is that number.
    static bool is_flat(const GradientPlanes<T, O> &planes) {
        bool flat = true;
        for (int a = 0; a < cube; a++) {
            const Axis &axis = planes.axes[a];
            flat = flat && axis.stride == 1 && !has_empty_window(axis) && (a <= planes.split || axis.outputs == axis.length);
        }
        return flat;
    }

    static bool task(const void *context, int64_t unit) {
        Gather mine = *(const Gather *)context;
        return mine.unit(unit);
    }

    bool unit(int64_t unit) {
        Arena measure{nullptr};
        planes.take(measure);
        char *memory = scratch(size_t(measure.next - (char *)nullptr));
        if (!memory) return false;
        Arena arena{memory};
        planes.take(arena);
        const int64_t lo = unit % splits * chunk, hi = smaller(lo + chunk, planes.axes[planes.split].length), from = unit / splits * together;
        for (int64_t o = from; o < smaller(from + together, planes.outer); o++) {
            const auto plane = planes.open(o);
            grad = plane.grad, offsets = plane.offsets;
            if (flat) flat_part(lo * planes.in_below[planes.split], hi * planes.in_below[planes.split], plane.to);
            else if (planes.split == 0) rows(lo, hi, plane.to);
            else row(0, 0, lo, hi, plane.to);
            planes.close(o);
        }
        return true;
    }

    // Elements lo to hi of a plane, whatever rows they lie in.
    void flat_part(int64_t lo, int64_t hi, Element *to) const {
        Terms terms;
        auto along = [&](int a, auto &&self, int64_t place, int64_t offset) -> void {
            const Axis &axis = planes.axes[a];
            for (int64_t element = axis.width - 1; element >= 0; element--) {
                const int64_t there = place + (axis.before - element) * planes.out_below[a], number = offset + element * axis.weight;
                if (a + 1 < cube) self(a + 1, self, there, number);
                else terms.add(there, number, -there, planes.out - there);
            }
        };
        along(0, along, 0, 0);
        sums(terms, lo, hi, to);
    }

    void rows(int64_t lo, int64_t hi, Element *to) const {
        for (int64_t i = lo; i < hi; i++)
            for (int64_t k = 0; k < planes.axes[1].length; k++) row(i, k, 0, last.length, to + i * planes.in_below[0] + k * planes.in_below[1]);
    }

    // Elements lo to hi of a row.
    void row(int64_t i, int64_t k, int64_t lo, int64_t hi, Element *to) const {
        struct Source {
            int64_t place, offset;
        } sources[most_terms];
        int n = 0;
        cover[0].each(cover[0].phase(i), [&](int64_t output, int64_t offset) {
            cover[1].each(cover[1].phase(k), [&](int64_t other, int64_t more) {
                sources[n++] = {output * planes.out_below[0] + other * planes.out_below[1], offset + more};
            });
        });
        Phase at = cover[2].phase(lo);
        if (planes.p.inner > 1) {
            for (int64_t x = lo; x < hi; x++, at = cover[2].next(at)) {
                Terms terms;
                for (int s = 0; s < n; s++)
                    cover[2].each(at, [&](int64_t output, int64_t offset) {
                        terms.add(sources[s].place + output * planes.p.inner, sources[s].offset + offset, 0, planes.p.inner);
                    });
                sums(terms, 0, planes.p.inner, to + x * planes.p.inner);
            }
            return;
        }
        // Every stride-th element is in the same place of its windows, and those are neighbours.
        Terms terms[4];
        for (int64_t r = 0; r < last.stride; r++, at = cover[2].next(at))
            for (int s = 0; s < n; s++)
                cover[2].template each<true>(at, [&](int64_t output, int64_t offset) {
                    const int64_t place = sources[s].place + output;
                    terms[r].add(place, sources[s].offset + offset, wraps ? -place : -output, wraps ? planes.out - place : last.outputs - output);
                });
        if (last.stride == 1) sums(terms[0], 0, hi - lo, to + lo);
        else if (last.stride == 2) interleaved<2>(terms, hi - lo, to + lo);
        else interleaved<4>(terms, hi - lo, to + lo);
    }

    // Elements lo to hi of a run.
    __attribute__((noinline)) void sums(const Terms &terms, int64_t lo, int64_t hi, Element *to) const {
        constexpr int U = 4;
        const int64_t full = smaller(hi, terms.hi);
        int64_t i = lo;
        while (i < hi) {
            if (i >= terms.lo && i + U * N <= full)
                for (; i + U * N <= full; i += U * N) {
                    V sum[U] = {};
                    for (int s = 0; s < terms.n; s++)
#pragma GCC unroll 4
                        for (int u = 0; u < U; u++) sum[u] = added<true>(sum[u], terms.term[s], i + u * N);
#pragma GCC unroll 4
                    for (int u = 0; u < U; u++) store(to + i + u * N, narrow<T, A, N>(sum[u]));
                }
            else {
                const V sum = vector(terms, i);
                put(to + i, sum, hi - i);
                i += N;
            }
        }
    }

    // The elements of S runs in turn.
    template <int S> __attribute__((noinline)) void interleaved(const Terms *terms, int64_t n, Element *to) const {
        each_vector(n, S * N, [&](int64_t i, int64_t m) {
            V run[S];
#pragma GCC unroll 4
            for (int r = 0; r < S; r++) run[r] = vector(terms[(i + r) % S], (i + r) / S);
            const V low = zip_low(run[0], run[S / 2]), high = zip_high(run[0], run[S / 2]);
            if constexpr (S == 2) put(to + i, low, m), put(to + i + N, high, m - N);
            else {
                const V odd_low = zip_low(run[1], run[3]), odd_high = zip_high(run[1], run[3]);
                put(to + i, zip_low(low, odd_low), m), put(to + i + N, zip_high(low, odd_low), m - N);
                put(to + i + 2 * N, zip_low(high, odd_high), m - 2 * N), put(to + i + 3 * N, zip_high(high, odd_high), m - 3 * N);
            }
        });
    }

    static void put(Element *to, V sum, int64_t m) {
        const auto v = narrow<T, A, N>(sum);
        if (m >= N) store(to, v);
        else if (m > 0) store(to, v, m);
    }

    V vector(const Terms &terms, int64_t at) const {
        V sum{};
        if (at >= terms.lo && at + N <= terms.hi)
            for (int s = 0; s < terms.n; s++) sum = added<true>(sum, terms.term[s], at);
        else
            for (int s = 0; s < terms.n; s++) sum = added<false>(sum, terms.term[s], at);
        return sum;
    }

    template <bool inside> V added(V sum, const Term &term, int64_t at) const {
        const int64_t place = term.place + at;
        const auto g = inside ? load<Vec<Element, N>>(grad + place) : load_inside<Vec<Element, N>>(grad + place, at - term.lo, term.hi - term.lo);
        const auto chosen = inside ? load<Vec<O, N>>(offsets + place) : load_inside<Vec<O, N>>(offsets + place, at - term.lo, term.hi - term.lo);
        const V value = widen<A, T, N>(g);
#if defined(__AVX512BW__)
        if constexpr (N == 16) {
            const __mmask16 match = _mm_cmpeq_epi8_mask((__m128i)chosen, _mm_set1_epi8(char(term.offset)));
            return (V)_mm512_mask_add_ps((__m512)sum, match, (__m512)sum, (__m512)value);
        }
#endif
        using Bits = Vec<UnsignedOf<A>, N>;
        const Bits match = (Bits)(convert<UnsignedOf<A>, O, N>(chosen) == broadcast<Bits>(UnsignedOf<A>(term.offset)));
        return sum + (V)((Bits)value & match);
    }
};

}  // namespace anypool::ANYPOOL_ISA
