// Gradients gathered: for every element, the outputs whose windows it lies in, each taken where its offset names the
// element. Vectors throughout, and every element is written once; but the work grows with how many windows overlap.
#pragma once
#include <vector>

#include "backward/backward.h"

namespace anypool::ANYPOOL_ISA {

// Windows of a sliding axis that hold a position: outputs `output` and as many before it as reach so far, of which it
// is element `element`, element + stride, ….
struct Phase {
    int64_t output, element;
};
class Cover {
    Axis axis;
    int64_t most, rest;

  public:
    Cover() = default;
    explicit Cover(const Axis &axis)
        : axis(axis),
          most((axis.kernel_size - 1) / axis.stride),
          rest((axis.kernel_size - 1) % axis.stride) {}

    Phase phase(int64_t position) const {
        const int64_t output = floor_div(position + axis.pad_before, axis.stride);
        return {output, position + axis.pad_before - output * axis.stride};
    }
    Phase next(Phase at) const { return ++at.element < axis.stride ? at : Phase{at.output + 1, 0}; }

    // f(output, element) for each in ascending order; with `all` for outputs that are not there, too.
    template <bool all = false, class F> void each(Phase at, F f) const {
        for (int64_t back = most - (at.element > rest); back >= 0; back--) {
            const int64_t output = at.output - back;
            if (all || uint64_t(output) < uint64_t(axis.outputs))
                f(output, (at.element + back * axis.stride) * axis.weight);
        }
    }
};

// What a run of elements is the sum of: of outputs `place` + i the gradient for element i, where their offset is
// `offset`, for lo ≤ i < hi.
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
    static constexpr int most_runs = 4, most_phases = 64;

    GradientPlanes<T, O> planes;
    const Axis &last;
    Cover cover[cube];
    int64_t in, out, runs;  // elements and outputs between which there are no gaps, and how many such runs
    int64_t chunk, splits, together;
    bool flat;                     // whether the terms are the same for every element
    const Terms *table = nullptr;  // the terms of each phase; null where they depend on the place

    const Element *grad = nullptr;
    const O *offsets = nullptr;
    Element *row_runs[most_runs];

  public:
    // Whether it is the faster form, by a rough model of both.
    static bool fits(const GradientPlanes<T, O> &planes) {
        double terms = 1;
        for (const Axis &axis : planes.axes) {
            if (axis.kind != Windows::sliding || axis.dilation != 1 || axis.kernel_size < 1) return false;
            const bool clips = planes.p.inner > 1 || &axis != &planes.axes[cube - 1];
            terms *= double(clips ? smaller(ceil_div(axis.kernel_size, axis.stride), axis.outputs)
                                  : ceil_div(axis.kernel_size, axis.stride));
        }
        const int64_t inner = planes.p.inner, stride = planes.axes[cube - 1].stride,
                      length = larger(1, planes.axes[cube - 1].length);
        const bool flat = is_flat(planes);
        if (terms > most_terms || (!flat && (inner > 1 ? inner < N / 2 : stride > 2 && stride != 4))) return false;
        const double start_cost = flat ? 0 : inner > 1 ? 40.0 / double(inner) : 60.0 / double(length);
        return double(planes.in) * (2.6 * terms / N + start_cost) <= 7 * double(planes.out) + 0.5 * double(planes.in);
    }

    // `memory` holds the table as long as this runs.
    __attribute__((cold)) Gather(const GradientPlanes<T, O> &given, std::vector<Terms> &memory)
        : planes(given),
          last(given.axes[cube - 1]) {
        for (int a = 0; a < cube; a++) cover[a] = Cover(planes.axes[a]);
        in = planes.in, out = planes.out, runs = planes.outer;
        const bool regular = is_regular(planes);
        flat = is_flat(planes);
        const bool joined = flat && planes.side_by_side && in == out;
        if (joined) in *= runs, out *= runs, runs = 1;
        if (regular) fill_table(memory);
        const int64_t below = flat ? 1 : planes.in_below[planes.split];
        chunk = in / below;
        if (planes.dense && runs < 64)
            chunk = smaller(chunk, larger(1, (1 << 18) / (below * int64_t(sizeof(Element)))));
        splits = ceil_div(in / below, chunk);
        together = joined ? 1 : planes_together(planes, 1);
    }

    bool run() const {
        const int64_t work = in * runs * int64_t(sizeof(Element));
        return run_units(ceil_div(runs, together) * splits, work < (1 << 16) ? 1 : planes.p.threads, task, this);
    }

  private:
    // Whether the terms of an element depend on its phase alone: none needs to know where rows end. A distance that
    // leads beyond the end of a row of outputs finds a window that has the element's number in the padding, so that its
    // offset never is that number, provided that rows of outputs reach to the end of rows of elements, and that no
    // window is empty (it has an offset all the same).
    static bool is_regular(const GradientPlanes<T, O> &planes) {
        bool regular = phases(planes) <= most_phases;
        double terms = 1;
        for (int a = 0; a < cube; a++) {
            const Axis &axis = planes.axes[a];
            regular =
                regular && axis.pad_before < axis.kernel_size && (axis.outputs - 1) * axis.stride - axis.pad_before < axis.length;
            regular = regular && (a <= planes.split || axis.outputs * axis.stride >= axis.length);
            terms *= double(ceil_div(axis.kernel_size, axis.stride));
        }
        return regular && terms <= most_terms;
    }
    // Whether, besides, the outputs of an element lie as far away from every element: at stride 1, where rows of both
    // are as long.
    static bool is_flat(const GradientPlanes<T, O> &planes) {
        bool flat = is_regular(planes) && phases(planes) == 1;
        for (int a = planes.split + 1; a < cube; a++) flat = flat && planes.axes[a].outputs == planes.axes[a].length;
        return flat;
    }
    static int64_t phases(const GradientPlanes<T, O> &planes) {
        const Axis *axes = planes.axes;
        return smaller(axes[0].stride, most_phases + 1) * smaller(axes[1].stride, most_phases + 1) *
               smaller(axes[2].stride, most_phases + 1);
    }

    __attribute__((cold)) void fill_table(std::vector<Terms> &memory) {
        memory.resize(phases(planes));
        Terms *terms = memory.data();
        for (int64_t i = 0; i < planes.axes[0].stride; i++)
            for (int64_t k = 0; k < planes.axes[1].stride; k++)
                for (int64_t l = 0; l < planes.axes[2].stride; l++, terms++)
                    cover[0].template each<true>({0, i}, [&](int64_t output0, int64_t offset0) {
                        cover[1].template each<true>({0, k}, [&](int64_t output1, int64_t offset1) {
                            cover[2].template each<true>({0, l}, [&](int64_t output2, int64_t offset2) {
                                const int64_t place = output0 * planes.out_below[0] + output1 * planes.out_below[1] +
                                                      output2 * planes.out_below[2];
                                terms->add(place, offset0 + offset1 + offset2, -place, out - place);
                            });
                        });
                    });
        table = memory.data();
    }

    static bool task(const void *context, int64_t unit) {
        Gather mine = *(const Gather *)context;
        return mine.unit(unit);
    }

    void take(Arena &arena) {
        planes.take(arena);
        for (int r = 0; r < most_runs; r++)
            row_runs[r] = r < last.stride && !flat && planes.p.inner == 1
                              ? arena.take<Element>(last.length / last.stride + 2 * N)
                              : nullptr;
    }

    bool unit(int64_t unit) {
        if (!take_scratch([&](Arena &arena) { take(arena); })) return false;
        const int64_t lo = unit % splits * chunk, from = unit / splits * together;
        for (int64_t o = from; o < smaller(from + together, runs); o++) {
            const auto plane = planes.open(o);
            grad = plane.grad, offsets = plane.offsets;
            if (flat) flat_part(lo, smaller(lo + chunk, in), plane.to);
            else if (planes.split == 0) rows(lo, smaller(lo + chunk, planes.axes[0].length), plane.to);
            else row(cover[0].phase(0), cover[1].phase(0), lo, smaller(lo + chunk, last.length), plane.to);
            planes.close(o);
        }
        return true;
    }

    // Elements lo to hi, whatever rows they lie in.
    void flat_part(int64_t lo, int64_t hi, Element *to) const {
        int64_t distance = 0;
        for (int a = 0; a < cube; a++) distance += planes.axes[a].pad_before * planes.out_below[a];
        sums(*table, lo + distance, hi + distance, to + lo);
    }

    void rows(int64_t lo, int64_t hi, Element *to) const {
        Phase down = cover[0].phase(lo);
        for (int64_t i = lo; i < hi; i++, down = cover[0].next(down)) {
            Phase middle = cover[1].phase(0);
            for (int64_t k = 0; k < planes.axes[1].length; k++, middle = cover[1].next(middle))
                row(down, middle, 0, last.length, to + i * planes.in_below[0] + k * planes.in_below[1]);
        }
    }

    // Elements lo to hi of a row.
    void row(Phase down, Phase middle, int64_t lo, int64_t hi, Element *to) const {
        const int64_t base = down.output * planes.out_below[0] + middle.output * planes.out_below[1],
                      inner = planes.p.inner;
        const Terms *known =
            table ? table + (down.element * planes.axes[1].stride + middle.element) * last.stride : nullptr;
        Phase at = cover[2].phase(lo);
        if (inner > 1) {
            for (int64_t x = lo; x < hi; x++, at = cover[2].next(at)) {
                const int64_t from = base + at.output * inner;
                if (known) sums(known[at.element], from, from + inner, to + x * inner);
                else {
                    Terms terms;
                    clip(down, middle, at, terms);
                    sums(terms, from, from + inner, to + x * inner);
                }
            }
            return;
        }
        // Every stride-th element is in the same phase, and their outputs are neighbours.
        const int64_t each = ceil_div(hi - lo, last.stride), whole = ceil_div(each, N) * N;
        for (int64_t r = 0; r < last.stride; r++, at = cover[2].next(at)) {
            const int64_t from = base + at.output;
            Element *run = last.stride == 1 ? to + lo : row_runs[r];
            if (known) sums(known[at.element], from, from + (last.stride == 1 ? each : whole), run);
            else {
                Terms terms;
                clip(down, middle, at, terms);
                sums(terms, from, from + (last.stride == 1 ? each : whole), run);
            }
        }
        if (last.stride == 2) interleave<2>(hi - lo, to + lo);
        if (last.stride == 4) interleave<4>(hi - lo, to + lo);
    }

    // The terms of this phase for those outputs that are there.
    __attribute__((noinline)) void clip(Phase down, Phase middle, Phase at, Terms &terms) const {
        cover[0].each(down, [&](int64_t output0, int64_t offset0) {
            cover[1].each(middle, [&](int64_t output1, int64_t offset1) {
                const int64_t row = output0 * planes.out_below[0] + output1 * planes.out_below[1];
                const int64_t here = row - down.output * planes.out_below[0] - middle.output * planes.out_below[1];
                auto add = [&](int64_t output2, int64_t offset2) {
                    const int64_t back = (output2 - at.output) * planes.out_below[2], base = row - here;
                    terms.add(here + back, offset0 + offset1 + offset2, base - back,
                              base - back + last.outputs * planes.out_below[2]);
                };
                planes.p.inner > 1 ? cover[2].each(at, add) : cover[2].template each<true>(at, add);
            });
        });
    }

    // The sums of the terms for elements lo to hi of a run.
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
                    for (int u = 0; u < U; u++) store(to + (i - lo) + u * N, narrow<T, A, N>(sum[u]));
                }
            else {
                const V sum = vector(terms, i);
                put(to + (i - lo), sum, hi - i);
                i += N;
            }
        }
    }

    // The elements of S runs in turn.
    template <int S> __attribute__((noinline)) void interleave(int64_t n, Element *to) const {
        constexpr int L = lanes<Element>;
        using E = Vec<Element, L>;
        for (int64_t i = 0; i < n; i += S * L) {
            E run[S], even[2], odd[2];
#pragma GCC unroll 4
            for (int r = 0; r < S; r++) run[r] = load<E>(row_runs[r] + i / S);
            auto put = [&](int v, E e) {
                const int64_t at = i + v * L;
                if (at + L <= n) store(to + at, e);
                else if (at < n) store(to + at, e, n - at);
            };
            even[0] = zip_low(run[0], run[S / 2]), even[1] = zip_high(run[0], run[S / 2]);
            if constexpr (S == 2) put(0, even[0]), put(1, even[1]);
            else {
                odd[0] = zip_low(run[1], run[3]), odd[1] = zip_high(run[1], run[3]);
#pragma GCC unroll 2
                for (int v = 0; v < 2; v++)
                    put(2 * v, zip_low(even[v], odd[v])), put(2 * v + 1, zip_high(even[v], odd[v]));
            }
        }
    }

    static void put(Element *to, V sum, int64_t m) {
        const auto v = narrow<T, A, N>(sum);
        if (m >= N) store(to, v);
        else if (m > 0) store(to, v, m);
    }

    V vector(const Terms &terms, int64_t at) const {
        V sum{};
        for (int s = 0; s < terms.n; s++) {
            const Term &term = terms.term[s];
            if (at >= term.lo && at + N <= term.hi) sum = added<true>(sum, term, at);
            else if (at + N > term.lo && at < term.hi) sum = added<false>(sum, term, at);
        }
        return sum;
    }

    template <bool inside> V added(V sum, const Term &term, int64_t at) const {
        const int64_t place = term.place + at;
        const auto g = inside ? load<Vec<Element, N>>(grad + place)
                              : load_inside<Vec<Element, N>>(grad + place, at - term.lo, term.hi - term.lo);
        const auto named = inside ? load<Vec<O, N>>(offsets + place)
                                   : load_inside<Vec<O, N>>(offsets + place, at - term.lo, term.hi - term.lo);
        const V value = widen<A, T, N>(g);
#if defined(__AVX512BW__)
        if constexpr (N == 16) {
            const __mmask16 match = _mm_cmpeq_epi8_mask((__m128i)named, _mm_set1_epi8(char(term.offset)));
            return (V)_mm512_mask_add_ps((__m512)sum, match, (__m512)sum, (__m512)value);
        }
#endif
        using Bits = Vec<UnsignedOf<A>, N>;
        const Bits match = (Bits)(convert<UnsignedOf<A>, O, N>(named) == broadcast<Bits>(UnsignedOf<A>(term.offset)));
        return sum + (V)((Bits)value & match);
    }
};

}  // namespace anypool::ANYPOOL_ISA
