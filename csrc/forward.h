// The forward pass: for every place outside the pooled axes, reduce down axis after axis, the rows in cache, and along the last.
#pragma once
#include "finish.h"
#include "passes.h"
#include "threads.h"

namespace anypool::ANYPOOL_ISA {

// Rows in a piece of scratch memory, which is measured first (at null) and then taken.
struct Arena {
    char *next;
    template <class T> T *take(int64_t n) {
        char *p = next;
        next += (n * int64_t(sizeof(T)) + vector_bytes + 63) / 64 * 64;
        return (T *)p;
    }
    template <class K> void take(Row<K> &row, int64_t n) { row.value = take<K>(n); }
    template <class K> void take(MarkedRow<K> &row, int64_t n) {
        row.value = take<K>(n);
        row.offset = take<UnsignedOf<K>>(n);
    }
};

// Where outer element `index` of an array lies.
inline int64_t outer_offset(const Problem &p, const Array &array, int64_t index) {
    int64_t offset = 0;
    for (int d = p.outer_rank - 1; d > 0; d--) {
        offset += index % p.outer_shape[d] * array.outer[d];
        index /= p.outer_shape[d];
    }
    return p.outer_rank ? offset + index * array.outer[0] : 0;
}

template <class R> class Forward {
    using Element = typename R::Element;
    using Lane = typename R::Lane;
    using Rows = typename R::Rows;
    static constexpr bool marked = !__is_same(Rows, Row<Lane>);

    const Problem &p;
    const R r;
    const int last;
    int64_t below[most_pooled];  // elements per step of an axis: all that lies behind it
    bool dense;                  // below the first axis the input is contiguous
    int64_t outer = 1, splits = 1, chunk, planes = 1;
    int64_t row_outputs;

    // Scratch memory of a thread.
    Element *packed = nullptr;
    Rows level[most_pooled], input, result;
    char *spare = nullptr;
    Lane *divisors = nullptr;

  public:
    explicit Forward(const Problem &p) : p(p), r(p), last(p.rank - 1) {
        int64_t n = p.inner;
        dense = p.inner == 1 || p.x.inner == 1;
        for (int a = last; a >= 0; a--) {
            below[a] = n;
            dense = dense && (a == 0 || p.axes[a].length == 1 || p.x.axis[a] == n);
            n *= p.axes[a].length;
        }
        if (last == 0 && p.inner == 1 && p.axes[0].length > 1) dense = p.x.axis[0] == 1;
        row_outputs = p.axes[last].outputs * p.inner;
        for (int d = 0; d < p.outer_rank; d++) outer *= p.outer_shape[d];
        // Few places and much to do in each: split the first axis, always alike, so that bits do not depend on the threads.
        const int64_t outputs = p.axes[0].outputs, bytes = n * sizeof(Element);
        if (outer < 64 && bytes > (1 << 18)) splits = smaller(outputs, larger(1, bytes >> 18));
        chunk = outputs ? ceil_div(outputs, larger(splits, 1)) : 1;
        splits = ceil_div(outputs, chunk);
        while (planes * bytes < (1 << 17) && planes * 4 < outer) planes *= 2;
    }

    bool run() const {
        if (outer * splits * row_outputs == 0) return true;
        const int64_t units = ceil_div(outer, planes) * splits;
        const int64_t work = outer * below[0] * p.axes[0].length * int64_t(sizeof(Element));
        return run_units(units, work < (1 << 16) ? 1 : p.threads, task, this);
    }

  private:
    static bool task(const void *context, int64_t unit) {
        Forward mine = *(const Forward *)context;
        return mine.unit(unit);
    }

    void plan_scratch(Arena &arena) {
        if (!dense) packed = arena.template take<Element>(p.axes[0].length * below[0]);
        for (int a = 0; a < last; a++) arena.take(level[a], below[a]);
        arena.take(input, below[last] * p.axes[last].length);
        arena.take(result, row_outputs);
        spare = arena.template take<char>(row_outputs * 8);
        if (p.operation == Operation::average) divisors = arena.template take<Lane>(row_outputs);
    }

    bool unit(int64_t unit) {
        Arena measure{nullptr};
        plan_scratch(measure);
        char *memory = scratch(size_t(measure.next - (char *)nullptr));
        if (!memory) return false;
        Arena arena{memory};
        plan_scratch(arena);
        const int64_t split = unit % splits, from = unit / splits * planes;
        for (int64_t o = from; o < smaller(from + planes, outer); o++) plane(o, split * chunk, smaller(split * chunk + chunk, p.axes[0].outputs));
        return true;
    }

    void plane(int64_t o, int64_t lo, int64_t hi) {
        const Element *x = (const Element *)p.x.data + outer_offset(p, p.x, o);
        int64_t stride = p.x.axis[0];
        if (!dense) {
            pack(x, 0, packed);
            x = packed;
            stride = below[0];
        }
        reduce_axis<0, Order::sequential>(x, stride, lo, hi, outer_offset(p, p.out, o), outer_offset(p, p.offsets, o), 1);
    }

    void pack(const Element *x, int a, Element *&to_start) {
        Element *to = to_start;
        pack_axis(x, a, to);
    }
    void pack_axis(const Element *x, int a, Element *&to) {
        for (int64_t i = 0; i < p.axes[a].length; i++, x += p.x.axis[a]) {
            if (a < last) pack_axis(x, a + 1, to);
            else if (p.x.inner == 1 || p.inner == 1) {
                for (int64_t c = 0; c < p.inner; c++) *to++ = x[c];
            } else
                for (int64_t c = 0; c < p.inner; c++) *to++ = x[c * p.x.inner];
        }
    }

    // Axis a of a block whose rows lie `stride` apart, outputs lo to hi of it; `count`: elements that averages count along the axes before.
    template <int a, Order order, class Source>
    void reduce_axis(Source source, int64_t stride, int64_t lo, int64_t hi, int64_t out, int64_t offsets, int64_t count) {
        const Axis &axis = p.axes[a];
        if (a == last) return last_axis<order>(source, stride, lo, hi, out, offsets, count);
        if constexpr (a + 1 < most_pooled)
            for (int64_t i = lo; i < hi; i++) {
                const int64_t both = axis.counts ? count * axis.counts[i] : count;
                down<R, order>(r, source, stride, axis, window(axis, i), below[a], level[a]);
                reduce_axis<a + 1, Order::any>(level[a], below[a + 1], 0, p.axes[a + 1].outputs, out + i * p.out.axis[a],
                                               offsets + i * p.offsets.axis[a], both);
            }
    }

    template <Order order, class Source>
    void last_axis(Source source, int64_t stride, int64_t lo, int64_t hi, int64_t out, int64_t offsets, int64_t count) {
        const Axis &axis = p.axes[last];
        if (p.inner > 1) {
            for (int64_t i = lo; i < hi; i++) down<R, order>(r, source, stride, axis, window(axis, i), p.inner, result + (i - lo) * p.inner);
        } else {
            Rows row;
            if constexpr (__is_same(Source, Rows)) row = source;
            else {
                row = input;
                each_vector(axis.length, R::N, [&](int64_t i, int64_t m) { R::store(input + i, r.load(source + i, m, R::unmarked), m); });
            }
            if constexpr (R::scaled) R::scale(row, axis.scales, axis.length);
            along(r, row, axis, lo, hi, result);
        }
        write(lo, hi, out + lo * p.out.axis[last], offsets + lo * p.offsets.axis[last], count);
    }

    // The reduced row to the output, element by element of the last axis where neither axis nor inner elements are contiguous.
    void write(int64_t lo, int64_t hi, int64_t out, int64_t offsets, int64_t count) {
        if (p.operation == Operation::average) fill_divisors(lo, hi, count);
        if (p.inner == 1) return write_piece(0, hi - lo, p.out.axis[last], p.offsets.axis[last], out, offsets);
        if (p.out.inner == 1 && p.out.axis[last] == p.inner && (!marked || (p.offsets.inner == 1 && p.offsets.axis[last] == p.inner)))
            return write_piece(0, (hi - lo) * p.inner, 1, 1, out, offsets);
        for (int64_t i = 0; i < hi - lo; i++)
            write_piece(i * p.inner, p.inner, p.out.inner, p.offsets.inner, out + i * p.out.axis[last], offsets + i * p.offsets.axis[last]);
    }

    void write_piece(int64_t from, int64_t n, int64_t out_stride, int64_t offset_stride, int64_t out, int64_t offsets) {
        if constexpr (requires { r.keys; }) {
            write_row((Element *)p.out.data + out, out_stride, n, (Element *)spare, [&](Element *to) { finish(r.keys, result.value + from, to, n); });
            if constexpr (marked) {
                if (p.offset_bytes == 1) write_offsets<uint8_t>(from, n, offset_stride, offsets);
                if (p.offset_bytes == 2) write_offsets<uint16_t>(from, n, offset_stride, offsets);
                if (p.offset_bytes == 4) write_offsets<uint32_t>(from, n, offset_stride, offsets);
            }
        } else {
            const Lane *by = p.operation == Operation::average ? divisors + from : nullptr;
            const int64_t bytes = size_of(p.result);
            char *to = p.out.data + out * bytes;
            if (out_stride == 1) return finish_sums(p.result, result.value + from, to, n, by);
            finish_sums(p.result, result.value + from, spare, n, by);
            for (int64_t i = 0; i < n; i++) __builtin_memcpy(to + i * out_stride * bytes, spare + i * bytes, bytes);
        }
    }

    template <class O> void write_offsets(int64_t from, int64_t n, int64_t stride, int64_t offsets) {
        if constexpr (marked && sizeof(O) <= sizeof(Lane))
            write_row((O *)p.offsets.data + offsets, stride, n, (O *)spare, [&](O *to) { copy_offsets(result.offset + from, to, n); });
    }

    void fill_divisors(int64_t lo, int64_t hi, int64_t count) {
        const int64_t *counts = p.axes[last].counts;
        for (int64_t i = lo; i < hi; i++) {
            const Lane by = p.divisor ? Lane(p.divisor) : Lane(counts ? count * counts[i] : count);
            for (int64_t c = 0; c < p.inner; c++) divisors[(i - lo) * p.inner + c] = by;
        }
    }
};

}  // namespace anypool::ANYPOOL_ISA
