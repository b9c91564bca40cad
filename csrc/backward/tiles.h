// Gradients of non-overlapping windows inside the array: every element has one window at most, so nothing adds up
// and each is stored where it belongs.
#pragma once
#include <vector>

#include "backward/backward.h"

namespace anypool::ANYPOOL_ISA {

template <class T, class O> class Tiles {
    using Element = Stored<T>;
    using Planes = GradientPlanes<T, O>;

    // Of an axis: where the first window begins, and how far it is from one to the next.
    struct Tiling {
        int64_t begin, distance;
    };

    Planes planes;
    Tiling tiling[cube];
    bool covered = true;  // whether every element lies in a window
    int64_t chunk, splits, together;
    const int32_t *table = nullptr;  // of every offset: how far its element lies from the first of the window

  public:
    static bool fits(const Planes &planes) {
        for (const Axis &axis : planes.axes)
            if (!is_tiled(axis)) return false;
        if (planes.split != 0 && planes.outer < 16) return false;
        if (planes.p.inner > 1) return sizeof(O) == 1 && planes.p.inner >= lanes<Element> / 2;
        return planes.p.window <= larger(1 << 12, planes.outer * planes.out) && planes.in <= INT32_MAX;
    }

    // `memory` holds the table as long as this runs.
    __attribute__((cold)) Tiles(const Planes &given, std::vector<int32_t> &memory) : planes(given) {
        for (int a = 0; a < cube; a++) {
            const Axis &axis = planes.axes[a];
            tiling[a] = tiling_of(axis);
            covered = covered && tiling[a].begin == 0 && axis.outputs * axis.kernel_size == axis.length;
        }
        if (planes.p.inner == 1) fill_table(memory);
        together = planes_together(planes, 1);
        chunk = planes.axes[0].outputs;
        if (planes.dense && planes.outer < 64)
            chunk = smaller(chunk, larger(1, (1 << 18) * chunk / (planes.in * int64_t(sizeof(Element)))));
        splits = ceil_div(planes.axes[0].outputs, chunk);
    }

    bool run() const {
        const int64_t work = planes.in * planes.outer * int64_t(sizeof(Element));
        return run_units(ceil_div(planes.outer, together) * splits, work < (1 << 16) ? 1 : planes.p.threads, task,
                         this);
    }

  private:
    static Tiling tiling_of(const Axis &axis) {
        if (axis.kind == Windows::sliding) return {-axis.pad_before, axis.stride};
        return {axis.table[0].begin, axis.outputs > 1 ? axis.table[1].begin - axis.table[0].begin : axis.length};
    }
    static bool is_tiled(const Axis &axis) {
        if (axis.outputs < 1 || axis.kernel_size < 1 || axis.kernel_size > axis.length || axis.dilation > axis.length) return false;
        const auto [begin, distance] = tiling_of(axis);
        const int64_t reach = (axis.kernel_size - 1) * axis.dilation + 1;
        const bool overlaps_none = axis.outputs == 1 || distance >= reach;
        if (!overlaps_none || begin < 0 || begin + (axis.outputs - 1) * distance + reach > axis.length) return false;
        for (int64_t i = 0; axis.kind == Windows::table && i < axis.outputs; i++)
            if (axis.table[i].begin != begin + i * distance || axis.table[i].count != axis.kernel_size ||
                axis.table[i].first != 0)
                return false;
        return true;
    }

    __attribute__((cold)) void fill_table(std::vector<int32_t> &memory) {
        memory.assign(larger(planes.p.window, sizeof(O) == 1 ? 256 : 0), 0);
        for (int64_t offset = 0; offset < planes.p.window; offset++)
            for (int a = 0; a < cube; a++)
                memory[offset] += int32_t(offset / planes.axes[a].weight % planes.axes[a].kernel_size * planes.axes[a].dilation *
                                          planes.in_below[a]);
        table = memory.data();
    }

    static bool task(const void *context, int64_t unit) {
        Tiles mine = *(const Tiles *)context;
        return mine.unit(unit);
    }

    bool unit(int64_t unit) {
        if (!take_scratch([&](Arena &arena) { planes.take(arena); })) return false;
        const int64_t lo = unit % splits * chunk, from = unit / splits * together;
        for (int64_t o = from; o < smaller(from + together, planes.outer); o++) {
            const auto plane = planes.open(o);
            for (int64_t i = lo; i < smaller(lo + chunk, planes.axes[0].outputs); i++) slab(plane, i);
            planes.close(o);
        }
        return true;
    }

    // The elements from the windows of output i of the first axis on to those of the next.
    void slab(const typename Planes::Plane &plane, int64_t i) const {
        const Axis *axes = planes.axes;
        const int64_t begin = tiling[0].begin + i * tiling[0].distance;
        const int64_t top = i == 0 ? 0 : begin,
                      bottom = i + 1 == axes[0].outputs ? axes[0].length : begin + tiling[0].distance;
        if (planes.p.inner == 1 || !covered)
            __builtin_memset(plane.to + top * planes.in_below[0], 0,
                             (bottom - top) * planes.in_below[0] * sizeof(Element));
        for (int64_t k = 0; k < axes[1].outputs; k++) {
            const int64_t place = i * planes.out_below[0] + k * planes.out_below[1];
            Element *to = plane.to + begin * planes.in_below[0] +
                          (tiling[1].begin + k * tiling[1].distance) * planes.in_below[1] +
                          tiling[2].begin * planes.in_below[2];
            if (planes.p.inner == 1) row(plane.grad + place, plane.offsets + place, to);
            else if constexpr (sizeof(O) == 1)
                for (int64_t l = 0; l < axes[2].outputs; l++)
                    cells(plane.grad + place + l * planes.p.inner, plane.offsets + place + l * planes.p.inner,
                          to + l * tiling[2].distance * planes.in_below[2]);
        }
    }

    void row(const Element *grad, const O *offsets, Element *to) const {
        const int64_t n = planes.axes[2].outputs, distance = tiling[2].distance, last = planes.p.window - 1;
        const int32_t *const displacement = table;
        for (int64_t l = 0; l < n; l++, to += distance) {
            if constexpr (sizeof(O) == 1) to[displacement[offsets[l]]] = sum(grad[l]);
            else to[displacement[smaller(offsets[l], last)]] = sum(grad[l]);
        }
    }

    // All elements of one window, each with its channels.
    void cells(const Element *grad, const O *offsets, Element *to) const {
        const Axis *axes = planes.axes;
        for (int64_t i = 0; i < axes[0].kernel_size; i++)
            for (int64_t k = 0; k < axes[1].kernel_size; k++)
                for (int64_t l = 0; l < axes[2].kernel_size; l++)
                    cell(grad, offsets, i * axes[0].weight + k * axes[1].weight + l * axes[2].weight,
                           to + i * axes[0].dilation * planes.in_below[0] + k * axes[1].dilation * planes.in_below[1] +
                               l * axes[2].dilation * planes.in_below[2]);
    }
    void cell(const Element *grad, const O *offsets, int64_t offset, Element *to) const {
        constexpr int L = lanes<Element>;
        using Bits = Vec<UnsignedOf<Element>, L>;
        const int64_t n = planes.p.inner;
        const Bits wanted = broadcast<Bits>(UnsignedOf<Element>(offset));
        each_vector(n, L, [&](int64_t c, int64_t m) {
            const Bits bits =
                m == L ? load<Bits>(grad + c) : load_inside<Bits>((const UnsignedOf<Element> *)(grad + c), 0, m);
            const auto named = m == L ? load<Vec<O, L>>(offsets + c) : load_inside<Vec<O, L>>(offsets + c, 0, m);
            const Bits match = (Bits)(convert<UnsignedOf<Element>, O, L>(named) == wanted);
            const auto value = sum((Vec<Element, L>)(bits & match));
            if (m == L) store(to + c, value);
            else store(to + c, value, m);
        });
    }

    // 0 + x, which makes 0 of −0, as in the other forms.
    template <class E> static E sum(E x) {
        if constexpr (__is_same(T, float) || __is_same(T, double)) return x + 0;
        else if constexpr (__is_same(E, Element)) return x == 0x8000 ? 0 : x;
        else return x & (E)(x != 0x8000);
    }
};

}  // namespace anypool::ANYPOOL_ISA
