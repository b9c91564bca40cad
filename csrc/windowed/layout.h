// A tile of outputs, and the elements that it reads, packed so that element j of neighbouring windows is a run of lanes.
//
// Along the last pooled axis a row of stride s falls apart into planes, one for each remainder of positions by s: element
// j of outputs o, o + 1, … lies side by side in one of them. The elements behind the last axis stay side by side, so that
// a lane is a pair of output and inner element. Where windows are in a table, each of their elements has a plane.
#pragma once
#include "forward/planes.h"
#include "reduce/scratch.h"
#include "simd/gaps.h"

// Of lambdas over vectors: GCC calls those that it does not inline with all that they capture in memory.
#define ANYPOOL_INLINED __attribute__((always_inline))

namespace anypool::ANYPOOL_ISA {

// How elements of an array become lanes, a line at a time; says whether it met any that are special, as NaN.
template <class L> struct Encoding {
    bool (*run)(const Problem &, const char *from, int64_t n, L *to) = nullptr;  // null: they are lanes already
    const Problem *problem = nullptr;
    int64_t bytes = sizeof(L);   // of an element
    UnsignedOf<L> flip = 0;      // bits to be changed of elements that are lanes but for these
};

// Every problem as one of three pooled axes, its lanes filled by planes where rows are too short.
__attribute__((cold)) inline Problem with_three_axes(const Problem &given, int64_t vector) {
    Problem p = given;
    const int missing = most_pooled - p.rank;
    for (int a = most_pooled - 1; a >= 0; a--) {
        const bool is_own = a >= missing;
        p.axes[a] = is_own ? p.axes[a - missing] : Axis{};
        for (Array *array : {&p.x, &p.out, &p.offsets}) array->axis[a] = is_own ? array->axis[a - missing] : 0;
    }
    p.rank = most_pooled;
    int most = -1;
    for (int d = 0; d < p.outer_rank; d++)
        if (most < 0 || p.outer_shape[d] > p.outer_shape[most]) most = d;
    if (p.inner > 1 || most < 0 || 2 * p.axes[2].outputs > vector || p.outer_shape[most] == 1) return p;
    p.inner = p.outer_shape[most];
    for (Array *array : {&p.x, &p.out, &p.offsets}) array->inner = array->outer[most];
    p.outer_rank--;
    for (int d = most; d < p.outer_rank; d++) {
        p.outer_shape[d] = p.outer_shape[d + 1];
        for (Array *array : {&p.x, &p.out, &p.offsets}) array->outer[d] = array->outer[d + 1];
    }
    return p;
}

// Outputs lo to hi of each axis, and inner elements.
struct Tile {
    int64_t outer;
    Range outputs[most_pooled], inner;
};

// The windows of neighbouring outputs, a lane each.
template <class L> struct Windowed {
    static constexpr int N = lanes<L>;
    using V = Vec<L, N>;
    using Int = SignedOf<L>;
    using Mask = Vec<Int, N>;

    const L *const *rows;    // those that the windows have: of each, where element 0 of the first output lies
    int64_t row_count;
    const int64_t *offsets;  // of the elements of a row
    int64_t along;           // how many those are
    const Int *first, *past;  // those that a lane has, where the edge cuts some off
    int64_t beside;           // from where an element lies to what else is packed of it

    int64_t size() const { return row_count * along; }

    // f(where the lanes of an element lie, number) for every element of the windows from lane `at` on.
    template <class F> __attribute__((always_inline)) void each_place(int64_t at, F f) const {
        for (int64_t r = 0, e = 0; r < row_count; r++)
            for (int64_t j = 0; j < along; j++, e++) f(rows[r] + offsets[j] + at, e);
    }
    // The same where all lanes have the element, g(where, which of them have it, number) where some are missing.
    template <class F, class G> __attribute__((always_inline)) void each_valid_place(int64_t at, F f, G g) const {
        const Mask from = load<Mask>(first + at), to = load<Mask>(past + at);
        for (int64_t j = 0; j < along; j++) {
            const Mask valid = (from <= Int(j)) & (to > Int(j));
            const int64_t there = offsets[j] + at;
            if (holds_everywhere(valid))
                for (int64_t r = 0; r < row_count; r++) f(rows[r] + there, r * along + j);
            else
                for (int64_t r = 0; r < row_count; r++) g(rows[r] + there, valid, r * along + j);
        }
    }
    // The same of the lanes themselves.
    template <class F> __attribute__((always_inline)) void each(int64_t at, F f) const {
        each_place(at, [&](const L *place, int64_t e) ANYPOOL_INLINED { f(load<V>(place), e); });
    }
    template <class F, class G> __attribute__((always_inline)) void each_valid(int64_t at, F f, G g) const {
        each_valid_place(at, [&](const L *place, int64_t e) ANYPOOL_INLINED { f(load<V>(place), e); },
                         [&](const L *place, Mask valid, int64_t e) ANYPOOL_INLINED { g(load<V>(place), valid, e); });
    }
    // f(lanes that have so many elements, how many) for every number there may be.
    template <class F> __attribute__((always_inline)) void each_count(int64_t at, F f) const {
        const Mask taken = load<Mask>(past + at) - load<Mask>(first + at);
        for (int64_t j = 1; j <= along; j++) f(taken == Int(j), row_count * j);
    }
};

// What is packed: the elements of an array as lanes, and a lane where there is none.
template <class L> struct Packing {
    const Array *from = nullptr;
    Encoding<L> encoding;
    L missing;
};

template <class L> class Layout {
    static constexpr int N = lanes<L>;
    using Int = SignedOf<L>;
    static constexpr int64_t slack = 2 * N;

    const Problem &p;
    const Packing<L> own, second;  // the second has no array where there is one thing to pack
    Packing<L> now;                // which of them is being packed
    int64_t size[most_pooled], inner_size;              // of a tile
    int64_t number[most_pooled], inner_number;          // of tiles
    int64_t positions[2], places, planes, pitch, raw_n;  // most rows of a tile, positions in a plane, planes, lanes of one
    int64_t plane_count = 0;
    bool all_whole = true;  // a table's windows all have as many elements

    // Scratch memory of a thread.
    L *packed = nullptr;
    char *raw = nullptr;
    const L **rows = nullptr;
    int64_t *offsets = nullptr, *remainders = nullptr;
    Int *first = nullptr, *past = nullptr;

    // What is packed.
    Tile tile;
    Range at[2];
    int64_t lane_count, clean_lo, clean_hi;

  public:
    bool special = false;  // whether the encoding met any such element

    __attribute__((cold)) Layout(const Problem &p, Packing<L> own, Packing<L> second)
        : p(p), own(own), second(second), now(own) {
        for (int a = 0; a < most_pooled; a++) size[a] = larger(p.axes[a].outputs, 1);
        inner_size = larger(p.inner, 1);
        const Axis &last = p.axes[2];
        if (last.kind == Windows::table)
            for (int64_t i = 0; i < last.outputs; i++) all_whole &= last.table[i].count == last.kernel_size;
        measure();
        // A single window is read element by element, many rows away from each other where planes are lanes.
        const bool is_single = size[0] * size[1] * size[2] == 1;
        const int64_t outer = this->outer(), room = (is_single ? 24 : 192) << 10;
        while (bytes() > room || (bytes() > (16 << 10) && tiles() * outer < 32)) {
            const bool fits = bytes() <= room;
            if (size[0] > 1) halve(size[0]);
            else if (size[1] > 1) halve(size[1]);
            else if (size[2] > 1 && size[2] * inner_size > 4 * N) halve(size[2]);
            else if (inner_size > N && !fits) inner_size = ceil_div(ceil_div(inner_size, 2), N) * N;
            else break;
            measure();
        }
        measure();
    }

    int64_t outer() const {
        int64_t n = 1;
        for (int d = 0; d < p.outer_rank; d++) n *= p.outer_shape[d];
        return n;
    }
    int64_t tiles() const { return number[0] * number[1] * number[2] * inner_number; }
    int64_t most_lanes() const { return size[2] * inner_size; }
    int64_t most_rows() const { return p.axes[0].kernel_size * p.axes[1].kernel_size; }

    Tile tile_of(int64_t unit) const {
        Tile t;
        auto next = [&](int64_t count, int64_t size, int64_t all) {
            const int64_t i = unit % count;
            unit /= count;
            return Range{i * size, smaller(i * size + size, all)};
        };
        t.inner = next(inner_number, inner_size, p.inner);
        for (int a = most_pooled - 1; a >= 0; a--) t.outputs[a] = next(number[a], size[a], p.axes[a].outputs);
        t.outer = unit;
        return t;
    }

    void plan(Arena &arena) {
        packed = arena.template take<L>((second.from ? 2 : 1) * apart() + slack);
        raw = arena.template take<char>(raw_n * larger(own.encoding.bytes, second.encoding.bytes));
        rows = arena.template take<const L *>(most_rows());
        offsets = arena.template take<int64_t>(p.axes[2].kernel_size);
        remainders = arena.template take<int64_t>(planes);
        first = arena.template take<Int>(most_lanes() + slack);
        past = arena.template take<Int>(most_lanes() + slack);
    }

    // Packs what a tile reads.
    void pack_tile(const Tile &given) {
        tile = given;
        lane_count = (tile.outputs[2].end - tile.outputs[2].begin) * (tile.inner.end - tile.inner.begin);
        special = false;
        find_planes();
        find_edges();
        for (int a = 0; a < 2; a++) at[a] = reads(p.axes[a], tile.outputs[a].begin, tile.outputs[a].end);
        pack_array(own, packed);
        if (second.from) pack_array(second, packed + apart());
    }

    // The windows of outputs (i, k).
    Windowed<L> windows(int64_t i, int64_t k) {
        const Window down = window(p.axes[0], i), across = window(p.axes[1], k);
        const int64_t width = at[1].end - at[1].begin;
        int64_t n = 0;
        for (int64_t a = 0; a < down.count; a++)
            for (int64_t b = 0; b < across.count; b++)
                rows[n++] = packed + ((down.begin + a * p.axes[0].dilation - at[0].begin) * width + across.begin +
                                      b * p.axes[1].dilation - at[1].begin) * planes * pitch;
        return {rows, n, offsets, p.axes[2].kernel_size, first, past, apart()};
    }
    int64_t count() const { return lane_count; }
    // Whether the windows from a lane on are whole along the last axis, all N of them.
    bool is_whole(int64_t lane) const { return lane >= clean_lo && smaller(lane + N, lane_count) <= clean_hi; }

  private:
    static void halve(int64_t &n) { n = ceil_div(n, 2); }
    int64_t apart() const { return positions[0] * positions[1] * planes * pitch; }
    int64_t bytes() const { return (second.from ? 2 : 1) * apart() * int64_t(sizeof(L)); }

    void pack_array(const Packing<L> &packing, L *row) {
        now = packing;
        const Array &from = *now.from;
        const int64_t start = outer_offset(p, from, tile.outer) + tile.inner.begin * from.inner;
        for (int64_t i = at[0].begin; i < at[0].end; i++)
            for (int64_t k = at[1].begin; k < at[1].end; k++, row += planes * pitch)
                pack_row(from.data + (start + i * from.axis[0] + k * from.axis[1]) * now.encoding.bytes, row);
    }

    __attribute__((cold)) void measure() {
        for (int a = 0; a < most_pooled; a++) number[a] = ceil_div(p.axes[a].outputs, size[a]);
        inner_number = ceil_div(p.inner, inner_size);
        for (int a = 0; a < 2; a++) {
            const Axis &axis = p.axes[a];
            positions[a] = smaller(axis.length, (size[a] - 1) * axis.stride + (axis.kernel_size - 1) * axis.dilation + 1);
            if (axis.kind == Windows::sliding) continue;
            positions[a] = 1;
            for (int64_t i = 0; i < axis.outputs; i += size[a]) {
                const Range r = reads(axis, i, smaller(i + size[a], axis.outputs));
                positions[a] = larger(positions[a], r.end - r.begin);
            }
        }
        const Axis &last = p.axes[2];
        const bool slides = last.kind == Windows::sliding;
        planes = larger(1, slides ? smaller(last.stride, last.kernel_size) : last.kernel_size);
        places = slides ? size[2] + (last.kernel_size - 1) * last.dilation / last.stride : size[2];
        pitch = places * inner_size + N;
        raw_n = planes * pitch;
    }

    __attribute__((cold)) void find_planes() {
        const Axis &last = p.axes[2];
        const int64_t inner = tile.inner.end - tile.inner.begin;
        plane_count = 0;
        for (int64_t j = 0; j < last.kernel_size; j++) {
            if (last.kind == Windows::table) {
                offsets[j] = j * pitch;
                continue;
            }
            const int64_t position = j * last.dilation, remainder = position % last.stride;
            int64_t plane = 0;
            while (plane < plane_count && remainders[plane] != remainder) plane++;
            if (plane == plane_count) remainders[plane_count++] = remainder;
            offsets[j] = plane * pitch + position / last.stride * inner;
        }
    }

    void find_edges() {
        const Axis &last = p.axes[2];
        const int64_t inner = tile.inner.end - tile.inner.begin, lo = tile.outputs[2].begin;
        int64_t clean_from = 0, clean_to = last.outputs;
        if (last.kind == Windows::sliding) {
            const int64_t reach = (last.kernel_size - 1) * last.dilation + 1;
            clean_from = ceil_div(last.pad_before, last.stride);
            clean_to = floor_div(last.length + last.pad_before - reach, last.stride) + 1;
        } else if (!all_whole) clean_to = 0;
        clean_lo = larger(0, clean_from - lo) * inner;
        clean_hi = larger(0, smaller(clean_to, tile.outputs[2].end) - lo) * inner;
        for (int64_t lane = 0, i = lo; lane < lane_count; lane += inner, i++) {
            if (lane >= clean_lo + N && lane + inner <= clean_hi - N) continue;  // only in vectors that are whole
            const Window w = window(last, i);
            const int64_t from = last.kind == Windows::table ? 0 : w.first;
            for (int64_t c = lane; c < lane + inner; c++) first[c] = Int(from), past[c] = Int(from + w.count);
        }
        for (int64_t lane = lane_count; lane < lane_count + N; lane++)
            first[lane] = first[lane_count - 1], past[lane] = past[lane_count - 1];
    }

    void pack_row(const char *x, L *row) {
        const Axis &last = p.axes[2];
        const int64_t lo = tile.outputs[2].begin, hi = tile.outputs[2].end, inner = tile.inner.end - tile.inner.begin;
        if (last.kind == Windows::table) {
            for (int64_t i = lo; i < hi; i++) {
                const Window w = window(last, i);
                for (int64_t j = 0; j < last.kernel_size; j++) {
                    L *to = row + j * pitch + (i - lo) * inner;
                    if (j < w.count) pack_places(x, w.begin + j * last.dilation, 1, 1, to);
                    else fill(to, inner);
                }
            }
            return;
        }
        const int64_t start = lo * last.stride - last.pad_before;
        const int64_t n = hi - lo + (last.kernel_size - 1) * last.dilation / last.stride;
        if (last.stride == 2 && plane_count == 2 && inner == 1 && now.from->axis[2] == 1) return pack_pairs(x, start, n, row);
        for (int64_t plane = 0; plane < plane_count; plane++) {
            const int64_t from = start + remainders[plane];
            const int64_t begin = smaller(n, larger(0, ceil_div(-from, last.stride)));
            const int64_t end = larger(begin, smaller(n, ceil_div(last.length - from, last.stride)));
            L *to = row + plane * pitch;
            fill(to, begin * inner);
            if (end > begin) pack_places(x, from + begin * last.stride, last.stride, end - begin, to + begin * inner);
            fill(to + end * inner, (n - end) * inner);
        }
    }

    void fill(L *to, int64_t n) const {
        for (int64_t i = 0; i < n; i++) to[i] = now.missing;
    }

    void encode(const char *from, int64_t n, L *to) {
        if (now.encoding.run) special |= now.encoding.run(*now.encoding.problem, from, n, to);
        else if (now.encoding.flip)
            each_vector(n, N, [&](int64_t i, int64_t m) {
                using B = Vec<UnsignedOf<L>, N>;
                const auto *x = (const UnsignedOf<L> *)from + i;
                store_lanes((UnsignedOf<L> *)to + i, (m == N ? load<B>(x) : load<B>(x, m)) ^ now.encoding.flip, m);
            });
        else __builtin_memcpy(to, from, n * sizeof(L));
    }

    // Positions from, from + step, … of a row, n of them, with the inner elements of each.
    void pack_places(const char *x, int64_t from, int64_t step, int64_t n, L *to) {
        const int64_t inner = tile.inner.end - tile.inner.begin, apart = step * now.from->axis[2];
        x += from * now.from->axis[2] * now.encoding.bytes;
        if (inner > 1 ? now.from->inner == 1 && (n == 1 || apart == inner) : n == 1 || apart == 1)
            return encode(x, n * inner, to);
        if (inner >= N && now.from->inner == 1) {
            for (int64_t i = 0; i < n; i++) encode(x + i * apart * now.encoding.bytes, inner, to + i * inner);
            return;
        }
        by_size(now.encoding.bytes, [&]<class E>(E) { gather((const E *)x, apart, n, inner, (E *)raw); });
        encode(raw, n * inner, to);
    }
    template <class E>
    __attribute__((noinline)) void gather(const E *x, int64_t apart, int64_t n, int64_t inner, E *to) const {
        constexpr int64_t M = lanes<E>;
        const int64_t inside = now.from->inner;
        if constexpr (sizeof(E) >= 4)
            if (apart == 1 && n >= M && inner >= M)
                return each_whole(n, M, [&](int64_t i) {
                    each_whole(inner, M, [&](int64_t c) { transpose(x + c * inside + i, inside, to + i * inner + c, inner); });
                });
        if (n < inner || inner == 1)
            for (int64_t i = 0; i < n; i++) copy_line(x + i * apart, inside, to + i * inner, 1, inner);
        else
            for (int64_t c = 0; c < inner; c++) copy_line(x + c * inside, apart, to + c, inner, n);
    }

    // A row of stride 2 without gaps: even and odd positions at once.
    void pack_pairs(const char *x, int64_t start, int64_t n, L *row) {
        const int64_t length = p.axes[2].length, begin = smaller(n, larger(0, ceil_div(-start, 2)));
        const int64_t end = larger(begin, smaller(n, floor_div(length - start, 2)));  // pairs that lie inside
        const int first_plane = remainders[0] == 0 ? 0 : 1;
        L *planes[2] = {row + first_plane * pitch, row + (1 - first_plane) * pitch};
        auto single = [&](int64_t i) {
            for (int which = 0; which < 2; which++) {
                const int64_t at = start + 2 * i + which;
                if (at < 0 || at >= length) planes[which][i] = now.missing;
                else encode(x + at * now.encoding.bytes, 1, planes[which] + i);
            }
        };
        for (int64_t i = 0; i < begin; i++) single(i);
        for (int64_t i = end; i < n; i++) single(i);
        if (end == begin) return;
        by_size(now.encoding.bytes, [&]<class E>(E) {
            E *halves[2] = {(E *)raw, (E *)raw + (end - begin)};
            if (!now.encoding.run) halves[0] = (E *)planes[0] + begin, halves[1] = (E *)planes[1] + begin;
            split((const E *)x + start + 2 * begin, end - begin, E(now.encoding.flip), halves[0], halves[1]);
            for (int which = 0; now.encoding.run && which < 2; which++)
                encode((const char *)halves[which], end - begin, planes[which] + begin);
        });
    }
    template <class E> __attribute__((noinline)) static void split(const E *x, int64_t n, E flip, E *to, E *other) {
        constexpr int M = lanes<E>;
        using V = Vec<E, M>;
        int64_t i = 0;
        for (; i + M <= n; i += M) {
            const V a = load<V>(x + 2 * i), b = load<V>(x + 2 * i + M);
            store(to + i, even(a, b) ^ flip), store(other + i, odd(a, b) ^ flip);
        }
        for (; i < n; i++) to[i] = x[2 * i] ^ flip, other[i] = x[2 * i + 1] ^ flip;
    }
};

}  // namespace anypool::ANYPOOL_ISA
