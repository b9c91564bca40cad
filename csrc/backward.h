// The gradient of a max or min: every output's gradient goes to the element that its offset names, and elements that several outputs chose add up.
//
// Two forms. Gathering asks, for every element, each window that it lies in; it is vectors throughout and writes each element once, but its cost grows
// with how many windows overlap. Scattering follows each offset. Either way a thread owns the elements it writes and adds in row-major order of outputs.
#pragma once
#include "forward.h"

namespace anypool::ANYPOOL_ISA {

// Windows of a sliding axis that hold a position: outputs i from `hi` down to `lo`; the position is element j of output hi, j + stride of the one before, ….
struct Covering {
    int64_t lo, hi, element;
};
inline Covering covering(const Axis &axis, int64_t position) {
    const int64_t place = position + axis.before;
    const int64_t lo = larger(ceil_div(place - axis.width + 1, axis.stride), 0);
    const int64_t hi = smaller(floor_div(place, axis.stride), axis.outputs - 1);
    return {lo, hi, place - hi * axis.stride};
}

// How many windows hold a position, at most.
inline int64_t overlap(const Axis &axis) { return smaller(ceil_div(axis.width, axis.stride), axis.outputs); }

// lane i: p[i] for 0 ≤ i + at < n, else 0.
template <class V, class T> inline V load_inside(const T *p, int64_t at, int64_t n) {
    constexpr int N = sizeof(V) / sizeof(T);
    if (at >= 0 && at + N <= n) return load<V>(p);
#if defined(__AVX512BW__)
    const int64_t from = smaller(larger(-at, 0), N), to = larger(smaller(n - at, N), from);
    const uint64_t below = to * sizeof(T) == 64 ? ~0ull : (1ull << (to * sizeof(T))) - 1;
    const uint64_t keep = from * sizeof(T) == 64 ? 0 : below >> (from * sizeof(T)) << (from * sizeof(T));
    if constexpr (sizeof(V) == 64) return (V)_mm512_maskz_loadu_epi8(keep, p);
    if constexpr (sizeof(V) == 32) return (V)_mm256_maskz_loadu_epi8(keep, p);
    if constexpr (sizeof(V) == 16) return (V)_mm_maskz_loadu_epi8(keep, p);
#endif
    T lane[N] = {};
    for (int64_t i = 0; i < N; i++)
        if (i + at >= 0 && i + at < n) lane[i] = p[i];
    return load<V>(lane);
}

// T: elements of the gradients. O: offsets as they are stored. A: arithmetic.
template <class T, class A, class O> class Backward {
    using Element = Stored<T>;
    static constexpr int N = lanes<A>;
    using V = Vec<A, N>;
    using OV = Vec<UnsignedOf<A>, N>;

    const Problem &p;  // x: the gradient of the values; out: of the input
    const int last;
    int64_t outer = 1, chunk, splits;
    int64_t in_below[most_pooled], out_below[most_pooled];  // gradients of the input, of the values, behind one step of an axis
    int64_t in_stride[most_pooled], out_stride[most_pooled];
    bool grad_dense, offsets_dense, gathers;

    // An element of a window: how far it lies from the window's start.
    struct Place {
        int32_t along[most_pooled];
    };
    static constexpr int64_t most_places = 1 << 16;

    // Of the unit at hand.
    const Element *grad;
    const O *offsets;
    Element *packed_grad = nullptr;
    O *packed_offsets = nullptr;
    A *sums = nullptr;
    Covering *covers = nullptr;  // of every position of the last axis, where inner elements lie behind it
    Place *places = nullptr;     // of every offset
    char *spare = nullptr;

  public:
    __attribute__((cold)) explicit Backward(const Problem &p) : p(p), last(p.rank - 1) {
        int64_t in = p.inner, out = p.inner, windows = 1;
        bool sliding = true;
        for (int a = last; a >= 0; a--) {
            in_below[a] = in;
            out_below[a] = out;
            in *= p.axes[a].length;
            out *= p.axes[a].outputs;
            sliding = sliding && p.axes[a].kind == Windows::sliding && p.axes[a].step == 1 && p.axes[a].width > 0;
            if (sliding) windows *= overlap(p.axes[a]);
        }
        for (int d = 0; d < p.outer_rank; d++) outer *= p.outer_shape[d];
        grad_dense = is_dense(p.x);
        offsets_dense = is_dense(p.offsets);
        for (int a = 0; a < p.rank; a++) out_stride[a] = grad_dense && offsets_dense ? p.x.axis[a] : out_below[a];
        gathers = sliding && windows <= 12 && (p.inner == 1 || p.inner >= N / 2);
        const int64_t length = p.axes[0].length;
        chunk = length ? smaller(length, larger(1, (int64_t(1) << 18) / larger(1, in_below[0] * int64_t(sizeof(A))))) : 1;
        splits = ceil_div(length, chunk);
    }

    bool run() const {
        if (outer * splits * in_below[0] == 0) return true;
        const int64_t work = outer * in_below[0] * p.axes[0].length * int64_t(sizeof(Element));
        return run_units(outer * splits, work < (1 << 16) ? 1 : p.threads, task, this);
    }

  private:
    // Side by side below the first axis. Gradient and offsets are walked alike, so both lie as they would if packed, or both are packed.
    bool is_dense(const Array &array) const {
        if (p.inner > 1 && array.inner != 1) return false;
        for (int a = 0; a <= last; a++)
            if (p.axes[a].outputs > 1 && array.axis[a] != out_below[a]) return false;
        return true;
    }

    static bool task(const void *context, int64_t unit) {
        Backward mine = *(const Backward *)context;
        return mine.unit(unit);
    }

    void plan_scratch(Arena &arena) {
        const int64_t all = p.axes[0].outputs * out_below[0], row = in_below[last] * p.axes[last].length;
        if (!grad_dense) packed_grad = arena.take<Element>(all);
        if (!offsets_dense) packed_offsets = arena.take<O>(all);
        if (gathers) {
            sums = arena.take<A>(row + (2 * N + 1) * p.axes[last].stride) + p.axes[last].stride;
            if (p.inner > 1) covers = arena.take<Covering>(p.axes[last].length);
        } else {
            sums = arena.take<A>(chunk * in_below[0]);
            if (p.window <= most_places) places = arena.take<Place>(p.window);
        }
        spare = arena.take<char>(row * 8);
    }

    bool unit(int64_t unit) {
        Arena measure{nullptr};
        plan_scratch(measure);
        char *memory = scratch(size_t(measure.next - (char *)nullptr));
        if (!memory) return false;
        Arena arena{memory};
        plan_scratch(arena);
        const int64_t o = unit / splits, lo = unit % splits * chunk, hi = smaller(lo + chunk, p.axes[0].length);
        grad = (const Element *)p.x.data + outer_offset(p, p.x, o);
        offsets = (const O *)p.offsets.data + outer_offset(p, p.offsets, o);
        if (!grad_dense) grad = pack(p.x, grad, packed_grad);
        if (!offsets_dense) offsets = pack(p.offsets, offsets, packed_offsets);
        for (int a = 0; a < p.rank; a++) out_stride[a] = out_below[a];
        const int64_t out = outer_offset(p, p.out, o);
        if (gathers) {
            for (int64_t i = 0; covers && i < p.axes[last].length; i++) covers[i] = covering(p.axes[last], i);
            gather(lo, hi, out);
        } else {
            for (int64_t offset = 0; places && offset < p.window; offset++)
                for (int a = 0; a < most_pooled; a++)
                    places[offset].along[a] = a <= last ? int32_t(offset / p.axes[a].weight % p.axes[a].width * p.axes[a].step) : 0;
            scatter(lo, hi, out);
        }
        return true;
    }

    template <class E> const E *pack(const Array &array, const E *from, E *to) {
        E *next = to;
        pack_axis(array, from, 0, next);
        return to;
    }
    template <class E> __attribute__((cold)) void pack_axis(const Array &array, const E *from, int a, E *&to) {
        for (int64_t i = 0; i < p.axes[a].outputs; i++, from += array.axis[a]) {
            if (a < last) pack_axis(array, from, a + 1, to);
            else
                for (int64_t c = 0; c < p.inner; c++) *to++ = from[p.inner == 1 ? c : c * array.inner];
        }
    }

    // One row of sums to the gradient of the input.
    void write(const A *row, int64_t out) {
        Element *to = (Element *)p.out.data + out;
        const int64_t n = p.axes[last].length;
        auto fill = [&](const A *from, int64_t count) {
            return [=](Element *at) {
                each_vector(count, N, [&](int64_t i, int64_t m) {
                    const auto v = narrow<T, A, N>(load<V>(from + i));
                    if (m == N) store(at + i, v);
                    else store(at + i, v, m);
                });
            };
        };
        if (p.inner == 1) return write_row(to, p.out.axis[last], n, (Element *)spare, fill(row, n));
        if (p.out.inner == 1 && p.out.axis[last] == p.inner) return write_row(to, 1, n * p.inner, (Element *)spare, fill(row, n * p.inner));
        for (int64_t i = 0; i < n; i++)
            write_row(to + i * p.out.axis[last], p.out.inner, p.inner, (Element *)spare, fill(row + i * p.inner, p.inner));
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Gathering

    // Rows of outputs whose windows hold the row of elements at hand, and what their offsets have from the axes before the last.
    struct Source {
        int64_t row, offset;
    };
    static constexpr int most_sources = 16;

    void gather(int64_t lo, int64_t hi, int64_t out) {
        Source sources[most_sources];
        if (last == 0) {
            sources[0] = {0, 0};
            gather_row(sources, 1, lo, hi, out);
            return;
        }
        for (int64_t i = lo; i < hi; i++) {
            const Covering c = covering(p.axes[0], i);
            if (last == 1) {
                int n = 0;
                for (int64_t o = c.lo; o <= c.hi; o++)
                    sources[n++] = {o * out_below[0], (c.element + (c.hi - o) * p.axes[0].stride) * p.axes[0].weight};
                gather_row(sources, n, 0, p.axes[1].length, out + i * p.out.axis[0]);
            } else
                for (int64_t k = 0; k < p.axes[1].length; k++) {
                    const Covering d = covering(p.axes[1], k);
                    int n = 0;
                    for (int64_t o = c.lo; o <= c.hi; o++)
                        for (int64_t q = d.lo; q <= d.hi; q++)
                            sources[n++] = {o * out_below[0] + q * out_below[1], (c.element + (c.hi - o) * p.axes[0].stride) * p.axes[0].weight +
                                                                                   (d.element + (d.hi - q) * p.axes[1].stride) * p.axes[1].weight};
                    gather_row(sources, n, 0, p.axes[2].length, out + i * p.out.axis[0] + k * p.out.axis[1]);
                }
        }
    }

    // What output gradients `g` give to the element numbered `offset` in their windows.
    static V taken(Vec<Element, N> g, Vec<O, N> chosen, int64_t offset) {
        const V value = widen<A, T, N>(g);
        const OV match = (OV)(convert<UnsignedOf<A>, O, N>(chosen) == broadcast<OV>(UnsignedOf<A>(offset)));
        return (V)((OV)value & match);
    }

    // The sums of the elements at remainder r of outputs q, q + 1, …, in the order of the outputs they come from.
    V phase(const Source *sources, int n, int64_t q, int64_t r) const {
        const int64_t most = (p.axes[last].width - 1) / p.axes[last].stride;
        return q >= most && q + N <= p.axes[last].outputs ? phase<true>(sources, n, q, r) : phase<false>(sources, n, q, r);
    }
    template <bool inside> V phase(const Source *sources, int n, int64_t q, int64_t r) const {
        const Axis &axis = p.axes[last];
        V sum{};
        if (r >= axis.width) return sum;
        for (int s = 0; s < n; s++)
            for (int64_t t = (axis.width - 1 - r) / axis.stride; t >= 0; t--) {
                const int64_t at = q - t, place = sources[s].row + at;
                const auto g = inside ? load<Vec<Element, N>>(grad + place) : load_inside<Vec<Element, N>>(grad + place, at, axis.outputs);
                const auto chosen = inside ? load<Vec<O, N>>(offsets + place) : load_inside<Vec<O, N>>(offsets + place, at, axis.outputs);
                sum += taken(g, chosen, sources[s].offset + (r + t * axis.stride) * axis.weight);
            }
        return sum;
    }

    __attribute__((noinline)) void gather_row(const Source *sources, int n, int64_t lo, int64_t hi, int64_t out) {
        const Axis &axis = p.axes[last];
        if (p.inner > 1) {
            A *row = sums;
            const bool direct = __is_same(T, A) && p.out.inner == 1 && p.out.axis[last] == p.inner;
            if (direct) row = (A *)p.out.data + out;
            for (int64_t i = lo; i < hi; i++) {
                const Covering c = covers[i];
                each_vector(p.inner, N, [&](int64_t at, int64_t m) {
                    V sum{};
                    for (int s = 0; s < n; s++)
                        for (int64_t o = c.lo; o <= c.hi; o++) {
                            const int64_t place = sources[s].row + o * p.inner + at;
                            const auto g = m == N ? load<Vec<Element, N>>(grad + place) : load<Vec<Element, N>>(grad + place, m);
                            const auto chosen = m == N ? load<Vec<O, N>>(offsets + place) : load<Vec<O, N>>(offsets + place, m);
                            sum += taken(g, chosen, sources[s].offset + (c.element + (c.hi - o) * axis.stride) * axis.weight);
                        }
                    if (m == N) store(row + i * p.inner + at, sum);
                    else store(row + i * p.inner + at, sum, m);
                });
            }
            if (direct) return;
        } else {
            // Elements with the same remainder by the stride form a phase; output q − t, or element j of it, are the same for a whole phase.
            const int64_t stride = axis.stride, first = floor_div(lo + axis.before, stride), past = floor_div(hi - 1 + axis.before, stride) + 1;
            for (int64_t q = first; q < past; q += N) {
                A *to = sums + (q * stride - axis.before);
                if (stride == 1) store(to, phase(sources, n, q, 0));
                else if (stride == 2) {
                    const V even = phase(sources, n, q, 0), odd = phase(sources, n, q, 1);
                    store(to, zip_low(even, odd));
                    store(to + N, zip_high(even, odd));
                } else
                    for (int64_t r = 0; r < stride; r++) {
                        const V sum = phase(sources, n, q, r);
                        for (int l = 0; l < N; l++) to[l * stride + r] = sum[l];
                    }
            }
        }
        if (last == 0 && (lo > 0 || hi < axis.length)) return write_part(lo, hi, out);
        write(sums, out);
    }

    void write_part(int64_t lo, int64_t hi, int64_t out) {
        for (int64_t i = lo; i < hi; i++)
            for (int64_t c = 0; c < p.inner; c++) {
                const Vec<A, N> v = broadcast<V>(sums[i * p.inner + c]);
                ((Element *)p.out.data)[out + i * p.out.axis[0] + (p.inner == 1 ? 0 : c * p.out.inner)] = narrow<T, A, N>(v)[0];
            }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Scattering

    __attribute__((noinline)) void scatter(int64_t lo, int64_t hi, int64_t out) {
        const int64_t below = in_below[0];
        __builtin_memset(sums, 0, (hi - lo) * below * sizeof(A));
        Window w[most_pooled] = {{0, 1, 0}, {0, 1, 0}, {0, 1, 0}};
        for (int64_t i = 0; i < p.axes[0].outputs; i++) {
            w[0] = window(p.axes[0], i);
            if (w[0].count == 0 || w[0].begin >= hi || w[0].begin + (w[0].count - 1) * p.axes[0].step < lo) continue;
            if (last == 0) scatter_window(w, i * out_below[0], lo, hi);
            if (last == 1) scatter_row(w, i * out_below[0], lo, hi);
            if (last == 2)
                for (int64_t k = 0; k < p.axes[1].outputs; k++) {
                    w[1] = window(p.axes[1], k);
                    scatter_row(w, i * out_below[0] + k * out_below[1], lo, hi);
                }
        }
        for (int64_t i = lo; i < hi; i++) {
            const A *rows = sums + (i - lo) * below;
            if (last == 0) write_columns(rows, out + i * p.out.axis[0]);
            if (last == 1) write(rows, out + i * p.out.axis[0]);
            if (last == 2)
                for (int64_t k = 0; k < p.axes[1].length; k++) write(rows + k * in_below[1], out + i * p.out.axis[0] + k * p.out.axis[1]);
        }
    }

    void scatter_row(Window *w, int64_t place, int64_t lo, int64_t hi) {
        if (places && p.inner == 1 && last == 1 && p.axes[1].kind == Windows::sliding) return scatter_plane_row(w[0], place, lo, hi);
        for (int64_t k = 0; k < p.axes[last].outputs; k++) {
            w[last] = window(p.axes[last], k);
            scatter_window(w, place + k * p.inner, lo, hi);
        }
    }

    // The inner elements at one place of a single pooled axis.
    void write_columns(const A *row, int64_t out) {
        for (int64_t c = 0; c < p.inner; c++)
            ((Element *)p.out.data)[out + (p.inner == 1 ? 0 : c * p.out.inner)] = narrow<T, A, N>(broadcast<V>(row[c]))[0];
    }

    // What most calls are: two axes, sliding along the last.
    void scatter_plane_row(Window w, int64_t place, int64_t lo, int64_t hi) {
        const Axis &axis = p.axes[1];
        const int64_t top = w.begin - w.first * p.axes[0].step - lo;
        for (int64_t k = 0; k < axis.outputs; k++) {
            const int64_t offset = offsets[place + k];
            if (offset >= p.window) continue;
            const int64_t i = top + places[offset].along[0], l = k * axis.stride - axis.before + places[offset].along[1];
            if (uint64_t(i) < uint64_t(hi - lo) && uint64_t(l) < uint64_t(axis.length)) sums[i * axis.length + l] += one(place + k);
        }
    }

    // The outputs of one window, one per inner element. An offset that names no element of the array is passed over.
    void scatter_window(const Window *w, int64_t place, int64_t lo, int64_t hi) {
        if (!places) {
            for (int64_t c = 0; c < p.inner; c++) {
                const int64_t at = position(w, offsets[place + c], lo, hi);
                if (at >= 0) sums[at + c] += one(place + c);
            }
            return;
        }
        int64_t start[most_pooled] = {0, 0, 0}, length[most_pooled] = {1, 1, 1}, below[most_pooled] = {0, 0, 0};
        for (int a = 0; a <= last; a++) {
            start[a] = w[a].begin - w[a].first * p.axes[a].step;
            length[a] = p.axes[a].length;
            below[a] = in_below[a];
        }
        start[0] -= lo;
        length[0] = hi - lo;
        for (int64_t c = 0; c < p.inner; c++) {
            const int64_t offset = offsets[place + c];
            if (offset >= p.window) continue;
            const Place &element = places[offset];
            const int64_t i = start[0] + element.along[0], k = start[1] + element.along[1], l = start[2] + element.along[2];
            if (uint64_t(i) < uint64_t(length[0]) && uint64_t(k) < uint64_t(length[1]) && uint64_t(l) < uint64_t(length[2]))
                sums[i * below[0] + k * below[1] + l * below[2] + c] += one(place + c);
        }
    }

    A one(int64_t place) const {
        if constexpr (__is_same(T, A)) return grad[place];
        else return widen<A, T, N>(broadcast<Vec<Element, N>>(grad[place]))[0];
    }

    int64_t position(const Window *w, int64_t offset, int64_t lo, int64_t hi) const {
        int64_t at = 0;
        for (int a = 0; a < p.rank; a++) {
            const int64_t j = offset / p.axes[a].weight % p.axes[a].width - w[a].first;
            if (j < 0 || j >= w[a].count) return -1;
            const int64_t i = w[a].begin + j * p.axes[a].step;
            if (a == 0 && (i < lo || i >= hi)) return -1;
            at += (a == 0 ? i - lo : i) * in_below[a];
        }
        return at;
    }
};

}  // namespace anypool::ANYPOOL_ISA
