// Gradients scattered: each output's gradient is added to the element that its offset names. The sums stand in a band
// of rows that moves down the plane with the windows; it has margins for all that windows reach, so that no offset,
// right or wrong, leads out of it.
#pragma once
#include <vector>

#include "backward/backward.h"

namespace anypool::ANYPOOL_ISA {

template <class T, class A, class O> class Scatter {
    using Element = Stored<T>;
    using Planes = GradientPlanes<T, O>;
    static constexpr int N = lanes<A>;
    using V = Vec<A, N>;
    // A sum to an element waits for the one before, and neighbouring windows often choose alike: so several planes are
    // scattered at once.
    static constexpr int several = 4;

    Planes planes;
    int64_t reach[cube];              // from the first element of a window to behind its last
    int64_t left[cube], right[cube];  // how far windows reach out of the array
    bool bounded = true;              // whether the band has margins; otherwise each element is looked for in the array
    int64_t chunk, splits, together, block,
        blocks;  // of the axis that is split, of planes, of inner elements: what is one piece of work
    int64_t strip, band_rows, pitch[cube];  // outputs of the first axis that are scattered to a band, and its layout
    const int32_t *table =
        nullptr;  // of every offset: how far its element lies from the first of the window, in the band

    // Of the piece of work at hand.
    typename Planes::Plane plane[several];
    A *band[several], *widened[several];
    int64_t begin[cube], end[cube];  // which elements
    int64_t first[cube], past[cube];  // outputs whose windows may hold them
    int64_t inner = 0, inner_count = 1;

  public:
    // `memory` holds the table as long as this runs.
    __attribute__((cold)) Scatter(const Planes &given, std::vector<int32_t> &memory) : planes(given) {
        for (int a = 0; a < cube; a++) measure(a);
        choose_pieces();
        lay_out();
        if (bounded) fill_table(memory);
    }

    bool run() const {
        const int64_t work = planes.outer * planes.in * int64_t(sizeof(Element));
        return run_units(ceil_div(planes.outer, together) * splits * blocks, work < (1 << 16) ? 1 : planes.p.threads,
                         task, this);
    }

  private:
    // -----------------------------------------------------------------------------------------------------------------
    // Geometry

    // Where an output's window begins, unclipped.
    static int64_t start(const Axis &axis, int64_t i) {
        if (axis.kind != Windows::table) return i * axis.stride - axis.pad_before;
        return axis.table[i].count ? axis.table[i].begin - axis.table[i].first * axis.dilation : 0;
    }

    __attribute__((cold)) void measure(int a) {
        const Axis &axis = planes.axes[a];
        constexpr int64_t far = int64_t(1) << 40;
        reach[a] = (larger(axis.kernel_size, 1) - 1) * axis.dilation + 1;
        left[a] = right[a] = 0;
        bounded = bounded && axis.kernel_size > 0 && reach[a] < far && axis.pad_before < far && axis.pad_before > -far &&
                  axis.outputs < far / larger(axis.stride, 1);
        if (!bounded) return;
        for (int64_t i = 0; i < axis.outputs; i += axis.kind == Windows::table ? 1 : larger(1, axis.outputs - 1)) {
            left[a] = larger(left[a], -start(axis, i));
            right[a] = larger(right[a], start(axis, i) + reach[a] - axis.length);
        }
    }

    __attribute__((cold)) void choose_pieces() {
        const Axis &axis = planes.axes[planes.split];
        const int64_t cell = planes.p.inner * int64_t(sizeof(A)), plane = planes.in * int64_t(sizeof(A));
        bounded = bounded && planes.p.window <= larger(1 << 12, planes.outer * planes.out);
        block = planes.p.inner;
        // Channels apart, where a band of all of them would leave the cache.
        while (planes.dense && bounded && block > 4 * N && plane / planes.p.inner * block > (1 << 18))
            block = ceil_div(ceil_div(block, 2), N) * N;
        blocks = ceil_div(planes.p.inner, block);
        together = planes_together(planes, planes.p.inner == 1 ? several : 1);
        chunk = axis.length;
        if (planes.dense && axis.kind == Windows::sliding && ceil_div(planes.outer, together) * blocks < 32)
            chunk = smaller(
                chunk, larger(larger(1, (1 << 18) / larger(1, planes.in_below[planes.split] / planes.p.inner * cell)),
                              bounded ? 4 * reach[planes.split] : 1));
        if (planes.split == 2 && chunk < axis.length && bounded) left[2] = right[2] = reach[2] - 1;
        splits = ceil_div(axis.length, larger(chunk, 1));
    }

    __attribute__((cold)) void lay_out() {
        if (!bounded)
            for (int a = 0; a < cube; a++) left[a] = right[a] = 0;
        const int64_t rows = planes.split == 0 ? chunk : planes.axes[0].length;
        const double columns =
            double((planes.split == 2 ? chunk : planes.axes[2].length) + left[2] + right[2]) * double(block);
        const double slab = columns * double(planes.axes[1].length + left[1] + right[1]);
        strip = planes.axes[0].outputs;
        band_rows = left[0] + rows + right[0];
        if (bounded && planes.axes[0].kind == Windows::sliding) {
            const int64_t wanted = int64_t((1 << 17) / (slab * sizeof(A) + 1));
            strip = smaller(
                strip, larger(ceil_div(reach[0], planes.axes[0].stride), (wanted - reach[0]) / planes.axes[0].stride));
            band_rows = (larger(strip, 1) - 1) * planes.axes[0].stride + larger(reach[0], planes.axes[0].stride);
        }
        if (bounded && (slab * double(band_rows) > 4 * double(planes.in) + (1 << 18) ||
                        slab * double(band_rows) > double(INT32_MAX))) {
            bounded = false;
            choose_pieces();
            return lay_out();
        }
        pitch[2] = block;
        pitch[1] = int64_t(columns);
        pitch[0] = int64_t(slab);
    }

    __attribute__((cold)) void fill_table(std::vector<int32_t> &memory) {
        memory.assign(larger(planes.p.window, sizeof(O) == 1 ? 256 : 0), 0);
        for (int64_t offset = 0; offset < planes.p.window; offset++)
            for (int a = 0; a < cube; a++)
                memory[offset] +=
                    int32_t(offset / planes.axes[a].weight % planes.axes[a].kernel_size * planes.axes[a].dilation * pitch[a]);
        table = memory.data();
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Pieces of work

    static bool task(const void *context, int64_t unit) {
        Scatter mine = *(const Scatter *)context;
        return mine.unit(unit);
    }

    bool abreast() const { return bounded && planes.p.inner == 1 && planes.dense && planes.outer >= several; }

    void take(Arena &arena) {
        planes.take(arena);
        for (int s = 0; s < (abreast() ? several : 1); s++) {
            band[s] = arena.take<A>(band_rows * pitch[0]);
            if constexpr (!__is_same(T, A)) widened[s] = arena.take<A>(larger(planes.axes[2].outputs, block));
        }
    }

    bool unit(int64_t unit) {
        if (!take_scratch([&](Arena &arena) { take(arena); })) return false;
        inner = unit % blocks * block;
        inner_count = smaller(block, planes.p.inner - inner);
        unit /= blocks;
        for (int a = 0; a < cube; a++) {
            const Axis &axis = planes.axes[a];
            begin[a] = a == planes.split ? unit % splits * chunk : 0;
            end[a] = a == planes.split ? smaller(begin[a] + chunk, axis.length) : axis.length;
            first[a] = 0, past[a] = axis.outputs;
            if (axis.kind == Windows::sliding && end[a] - begin[a] < axis.length) {
                first[a] = larger(0, ceil_div(begin[a] + axis.pad_before - reach[a] + 1, axis.stride));
                past[a] = smaller(past[a], floor_div(end[a] - 1 + axis.pad_before, axis.stride) + 1);
            }
        }
        const int64_t from = unit / splits * together, to = smaller(from + together, planes.outer);
        int64_t o = from;
        for (; abreast() && o + several <= to; o += several) scatter<several>(o);
        for (; o < to; o++) scatter<1>(o);
        return true;
    }

    // Planes o to o + P.
    template <int P> void scatter(int64_t o) {
        for (int s = 0; s < P; s++) plane[s] = planes.open(o + s);
        const Axis &down = planes.axes[0], &middle = planes.axes[1];
        clear<P>(0, band_rows);
        int64_t written = begin[0];
        for (int64_t i = first[0]; i < past[0]; i += strip) {
            const int64_t count = smaller(strip, past[0] - i);
            const int64_t top = !bounded ? begin[0]
                                : down.kind == Windows::table
                                    ? -left[0]
                                    : start(down, i);  // the row of elements that the band begins with
            for (int64_t b = i; b < i + count; b++)
                for (int64_t k = 0; k < middle.outputs; k++) {
                    const int64_t place = b * planes.out_below[0] + k * planes.out_below[1];
                    if (!bounded) look_row(b, k, place);
                    else if (planes.p.inner == 1)
                        row<P>(place, (start(down, b) - top) * pitch[0] + (start(middle, k) + left[1]) * pitch[1]);
                    else inner_row(place, (start(down, b) - top) * pitch[0] + (start(middle, k) + left[1]) * pitch[1]);
                }
            const bool is_last = i + count >= past[0];
            const int64_t done = is_last ? end[0] : smaller(end[0], top + count * down.stride);
            write<P>(written, done, top);
            written = larger(written, done);
            if (!is_last) slide<P>(count * down.stride);
        }
        if (first[0] >= past[0]) write<P>(begin[0], end[0], begin[0]);
        planes.close(o);
    }

    template <int P> void clear(int64_t from, int64_t to) {
        for (int s = 0; s < P; s++) __builtin_memset(band[s] + from * pitch[0], 0, (to - from) * pitch[0] * sizeof(A));
    }
    template <int P> void slide(int64_t rows) {
        for (int s = 0; s < P; s++)
            __builtin_memmove(band[s], band[s] + rows * pitch[0], (band_rows - rows) * pitch[0] * sizeof(A));
        clear<P>(band_rows - rows, band_rows);
    }

    // Where in a row of the band the windows of output k of the last axis begin.
    int64_t column(int64_t k) const { return start(planes.axes[2], k) + left[2] - begin[2]; }

    int64_t displacement(O offset) const {
        if constexpr (sizeof(O) == 1) return table[offset];
        else return table[smaller(offset, planes.p.window - 1)];
    }

    // A row of outputs, the first of them at `place`, to the rows of the band behind `cell`.
    template <int P> __attribute__((noinline)) void row(int64_t place, int64_t cell) {
        const A *grad[P];
        const O *offsets[P];
        A *to[P];
        for (int s = 0; s < P; s++)
            grad[s] = as_arithmetic(plane[s].grad + place, planes.axes[2].outputs, widened[s]),
            offsets[s] = plane[s].offsets + place, to[s] = band[s] + cell;
        const bool in_table = planes.axes[2].kind == Windows::table;
        int64_t at = column(first[2]);
        for (int64_t k = first[2]; k < past[2]; k++, at += planes.axes[2].stride) {
            if (in_table) at = column(k);
#pragma GCC unroll 4
            for (int s = 0; s < P; s++) to[s][at + displacement(offsets[s][k])] += grad[s][k];
        }
    }
    __attribute__((noinline)) void inner_row(int64_t place, int64_t cell) {
        for (int64_t k = first[2]; k < past[2]; k++) {
            const int64_t from = place + k * planes.p.inner + inner;
            const A *grad = as_arithmetic(plane[0].grad + from, inner_count, widened[0]);
            const O *offsets = plane[0].offsets + from;
            A *to = band[0] + cell + column(k) * block;
            for (int64_t c = 0; c < inner_count; c++) to[displacement(offsets[c]) + c] += grad[c];
        }
    }

    static const A *as_arithmetic(const Element *from, int64_t n, A *to) {
        if constexpr (__is_same(T, A)) return from;
        each_vector(n, N, [&](int64_t i, int64_t m) {
            if (m == N) store(to + i, widen<A, T, N>(load<Vec<Element, N>>(from + i)));
            else store(to + i, widen<A, T, N>(load<Vec<Element, N>>(from + i, m)), m);
        });
        return to;
    }

    // A row of outputs where windows reach too far out of the array for a band with margins: each element is looked for
    // in the array.
    __attribute__((cold, noinline)) void look_row(int64_t i, int64_t k, int64_t place) {
        for (int64_t l = first[2]; l < past[2]; l++) {
            const int64_t output[cube] = {i, k, l}, from = place + l * planes.p.inner;
            const A *grad = as_arithmetic(plane[0].grad + from, planes.p.inner, widened[0]);
            for (int64_t c = 0; c < planes.p.inner; c++) {
                const int64_t at = cell_of(output, plane[0].offsets[from + c]);
                if (at >= 0) band[0][at + c] += grad[c];
            }
        }
    }
    int64_t cell_of(const int64_t *output, int64_t offset) const {
        int64_t at = 0;
        for (int a = 0; a < cube; a++) {
            const Axis &axis = planes.axes[a];
            const Window w = window(axis, output[a]);
            const int64_t j = offset / axis.weight % larger(axis.kernel_size, 1) - w.first;
            const int64_t x = w.begin + j * axis.dilation;
            if (j < 0 || j >= w.count || x < begin[a] || x >= end[a]) return -1;
            at += (x - begin[a]) * pitch[a];
        }
        return at;
    }

    // Rows a to b of the planes, where the band begins with row `top`; what is not in the band is 0.
    template <int P> void write(int64_t a, int64_t b, int64_t top) {
        const int64_t columns = end[2] - begin[2];
        for (int s = 0; s < P; s++)
            for (int64_t i = a; i < b; i++) {
                const bool in_band = i >= top && i - top < band_rows;
                for (int64_t k = 0; k < planes.axes[1].length; k++) {
                    Element *to = plane[s].to + i * planes.in_below[0] + k * planes.in_below[1] +
                                  begin[2] * planes.p.inner + inner;
                    const A *from = in_band
                                        ? band[s] + (i - top) * pitch[0] + (k + left[1]) * pitch[1] + left[2] * pitch[2]
                                        : nullptr;
                    if (block == planes.p.inner) write_run(from, columns * block, to);
                    else
                        for (int64_t l = 0; l < columns; l++)
                            write_run(from ? from + l * block : nullptr, inner_count, to + l * planes.p.inner);
                }
            }
    }
    static void write_run(const A *from, int64_t n, Element *to) {
        if (!from) return (void)__builtin_memset(to, 0, n * sizeof(Element));
        each_vector(n, N, [&](int64_t i, int64_t m) {
            if (m == N) store(to + i, narrow<T, A, N>(load<V>(from + i)));
            else store(to + i, narrow<T, A, N>(load<V>(from + i)), m);
        });
    }
};

}  // namespace anypool::ANYPOOL_ISA
