// The forward pass: for every place outside the pooled axes, reduce down axis after axis, the rows in cache, and
// along the last.
#pragma once
#include "forward/finish.h"
#include "reduce/along.h"
#include "reduce/scratch.h"
#include "simd/gaps.h"
#include "simd/stream.h"

namespace anypool::ANYPOOL_ISA {

// How elements of an array become those that a kernel reads, where it has no code for them: once, on their way to
// scratch memory.
template <class E> struct Conversion {
    void (*run)(const char *from, int64_t n, E *to) = nullptr;
    int64_t bytes = sizeof(E);  // of an element of the array
};
template <class Reader> Conversion<typename Reader::Lane> conversion_of() {
    using Element = typename Reader::Element;
    auto run = [](const char *from, int64_t n, typename Reader::Lane *to) {
        each_vector(n, Reader::N, [&](int64_t i, int64_t m) {
            store_lanes(to + i, Reader::read((const Element *)from + i, m), m);
        });
    };
    return {run, sizeof(Element)};
}

// Where outer element `index` of an array lies.
inline int64_t outer_offset(const Problem &p, const Array &array, int64_t index) {
    int64_t offset = 0;
    for (int d = p.outer_rank - 1; d > 0; d--) {
        offset += index % p.outer_shape[d] * array.outer[d];
        index /= p.outer_shape[d];
    }
    return p.outer_rank ? offset + index * array.outer[0] : 0;
}

// What lies at one place of the outer axes.
inline Block elements_of(const Problem &p) {
    Block block{{1, 1, 1, p.inner}, {0, 0, 0, p.x.inner}};
    for (int a = 0, to = most_pooled - p.rank; a < p.rank; a++, to++)
        block.length[to] = p.axes[a].length, block.stride[to] = p.x.axis[a];
    return block;
}

// What a finished row is: elements, or sums of whole numbers that finish_sums takes from there.
template <class R, class Reader, bool HasOffsets = R::has_offsets, bool Extreme = R::idempotent> struct TargetOf {
    using Lane = typename R::Lane;
    using type = Choose<is_floating<typename Reader::Source>, Quotients<typename Reader::Source, Lane>, Row<Lane>>;
};
template <class R, class Reader> struct TargetOf<R, Reader, false, true> { using type = Elements<Reader>; };
template <class R, class Reader> struct TargetOf<R, Reader, true, true> { using type = ElementsWithOffsets<Reader>; };

template <class R, class Reader> class Forward {
    using Element = typename Reader::Element;
    using Lane = typename R::Lane;
    using Rows = typename R::Rows;
    using Target = typename TargetOf<R, Reader>::type;
    static constexpr int N = R::N;
    static constexpr int64_t slack = 4 * N;
    static constexpr int64_t piece = (1 << 14) / sizeof(Lane);  // elements of a row that stay in cache on their way

    const Problem &p;
    const Reader reader;
    const R r;
    const Conversion<Element> conversion;
    const int last;
    int64_t below[most_pooled];   // elements per step of an axis: all that lies behind it
    int64_t blocks[most_pooled];  // windows of an axis that are reduced together
    // Whether elements go to scratch memory first, as their array has gaps below the first axis, or they need a
    // conversion or factors. Those of `slab` outputs of the first axis go together, from `positions` of it at most.
    bool packs, scaled = false;
    int64_t slab = 0, positions = 0;
    int64_t outer = 1, splits = 1, chunk, planes = 1;
    int64_t tile;                                                  // outputs of the last axis at once
    enum class Along { each, regular, transposed, runs } way;        // how the last axis is reduced
    int64_t rows = 1;                                              // of the last axis, reduced together
    int64_t left = 0, right = 0;                                   // identity elements before and behind a row
    int64_t row_length;                                            // elements of a row, or of a piece of one
    const int64_t bytes;                                           // of an output
    bool in_place, finishes, streams = false;  // outputs lie side by side; rows are not yet outputs; past the caches
    bool small = false;                        // sums of whole numbers are exact in float32
    bool alike = true;                         // averages count as many elements in every window of the last axis

    // Scratch memory of a thread.
    Element *packed = nullptr;
    char *raw = nullptr;  // packed, to be converted
    Rows level[most_pooled], work, halves;
    BlockRows<R> block_rows[most_pooled];
    char *result = nullptr, *result_offsets = nullptr, *spare = nullptr;
    Lane *factors = nullptr;  // of elements along the last axis
    Lane *divisors = nullptr;
    int64_t divided_lo, divided_hi, divided_count;  // what the divisors are for
    Stream values, offsets;

  public:
    Forward(const Problem &p, Reader reader, Conversion<Element> conversion = {})
        : Forward(p, reader, R(reader), conversion) {}
    __attribute__((cold)) Forward(const Problem &p, Reader reader, R r, Conversion<Element> conversion = {})
        : p(p), reader(reader), r(r), conversion(conversion), last(p.rank - 1),
          bytes(R::idempotent && !conversion.run ? sizeof(Element) : size_of(p.result)) {
        int64_t n = p.inner, written = p.inner;
        bool dense = p.inner == 1 || p.x.inner == 1;
        for (int a = last; a >= 0; a--) {
            below[a] = n;
            dense = dense && ((a == 0 && (last > 0 || p.inner > 1)) || p.axes[a].length == 1 || p.x.axis[a] == n);
            blocks[a] = a < last || p.inner > 1 ? block_of(p.axes[a]) : 1;
            n *= p.axes[a].length, written *= p.axes[a].outputs;
            scaled = scaled || p.axes[a].scales;
        }
        packs = !dense || conversion.run || scaled;
        choose_way();
        for (int d = 0; d < p.outer_rank; d++) outer *= p.outer_shape[d];
        // Few places and much to do in each: split the first axis, always alike, so that bits do not depend on threads.
        // Tiles cost nothing where they are split.
        const int64_t outputs = p.axes[0].outputs, plane_bytes = n * int64_t(sizeof(Element));
        const int most = lies_in_tiles(p.axes[0]) ? 16 : 18;
        if (outer < 64 && plane_bytes >> most) splits = smaller(larger(outputs, 1), plane_bytes >> most);
        chunk = ceil_div(larger(outputs, 1), splits);
        if (last == 0) tile = chunk = smaller(chunk, tile);
        else chunk = smaller(outputs, ceil_div(chunk, blocks[0]) * blocks[0]);
        while (planes * plane_bytes < (1 << 16) && planes * 8 < outer) planes *= 2;
        in_place = lies_side_by_side(p.out) && (!R::has_offsets || lies_side_by_side(p.offsets));
        if (R::idempotent) finishes = conversion.run;
        else {
            double most = double(int64_t(1) << (p.type == Type::u8 || p.type == Type::i8 ? 8 : 16));
            for (int a = 0; a <= last; a++) most *= double(p.axes[a].kernel_size);
            small = sizeof(Lane) == 4 && sizeof(Element) < 4 && most < double(exact_below<float>);
            const bool quotients = is_floating<typename Reader::Source> && p.result == p.type && !conversion.run;
            finishes = !quotients && !(p.result == p.accumulator && p.operation == Operation::sum);
        }
        choose_rows();
        if (packs) choose_slab();
        splits = chunk ? ceil_div(outputs, chunk) : 0;
        streams = in_place && outer * written * bytes >= Stream::from && rows * tile * p.inner * bytes <= (1 << 16);
    }

    bool run() const {
        if (outer * splits * p.axes[last].outputs * p.inner == 0 || (last == 2 && p.axes[1].outputs == 0)) return true;
        const int64_t units = ceil_div(outer, planes) * splits;
        const int64_t work = outer * below[0] * p.axes[0].length * int64_t(sizeof(Element));
        return run_units(units, work < (1 << 16) ? 1 : p.threads, task, this);
    }

    __attribute__((cold)) void plan_scratch(Arena &arena) {
        const Axis &axis = p.axes[last];
        const int64_t row = rows * tile * p.inner;
        if (packs) packed = arena.template take<Element>(positions * below[0]);
        if (conversion.run) raw = arena.template take<char>(positions * below[0] * conversion.bytes);
        plan_blocks(arena);
        for (int a = 0; a < last; a++)
            take_row(arena, level[a], a == last - 1 ? left + rows * below[a] + right : below[a],
                     a == last - 1 ? left : 0, slack);
        if (last == 0 && !reads_runs() && (way != Along::each || p.inner == 1))
            take_row(arena, level[0], row_length + right, left, slack);
        const int64_t cells = left + rows * row_length + right + axis.kernel_size + slack;
        if (way == Along::regular) arena.take(work, cells);
        if (way == Along::regular && axis.stride > 2) arena.take(halves, cells);
        if (way == Along::transposed) arena.take(work, transposed_room(tile, axis.kernel_size, axis.stride, N));
        if (!in_place || finishes) {
            result = arena.template take<char>(row * 8);
            result_offsets = arena.template take<char>(row * p.offset_bytes);
            spare = arena.template take<char>(row * 8);
        }
        if (streams) {
            values.start(arena.template take<char>(Stream::room(row * bytes)));
            if (R::has_offsets) offsets.start(arena.template take<char>(Stream::room(row * p.offset_bytes)));
        }
        if (scaled) factors = arena.template take<Lane>(axis.length * p.inner);
        if (!alike) divisors = arena.template take<Lane>(row);
        divided_lo = -1;
    }

    // Identity elements around the rows that the last axis reads, and factors of them.
    void fill_margins() {
        const double *along = p.axes[last].scales;
        for (int64_t i = 0; scaled && i < p.axes[last].length; i++)
            for (int64_t c = 0; c < p.inner; c++) factors[i * p.inner + c] = Lane(along ? along[i] : 1);
        if (left + right == 0) return;
        const Rows row = level[last ? last - 1 : 0];
        for (int64_t i = -left; i < 0; i += N) (row + i).put(r.identity(), smaller(N, -i));
        for (int64_t i = 0; i < right; i += N) (row + (row_length + i)).put(r.identity(), smaller(N, right - i));
    }

    void plane(const char *x, int64_t lo, int64_t hi, int64_t out, int64_t offsets_at) {
        auto rows_of = [&](const Element *from, int64_t stride, int64_t begin, int64_t end) {
            reduce_axis<0, Order::sequential>(RawRow<Reader>{from, reader}, stride, begin, end, out, offsets_at, 1);
        };
        if (!packs) return rows_of((const Element *)x, p.x.axis[0], lo, hi);
        for (int64_t i = lo; i < hi; i += slab) {
            const int64_t end = smaller(i + slab, hi);
            const Range at = reads(p.axes[0], i, end);
            pack_positions(x, at);
            if constexpr (R::scales && __is_same(Element, Lane))
                if (scaled) scale_positions(at);
            rows_of(packed - at.begin * below[0], below[0], i, end);
        }
    }

  private:
    bool lies_side_by_side(const Array &array) const {
        return p.inner == 1 ? array.axis[last] == 1 : array.inner == 1 && array.axis[last] == p.inner;
    }

    // Whether windows of a single axis are read where they are.
    bool reads_runs() const { return way == Along::runs && last == 0; }

    // Tiles along the last axis: rows follow each other as if they were one, and so do their outputs.
    __attribute__((cold)) void choose_rows() {
        if (last == 0 || p.inner != 1 || blocks[last - 1] > 1 || !lies_in_tiles(p.axes[last])) return;
        const Axis &axis = p.axes[last], &before = p.axes[last - 1];
        const bool follow = p.out.axis[last - 1] == axis.outputs &&
                            (!R::has_offsets || p.offsets.axis[last - 1] == axis.outputs);
        const bool alike = p.operation != Operation::average || p.divisor;
        if (in_place && follow && alike && tile == axis.outputs && way != Along::each)
            rows = larger(1, smaller(before.outputs, piece / axis.length));
    }

    // How many outputs of the first axis make a slab: as many as the cache has room for, and more where the positions
    // that two slabs share, which are packed twice, would be most of it.
    __attribute__((cold)) void choose_slab() {
        const Axis &axis = p.axes[0];
        const int64_t outputs = larger(axis.outputs, 1), room = (1 << 17) / larger(1, below[0] * int64_t(sizeof(Element)));
        const Range all = reads(axis, 0, axis.outputs), one = reads(axis, outputs / 2, outputs / 2 + 1);
        const int64_t each = larger(1, (all.end - all.begin) / outputs), shared = one.end - one.begin - each;
        slab = larger(larger(1, (room - shared) / each), smaller(2 * shared / each, outputs / 4));
        const int64_t together = larger(blocks[0], last == 1 ? rows : 1);
        slab = last == 0 ? chunk : smaller(outputs, ceil_div(slab, together) * together);
        chunk = smaller(outputs, ceil_div(chunk, slab) * slab);
        positions = 1;
        for (int64_t i = 0; i < axis.outputs; i += slab) {
            const Range at = reads(axis, i, smaller(i + slab, axis.outputs));
            positions = larger(positions, at.end - at.begin);
        }
    }
    __attribute__((cold)) void pack_positions(const char *x, Range at) const {
        Block block = elements_of(p);
        block.length[block_axes - 1 - p.rank] = at.end - at.begin;
        x += at.begin * p.x.axis[0] * conversion.bytes;
        if (!conversion.run) return pack((const Element *)x, block, packed);
        if (!block.is_dense()) {
            by_size(conversion.bytes, [&]<class E>(E) { pack((const E *)x, block, (E *)raw); });
            x = raw;
        }
        conversion.run(x, (at.end - at.begin) * below[0], packed);
    }
    __attribute__((cold)) void scale_positions(Range at) const {
        const int64_t rows_each = last == 2 ? p.axes[1].length : 1, n = last ? p.axes[last].length * p.inner : p.inner;
        Lane *row = (Lane *)packed;
        for (int64_t i = at.begin; i < at.end; i++)
            for (int64_t k = 0; k < rows_each; k++, row += n) {
                const double down = last > 0 && p.axes[0].scales ? p.axes[0].scales[i] : 1;
                const double across = last > 1 && p.axes[1].scales ? p.axes[1].scales[k] : 1;
                const Lane *along = last ? factors : factors + i * p.inner;
                for (int64_t c = 0; c < n; c += N) {
                    const auto by = load<Vec<Lane, N>>(along + c) * Lane(down * across);
                    store_lanes(row + c, load<Vec<Lane, N>>(row + c) * by, smaller(N, n - c));
                }
            }
    }

    // Whole windows want identity elements around the row, unless those would be most of it. Long rows go in tiles.
    __attribute__((cold)) void choose_way() {
        const Axis &axis = p.axes[last];
        const int64_t inner = p.inner, reach = (axis.kernel_size - 1) * axis.dilation + 1;
        row_length = axis.length * inner;
        tile = larger(axis.outputs, 1);
        way = Along::each;
        if (axis.counts && !p.divisor)
            for (int64_t i = 1; i < axis.outputs; i++) alike &= axis.counts[i] == axis.counts[0];
        if (axis.kernel_size < 1 || axis.outputs < 1) return;
        const bool is_long = row_length > 2 * piece && axis.kind != Windows::table;
        // Tiles of a block read what neighbouring windows share again: not under twice a window.
        if (last > 0 && is_long) tile = smaller(tile, larger(2 * reach, axis.outputs * piece / row_length));
        if (axis.kind == Windows::transposed && !R::idempotent) {
            left = (axis.kernel_size - 1) / axis.stride;
            right = larger(0, floor_div(axis.outputs - 1 + axis.pad_before, axis.stride) + 1 - axis.length);
            if (inner == 1 && left + right <= 2 * axis.length + 1024) way = Along::transposed;
        }
        // Whole vectors of a window are read as they are where windows share little.
        const bool is_run = inner == 1 && axis.dilation == 1 && axis.kernel_size >= 2 * N && axis.kind != Windows::transposed;
        // Many channels fill vectors by themselves, and blocks of wide windows stay in cache.
        const bool slides = axis.stride == 1 && (blocks[last] == 1 || inner < 4 * N);
        if (axis.kind == Windows::sliding && (inner == 1 || slides)) {
            left = larger(0, axis.pad_before);
            right = larger(0, (axis.outputs - 1) * axis.stride - axis.pad_before + reach - axis.length);
            const bool one = axis.stride >= reach || axis.outputs == 1;
            const bool shares_little = one || (is_run && axis.stride >= reach / 4);
            const bool few = inner == 1 && shares_little && (reach >= 4 * N || (is_run && reach % 2));
            const bool cut = last == 0 && is_long && reach * inner <= piece && !few;
            if (cut) {
                tile = (piece / inner - reach) / axis.stride + 1;
                row_length = ((tile - 1) * axis.stride + reach) * inner;
                left = right = 0;
            }
            const bool rows = inner == 1 || last > 0 || cut || !is_long;
            if (left + right <= 2 * axis.length + 1024 && !few && rows) way = Along::regular;
        }
        if (way == Along::each && is_run) way = Along::runs;
        if (reads_runs()) {
            const int64_t row_bytes = axis.length * int64_t(sizeof(Element));
            if (row_bytes > (1 << 17)) tile = larger(1, axis.outputs * (1 << 17) / row_bytes);
        }
        if (way == Along::each || way == Along::runs) left = right = 0;
        if (way != Along::each) blocks[last] = 1;
        left *= inner, right *= inner;
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

    // The blocks of an axis are open while those of the next are reduced: each keeps its own.
    __attribute__((cold)) void plan_blocks(Arena &arena) {
        for (int a = 0; a <= last; a++)
            if (blocks[a] > 1) {
                block_rows[a].pitch = below[a] + N;
                arena.take(block_rows[a].before, blocks[a] * block_rows[a].pitch);
                arena.take(block_rows[a].sum, block_rows[a].pitch);
            }
    }

    bool unit(int64_t unit) {
        if (!take_scratch([&](Arena &arena) { plan_scratch(arena); })) return false;
        fill_margins();
        const int64_t split = unit % splits, from = unit / splits * planes;
        for (int64_t o = from; o < smaller(from + planes, outer); o++)
            plane(p.x.data + outer_offset(p, p.x, o) * conversion.bytes, split * chunk,
                  smaller(split * chunk + chunk, p.axes[0].outputs), outer_offset(p, p.out, o),
                  outer_offset(p, p.offsets, o));
        if (streams) values.finish();
        if (streams && R::has_offsets) offsets.finish();
        return true;
    }

    // Axis a of a block whose rows lie `stride` apart, outputs lo to hi of it; `count`: elements that averages count
    // along the axes before; `out` and `offsets_at`: where the first output and its offset belong.
    template <int a, Order order, class Source>
    void reduce_axis(Source source, int64_t stride, int64_t lo, int64_t hi, int64_t out, int64_t offsets_at, int64_t count) {
        if (a == last) return last_axis<order>(source, stride, lo, hi, out, offsets_at, count);
        if constexpr (a + 1 < most_pooled) {
            const Axis &axis = p.axes[a];
            const int64_t across = p.axes[a + 1].outputs, step = a + 1 == last ? tile : larger(across, 1);
            auto columns = [&](int64_t t) {
                if (a + 1 < last) return Range{0, below[a]};
                const Range at = reads(p.axes[last], t, smaller(t + step, across));
                return Range{at.begin * p.inner, at.end * p.inner};
            };
            auto next = [&](int64_t i, int64_t t) {
                const int64_t both = axis.counts ? count * axis.counts[i] : count;
                reduce_axis<a + 1, Order::any>(level[a], below[a + 1], t, smaller(t + step, across),
                                               out + i * p.out.axis[a], offsets_at + i * p.offsets.axis[a], both);
            };
            if (blocks[a] > 1)
                for (int64_t i = lo; i < hi; i += blocks[a])
                    for (int64_t t = 0; t < across; t += step) {
                        const Range at = columns(t);
                        down_block<R>(r, source + at.begin, stride, axis, i, smaller(blocks[a], hi - i),
                                      at.end - at.begin, block_rows[a], [&](int64_t) { return level[a] + at.begin; },
                                      [&](int64_t w) { next(i + w, t); });
                    }
            else if (rows > 1 && a + 1 == last)
                for (int64_t i = lo; i < hi; i += rows) {
                    const int64_t n = smaller(rows, hi - i), width = across * p.axes[last].stride;
                    down<R, order>(r, source, stride, axis, i, window(axis, i), n, width, level[a]);
                    reduce_axis<a + 1, Order::any>(level[a], 0, 0, n * across, out + i * p.out.axis[a],
                                                   offsets_at + i * p.offsets.axis[a], count);
                }
            else {
                const Range first = columns(0);
                WindowsFrom windows(axis, lo);
                Window before{-1, 0, 0};
                for (int64_t i = lo; i < hi; i++) {
                    const Window here = windows.next();
                    const bool again =
                        here.begin == before.begin && here.count == before.count && here.first == before.first;
                    before = here;
                    int64_t done = 0;  // columns that a tile before has reduced
                    for (int64_t t = 0; t < across; t += step) {
                        const Range at = t == 0 ? first : columns(t);
                        const int64_t from = larger(at.begin, done);
                        if (from < at.end && !again) {
                            down<R, order>(r, source + from, stride, axis, i, here, 1, at.end - from,
                                           level[a] + from);
                        }
                        done = at.end;
                        next(i, t);
                    }
                }
            }
        }
    }

    template <Order order, class Source>
    void last_axis(Source source, int64_t stride, int64_t lo, int64_t hi, int64_t out, int64_t offsets_at, int64_t count) {
        const Axis &axis = p.axes[last];
        out += lo * p.out.axis[last], offsets_at += lo * p.offsets.axis[last];
        const Divisor<Lane> divisor = divide(lo, hi, count);
        const Target to = target(out, offsets_at, divisor);
        if (p.inner == 1 || way == Along::regular) {
            if constexpr (__is_same(Source, Rows)) along_row(source, 0, lo, hi, to);
            else if (!reads_runs()) along_piece(source, stride, lo, hi, to);
            else along_runs(r, source, axis, lo, hi, to);
        } else if (blocks[last] > 1)
            for (int64_t i = lo; i < hi; i += blocks[last])
                down_block<R>(r, source, stride, axis, i, smaller(blocks[last], hi - i), p.inner, block_rows[last],
                              [&](int64_t w) { return to + (i - lo + w) * p.inner; }, [](int64_t) {});
        else down_each<R, order>(r, source, stride, axis, lo, hi, p.inner, to);
        finish(hi - lo, out, offsets_at, divisor);
    }

    // A single axis: what outputs lo to hi read, to scratch memory.
    void along_piece(RawRow<Reader> source, int64_t stride, int64_t lo, int64_t hi, const Target &to) {
        const Axis &axis = p.axes[0];
        const Range at = reads(axis, lo, hi);
        int64_t from = 0;
        if (row_length < axis.length * p.inner) {
            from = lo * axis.stride - axis.pad_before;
            const int64_t end = from + (hi - lo - 1) * axis.stride + (axis.kernel_size - 1) * axis.dilation + 1;
            auto fill_identity = [&](int64_t i, int64_t stop) {
                for (i *= p.inner; i < stop * p.inner; i += N) (level[0] + i).put(r.identity(), N);
            };
            fill_identity(0, smaller(at.begin, end) - from);
            fill_identity(at.end - from, end - from);
        }
        const int64_t together = stride == p.inner ? at.end - at.begin : 1;  // positions
        for (int64_t i = at.begin; i < at.end; i += together) {
            const Rows row = level[0] + (i - from) * p.inner;
            const auto elements = source + i * stride;
            each_vector(together * p.inner, N,
                        [&](int64_t c, int64_t m) { (row + c).put(r.load(elements + c, m, R::no_offset), m); });
        }
        along_row(level[0], from, lo, hi, to);
    }

    // Outputs lo to hi of the last axis; row[0] is position `from` of it.
    void along_row(Rows row, int64_t from, int64_t lo, int64_t hi, const Target &to) {
        const Axis &axis = p.axes[last];
        if (way == Along::regular) {
            const auto first = row + (lo * axis.stride - axis.pad_before - from) * p.inner;
            const Regular windows{(hi - lo) * p.inner, axis.kernel_size, axis.dilation * p.inner, axis.stride, axis.weight};
            return along_regular(r, first, work, halves, windows, to);
        }
        if constexpr (!R::idempotent)
            if (way == Along::transposed)
                return along_transposed(r, row, work, lo + axis.pad_before, hi - lo, axis.kernel_size, axis.stride, to);
        if (way == Along::runs) {
            Axis joined = axis;
            if (rows > 1) joined.length = hi * axis.stride;
            return along_runs(r, row, joined, lo, hi, to);
        }
        along(r, row, axis, lo, hi, to);
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Outputs

    Target target(int64_t out, int64_t offsets_at, Divisor<Lane> divisor) {
        char *to = in_place && !finishes ? place(out) : result;
        if constexpr (R::has_offsets)
            return {{(Element *)to, reader}, in_place ? place_of_offsets(offsets_at) : result_offsets, p.offset_bytes};
        else if constexpr (R::idempotent) return {(Element *)to, reader};
        else if constexpr (is_floating<typename Reader::Source>)
            return {to, finishes || p.result != p.type, finishes ? Divisor<Lane>{} : divisor};
        else return {(Lane *)to};
    }
    char *place(int64_t out) {
        char *to = p.out.data + out * bytes;
        return streams ? values.row(to) : to;
    }
    char *place_of_offsets(int64_t offsets_at) {
        char *to = p.offsets.data + offsets_at * p.offset_bytes;
        return streams ? offsets.row(to) : to;
    }

    // The results of n positions to where they belong, if they are not there.
    void finish(int64_t n, int64_t out, int64_t offsets_at, Divisor<Lane> divisor) {
        const char *from = result;
        if constexpr (!R::idempotent || R::converts)
            if (finishes) {
                finish_sums(p.result, (const Lane *)result, in_place ? place(out) : spare, n * p.inner, divisor,
                            small);
                from = spare;
            }
        if (!in_place) {
            spread(from, n, p.out, out, bytes);
            if (R::has_offsets) spread(result_offsets, n, p.offsets, offsets_at, p.offset_bytes);
        } else if (streams) {
            values.add(n * p.inner * bytes);
            if (R::has_offsets) offsets.add(n * p.inner * p.offset_bytes);
        }
    }

    // Elements without gaps between them, to an array that has some.
    __attribute__((cold)) void spread(const char *from, int64_t n, const Array &array, int64_t at, int64_t size) const {
        const Block block{{1, 1, n, p.inner}, {0, 0, array.axis[last], array.inner}};
        by_size(size, [&]<class E>(E) { unpack((const E *)from, block, (E *)array.data + at); });
    }

    // What outputs lo to hi of a row are divided by.
    Divisor<Lane> divide(int64_t lo, int64_t hi, int64_t count) {
        if (R::idempotent || p.operation != Operation::average) return {};
        const int64_t *counts = p.axes[last].counts;
        if (alike) return Divisor<Lane>::of(p.divisor ? p.divisor : counts ? count * counts[lo] : count);
        if (lo != divided_lo || hi != divided_hi || count != divided_count) {
            divided_lo = lo, divided_hi = hi, divided_count = count;
            for (int64_t i = lo; i < hi; i++)
                for (int64_t c = 0; c < p.inner; c++) divisors[(i - lo) * p.inner + c] = Lane(count * counts[i]);
        }
        return {divisors, Lane(1), false};
    }
};

}  // namespace anypool::ANYPOOL_ISA
