// The forward pass: for every place outside the pooled axes, reduce down axis after axis, the rows in cache, and along the last.
#pragma once
#include "along.h"
#include "finish.h"
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

// Lanes as they are, for rows that were read before.
template <class K> struct Lanes {
    using Element = K;
    using Lane = K;
    static constexpr int N = lanes<K>;
    K neutral;
    static Vec<K, N> read(const K *x, int64_t m) { return m == N ? load<Vec<K, N>>(x) : load<Vec<K, N>>(x, m); }
    static Vec<K, N> bits(Vec<K, N> v) { return v; }
    K lowest() const { return neutral; }
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

template <class R, class Reader> class Forward {
    using Element = typename Reader::Element;
    using Lane = typename R::Lane;
    using Rows = typename R::Rows;
    static constexpr int N = R::N;
    static constexpr int64_t slack = 4 * N;

    const Problem &p;
    const Reader reader;
    const R r;
    const int last;
    int64_t below[most_pooled];   // elements per step of an axis: all that lies behind it
    int64_t blocks[most_pooled];  // windows of an axis that are reduced together
    bool dense, direct;           // the input is contiguous below the first axis; results need no finish
    int64_t outer = 1, splits = 1, chunk, planes = 1;
    int64_t tile;                                            // outputs of the last axis at once, so that their rows stay in cache
    enum class Along { inner, regular, covering, any } way;  // how the last axis is reduced
    int64_t left = 0, right = 0;                             // neutral elements before and behind a row
    int64_t row_length;                                      // elements of a row, or of a piece of one

    // Scratch memory of a thread.
    Element *packed = nullptr;
    Rows level[most_pooled], kept, work, halves, result;
    int64_t shift = 0;  // where in the result a row begins
    char *spare = nullptr;
    Lane *divisors = nullptr;
    int64_t divided_lo = -1, divided_hi = -1, divided_count = 0;  // what the divisors are for

  public:
    __attribute__((cold)) Forward(const Problem &p, Reader reader) : p(p), reader(reader), r(reader), last(p.rank - 1) {
        int64_t n = p.inner;
        dense = p.inner == 1 || p.x.inner == 1;
        for (int a = last; a >= 0; a--) {
            below[a] = n;
            dense = dense && ((a == 0 && (last > 0 || p.inner > 1)) || p.axes[a].length == 1 || p.x.axis[a] == n);
            blocks[a] = a < last || p.inner > 1 ? Block::of(p.axes[a], n * int64_t(sizeof(Lane))).windows : 1;
            n *= p.axes[a].length;
        }
        choose_way();
        for (int d = 0; d < p.outer_rank; d++) outer *= p.outer_shape[d];
        // Few places and much to do in each: split the first axis, always alike, so that bits do not depend on the threads.
        const int64_t outputs = p.axes[0].outputs, bytes = n * int64_t(sizeof(Element));
        if (outer < 64 && bytes > (1 << 18)) splits = smaller(outputs, bytes >> 18);
        chunk = ceil_div(larger(outputs, 1), splits);
        if (last == 0) chunk = smaller(chunk, tile);
        else chunk = smaller(outputs, ceil_div(chunk, blocks[0]) * blocks[0]);
        splits = chunk ? ceil_div(outputs, chunk) : 0;
        while (planes * bytes < (1 << 16) && planes * 8 < outer) planes *= 2;
        const bool side_by_side = p.inner == 1 ? p.out.axis[last] == 1 : p.out.inner == 1 && p.out.axis[last] == p.inner;
        direct = !R::marks && side_by_side && way != Along::covering && same_lanes();
    }

    bool run() const {
        if (outer * splits * p.axes[last].outputs * p.inner == 0 || (last == 2 && p.axes[1].outputs == 0)) return true;
        const int64_t units = ceil_div(outer, planes) * splits;
        const int64_t work = outer * below[0] * p.axes[0].length * int64_t(sizeof(Element));
        return run_units(units, work < (1 << 16) ? 1 : p.threads, task, this);
    }

    __attribute__((cold)) void plan_scratch(Arena &arena) {
        if (!dense) packed = arena.template take<Element>(p.axes[0].length * below[0]);
        int64_t most = 1;
        for (int a = 0; a <= last; a++) most = larger(most, blocks[a]);
        if (most > 1) arena.take(kept, most * Block::U * N);
        for (int a = 0; a < last; a++)
            take_row(arena, level[a], blocks[a] * pitch(a), a == last - 1 ? left : 0, slack);
        if (last == 0 && p.inner == 1) take_row(arena, level[0], row_length + right, left, slack);
        const int64_t cells = left + row_length + right + p.axes[last].outputs * (way == Along::covering) + p.axes[last].width + slack;
        if (way == Along::regular || way == Along::covering) arena.take(work, 3 * cells);
        if (way == Along::regular) arena.take(halves, cells);
        arena.take(result, tile * p.inner + (way == Along::covering ? 2 * p.axes[last].stride * N : 0));
        spare = arena.template take<char>(tile * p.inner * 8);
        if (p.operation == Operation::average) divisors = arena.template take<Lane>(tile * p.inner);
        divided_lo = -1;
    }

    // Neutral elements around the rows that the last axis reads.
    void fill_margins() {
        if (way != Along::regular && way != Along::covering) return;
        const int a = last ? last - 1 : 0;
        for (int64_t b = 0; b < (last ? blocks[a] : 1); b++) {
            const Rows row = level[a] + b * pitch(a);
            for (int64_t i = -left; i < 0; i += N) R::store(row + i, r.neutral(), smaller(N, -i));
            for (int64_t i = 0; i < right; i += N) R::store(row + (row_length + i), r.neutral(), smaller(N, right - i));
        }
    }

    void plane(const Element *x, int64_t lo, int64_t hi, int64_t out, int64_t offsets) {
        int64_t stride = p.x.axis[0];
        if (!dense) {
            Element *to = packed;
            pack_axis(x, 0, to);
            x = packed;
            stride = below[0];
        }
        reduce_axis<0, Order::sequential>(RawRow<Reader>{x, reader}, stride, lo, hi, out, offsets, 1);
    }

  private:
    bool same_lanes() const {
        if constexpr (R::idempotent) {
            if constexpr (requires { reader.flip; }) return __is_same(Element, Lane) && reader.flip == 0;
            else return true;
        } else return p.operation == Operation::sum && p.result == p.accumulator;
    }

    // From one row of a level to the next.
    int64_t pitch(int a) const { return a == last - 1 ? left + below[a] + right : below[a]; }

    // Whole windows want neutral elements around the row, unless those would be most of it. Long rows go in tiles.
    __attribute__((cold)) void choose_way() {
        const Axis &axis = p.axes[last];
        constexpr int64_t piece = (1 << 14) / sizeof(Lane);
        row_length = axis.length;
        tile = larger(axis.outputs, 1);
        way = p.inner > 1 ? Along::inner : Along::any;
        if (p.inner > 1) {
            if (below[last] * axis.length > 2 * piece && axis.kind != Windows::table && blocks[last] == 1)
                tile = larger(1, tile * piece / (below[last] * axis.length));
            return;
        }
        if (axis.width < 1 || axis.outputs < 1) return;
        if (axis.kind == Windows::covering && !R::idempotent) {
            left = (axis.width - 1) / axis.stride;
            right = larger(0, floor_div(axis.outputs - 1 + axis.before, axis.stride) + 1 - axis.length);
            if (left + right <= 2 * axis.length + 1024) way = Along::covering;
        }
        if (axis.kind == Windows::sliding) {
            const int64_t reach = (axis.width - 1) * axis.step + 1;
            left = larger(0, axis.before);
            right = larger(0, (axis.outputs - 1) * axis.stride - axis.before + reach - axis.length);
            const bool few = reach >= 8 * N && axis.stride >= reach;
            if (last == 0 && axis.length > 2 * piece && reach <= piece && !few) {
                tile = (piece - reach) / axis.stride + 1;
                row_length = (tile - 1) * axis.stride + reach;
                left = right = 0;
            }
            if (left + right <= 2 * axis.length + 1024 && !few) way = Along::regular;
        }
        if (way == Along::any) left = right = 0;
    }

    static bool task(const void *context, int64_t unit) {
        Forward mine = *(const Forward *)context;
        return mine.unit(unit);
    }

    // A row with so many cells before and behind it.
    static void take_row(Arena &arena, Rows &row, int64_t n, int64_t before, int64_t behind) {
        arena.take(row, before + n + behind);
        row = row + before;
    }

    bool unit(int64_t unit) {
        Arena measure{nullptr};
        plan_scratch(measure);
        char *memory = scratch(size_t(measure.next - (char *)nullptr));
        if (!memory) return false;
        Arena arena{memory};
        plan_scratch(arena);
        fill_margins();
        const int64_t split = unit % splits, from = unit / splits * planes;
        for (int64_t o = from; o < smaller(from + planes, outer); o++)
            plane((const Element *)p.x.data + outer_offset(p, p.x, o), split * chunk, smaller(split * chunk + chunk, p.axes[0].outputs),
                  outer_offset(p, p.out, o), outer_offset(p, p.offsets, o));
        return true;
    }

    __attribute__((cold)) void pack_axis(const Element *x, int a, Element *&to) {
        for (int64_t i = 0; i < p.axes[a].length; i++, x += p.x.axis[a]) {
            if (a < last) pack_axis(x, a + 1, to);
            else
                for (int64_t c = 0; c < p.inner; c++) *to++ = x[p.inner == 1 ? c : c * p.x.inner];
        }
    }

    // Axis a of a block whose rows lie `stride` apart, outputs lo to hi of it; `count`: elements that averages count along the axes before.
    template <int a, Order order, class Source>
    void reduce_axis(Source source, int64_t stride, int64_t lo, int64_t hi, int64_t out, int64_t offsets, int64_t count) {
        if (a == last) return last_axis<order>(source, stride, lo, hi, out, offsets, count);
        if constexpr (a + 1 < most_pooled) {
            const Axis &axis = p.axes[a];
            auto next = [&](Rows row, int64_t i, int64_t tile_lo, int64_t tile_hi) {
                const int64_t both = axis.counts ? count * axis.counts[i] : count;
                reduce_axis<a + 1, Order::any>(row, below[a + 1], tile_lo, tile_hi, out + i * p.out.axis[a], offsets + i * p.offsets.axis[a], both);
            };
            const int64_t across = p.axes[a + 1].outputs;
            if (blocks[a] > 1)
                for (int64_t i = lo; i < hi; i += blocks[a]) {
                    const int64_t count_here = smaller(blocks[a], hi - i);
                    down_block<R>(r, source, stride, axis, i, count_here, below[a], level[a], pitch(a), kept);
                    for (int64_t b = 0; b < count_here; b++) next(level[a] + b * pitch(a), i + b, 0, across);
                }
            else if (a + 1 == last && tile < across)
                for (int64_t i = lo; i < hi; i++)
                    for (int64_t t = 0; t < across; t += tile) {
                        const int64_t end = smaller(t + tile, across);
                        const Window first = window(p.axes[last], t), final = window(p.axes[last], end - 1);
                        const int64_t from = larger(first.begin, 0) * p.inner;
                        const int64_t columns = smaller((final.begin + (final.count - 1) * p.axes[last].step + 1) * p.inner, below[a]) - from;
                        if (columns > 0) down<R, order>(r, source + from, stride, axis, window(axis, i), columns, level[a] + from);
                        next(level[a], i, t, end);
                    }
            else
                for (int64_t i = lo; i < hi; i++) {
                    down<R, order>(r, source, stride, axis, window(axis, i), below[a], level[a]);
                    next(level[a], i, 0, across);
                }
        }
    }

    template <Order order, class Source>
    void last_axis(Source source, int64_t stride, int64_t lo, int64_t hi, int64_t out, int64_t offsets, int64_t count) {
        const Axis &axis = p.axes[last];
        out += lo * p.out.axis[last];
        Rows to = result;
        if constexpr (!R::marks)
            if (direct) to.value = (Lane *)p.out.data + out;
        if (p.inner > 1) {
            if (blocks[last] > 1)
                for (int64_t i = lo; i < hi; i += blocks[last])
                    down_block<R>(r, source, stride, axis, i, smaller(blocks[last], hi - i), p.inner, to + (i - lo) * p.inner, p.inner, kept);
            else down_each<R, order>(r, source, stride, axis, lo, hi, p.inner, to);
        } else if constexpr (__is_same(Source, Rows)) {
            if constexpr (R::scaled) R::scale(source, axis.scales, axis.length);
            along_row(source, 0, lo, hi, to);
        }
        else along_piece(source, lo, hi, to);
        if (!direct) write(lo, hi, out, offsets + lo * p.offsets.axis[last], count);
    }

    // A single axis: what outputs lo to hi read, to scratch memory.
    void along_piece(RawRow<Reader> source, int64_t lo, int64_t hi, Rows to) {
        const Axis &axis = p.axes[0];
        int64_t from = 0, first = 0, stop = axis.length;
        if (row_length < axis.length) {
            from = lo * axis.stride - axis.before;
            const int64_t end = from + (hi - lo - 1) * axis.stride + (axis.width - 1) * axis.step + 1;
            first = smaller(larger(from, 0), axis.length);
            stop = larger(smaller(end, axis.length), first);
            for (int64_t i = from; i < smaller(first, end); i += N) R::store(level[0] + (i - from), r.neutral(), N);
            for (int64_t i = stop; i < end; i += N) R::store(level[0] + (i - from), r.neutral(), N);
        } else if (axis.step == 1) {
            const Window head = window(axis, lo), tail = window(axis, hi - 1);
            if (head.count > 0 && tail.count > 0) first = head.begin, stop = tail.begin + tail.count;
        }
        const Rows row = level[0] + (first - from);
        each_vector(stop - first, N, [&](int64_t i, int64_t m) { R::store(row + i, r.load(source + (first + i), m, R::unmarked), m); });
        if constexpr (R::scaled)
            if (axis.scales) R::scale(row, axis.scales + first, stop - first);
        along_row(level[0], from, lo, hi, to);
    }

    // Outputs lo to hi of the last axis; row[0] is position `from` of it.
    void along_row(Rows row, int64_t from, int64_t lo, int64_t hi, Rows to) {
        const Axis &axis = p.axes[last];
        shift = 0;
        if (way == Along::regular)
            return along_regular(r, row + (lo * axis.stride - axis.before - from), work, halves, {hi - lo, axis.width, axis.step, axis.stride, axis.weight}, to);
        if constexpr (!R::idempotent)
            if (way == Along::covering) {
                const int64_t first = floor_div(lo + axis.before, axis.stride), past = floor_div(hi - 1 + axis.before, axis.stride) + 1;
                along_covering(r, row + first, work, past - first, axis.width, axis.stride, to);
                shift = lo + axis.before - first * axis.stride;
                return;
            }
        along(r, row, axis, lo, hi, to);
    }

    // The reduced row to the output, piece by piece where neither the last axis nor the inner elements are contiguous.
    void write(int64_t lo, int64_t hi, int64_t out, int64_t offsets, int64_t count) {
        if (p.operation == Operation::average) fill_divisors(lo, hi, count);
        if (p.inner == 1) return write_piece(shift, hi - lo, p.out.axis[last], p.offsets.axis[last], out, offsets);
        if (p.out.inner == 1 && p.out.axis[last] == p.inner && (!R::marks || (p.offsets.inner == 1 && p.offsets.axis[last] == p.inner)))
            return write_piece(0, (hi - lo) * p.inner, 1, 1, out, offsets);
        for (int64_t i = 0; i < hi - lo; i++)
            write_piece(i * p.inner, p.inner, p.out.inner, p.offsets.inner, out + i * p.out.axis[last], offsets + i * p.offsets.axis[last]);
    }

    void write_piece(int64_t from, int64_t n, int64_t out_stride, int64_t offset_stride, int64_t out, int64_t offsets) {
        if constexpr (R::idempotent) {
            write_row((Element *)p.out.data + out, out_stride, n, (Element *)spare, [&](Element *to) { finish_keys(reader, result.value + from, to, n); });
            if constexpr (R::marks) {
                if (p.offset_bytes == 1) write_offsets<uint8_t>(from, n, offset_stride, offsets);
                if (p.offset_bytes == 2) write_offsets<uint16_t>(from, n, offset_stride, offsets);
                if (p.offset_bytes == 4) write_offsets<uint32_t>(from, n, offset_stride, offsets);
            }
        } else {
            const Lane *by = p.operation == Operation::average ? divisors + (from - shift) : nullptr;
            const int64_t bytes = size_of(p.result);
            char *to = p.out.data + out * bytes;
            if (out_stride == 1) return finish_sums(p.result, result.value + from, to, n, by);
            finish_sums(p.result, result.value + from, spare, n, by);
            for (int64_t i = 0; i < n; i++) __builtin_memcpy(to + i * out_stride * bytes, spare + i * bytes, bytes);
        }
    }

    template <class O> void write_offsets(int64_t from, int64_t n, int64_t stride, int64_t offsets) {
        if constexpr (R::marks && sizeof(O) <= sizeof(Lane))
            write_row((O *)p.offsets.data + offsets, stride, n, (O *)spare, [&](O *to) { copy_offsets(result.offset + from, to, n); });
    }

    void fill_divisors(int64_t lo, int64_t hi, int64_t count) {
        if (lo == divided_lo && hi == divided_hi && count == divided_count) return;
        divided_lo = lo, divided_hi = hi, divided_count = count;
        const int64_t *counts = p.axes[last].counts;
        for (int64_t i = lo; i < hi; i++) {
            const Lane by = p.divisor ? Lane(p.divisor) : Lane(counts ? count * counts[i] : count);
            for (int64_t c = 0; c < p.inner; c++) divisors[(i - lo) * p.inner + c] = by;
        }
    }
};

}  // namespace anypool::ANYPOOL_ISA
