// Small planes: rows that do not fill a vector waste it. So take as many planes as a vector has lanes, one in each,
// and pool them like channels.
#pragma once
#include "forward/merge.h"
#include "forward/whole.h"

namespace anypool::ANYPOOL_ISA {

// N vectors row(i), transposed, to rows `pitch` apart.
template <class U, class Row> inline void transpose_rows(Row row, U *to, int64_t pitch) {
    constexpr int N = lanes<U>;
    using V = Vec<U, N>;
    V a[N], b[N];
#pragma GCC unroll 16
    for (int i = 0; i < N; i++) a[i] = row(i);
#pragma GCC unroll 4
    for (int stage = 1; stage < N; stage *= 2) {
#pragma GCC unroll 16
        for (int i = 0; i < N / 2; i++) {
            b[2 * i] = zip_low(a[i], a[i + N / 2]);
            b[2 * i + 1] = zip_high(a[i], a[i + N / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < N; i++) a[i] = b[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; i++) store(to + i * pitch, a[i]);
}

template <class U> __attribute__((noinline)) void transpose(const U *from, int64_t pitch, U *to, int64_t to_pitch) {
    transpose_rows([&](int i) { return load<Vec<U, lanes<U>>>(from + i * pitch); }, to, to_pitch);
}

template <class R, class Reader> class Planes {
    using Element = typename Reader::Element;
    using Lane = typename R::Lane;
    using Rows = typename R::Rows;
    using Bits = UnsignedOf<Lane>;
    static constexpr int N = R::N;
    using LaneReader = Choose<R::idempotent, Keys<Lane, Lane>, Widening<Lane, Lane>>;
    using Inside = Forward<R, LaneReader>;

    const Problem &p;
    const Reader reader;
    Problem inside;  // the planes of a group, side by side
    Block plane;     // where the elements of one lie
    bool dense, scaled = false;
    int64_t outer = 1, read = 1, written = 1, groups;

  public:
    // Whether planes are small and many, and their outputs without gaps.
    static bool fit(const Problem &p) {
        if (p.inner != 1) return false;
        int64_t outer = 1, read = 1, written = 1;
        for (int d = 0; d < p.outer_rank; d++) outer *= p.outer_shape[d];
        for (int a = p.rank - 1; a >= 0; a--) {
            const Axis &axis = p.axes[a];
            const bool has_gaps = p.out.axis[a] != written || (R::has_offsets && p.offsets.axis[a] != written);
            if (axis.outputs > 1 && has_gaps) return false;
            read *= axis.length;
            written *= axis.outputs;
            if (read > 2048 || written > 4096) return false;
        }
        return outer >= 4 * N && read > 1 && written > 0 && 2 * p.axes[p.rank - 1].length < 5 * N;
    }

    __attribute__((cold)) explicit Planes(const Problem &p) : p(p), reader(p), inside(p) {
        for (int d = 0; d < p.outer_rank; d++) outer *= p.outer_shape[d];
        inside.outer_rank = 0;
        inside.inner = N;
        inside.x.inner = inside.out.inner = inside.offsets.inner = 1;
        for (int a = p.rank - 1; a >= 0; a--) {
            inside.x.axis[a] = read * N;
            inside.out.axis[a] = inside.offsets.axis[a] = written * N;
            read *= p.axes[a].length;
            written *= p.axes[a].outputs;
        }
        plane = elements_of(p);
        dense = plane.is_dense();
        if (!R::idempotent) {
            inside.operation = Operation::sum;
            inside.type = inside.result = p.accumulator;
        }
        for (int a = 0; a < p.rank; a++) scaled = scaled || p.axes[a].scales, inside.axes[a].scales = nullptr;
        inside.offset_bytes = R::has_offsets ? sizeof(Lane) : 0;
        groups = larger(1, (1 << 15) / (read * N * int64_t(sizeof(Element))));
    }

    bool run() const {
        const int64_t work = outer * read * int64_t(sizeof(Element));
        auto task = [](const void *me, int64_t unit) { return ((const Planes *)me)->unit(unit); };
        return run_units(ceil_div(outer, N * groups), work < (1 << 16) ? 1 : p.threads, task, this);
    }

  private:
    struct Memory {
        Element *packed;  // planes that have gaps
        Lane *in, *factors, *divisors;
        Rows out, rows;  // a plane in each lane; a plane in each row
    };

    bool unit(int64_t unit) const {
        Problem mine = inside;
        Inside pooling(mine, LaneReader(), R(reader));
        Memory m;
        if (!take_scratch([&](Arena &arena) { m = plan(arena, pooling); })) return false;
        mine.out.data = (char *)m.out.value;
        if constexpr (R::has_offsets) mine.offsets.data = (char *)m.out.offset;
        pooling.fill_margins();
        if (scaled) fill_factors(m.factors);
        if (p.operation == Operation::average) fill_divisors(m.divisors);
        const int64_t from = unit * N * groups, pitch = row_pitch();
        for (int64_t o = from; o < smaller(from + N * groups, outer); o += N) {
            const int64_t count = smaller(N, outer - o);
            gather(o, count, m);
            pooling.plane((const char *)m.in, 0, p.axes[0].outputs, 0, 0);
            for (int64_t i = 0; i < written; i += N) {
                transpose((const Bits *)m.out.value + i * N, N, (Bits *)m.rows.value + i, pitch);
                if constexpr (R::has_offsets) transpose(m.out.offset + i * N, N, m.rows.offset + i, pitch);
            }
            for (int64_t l = 0; l < count; l++) finish(m.rows + l * pitch, o + l, m.divisors);
        }
        return true;
    }

    int64_t row_pitch() const { return ceil_div(written, N) * N; }

    Memory plan(Arena &arena, Inside &pooling) const {
        Memory m;
        m.packed = arena.take<Element>(dense ? 0 : N * read);
        m.in = arena.take<Lane>((read + N) * N);
        m.factors = arena.take<Lane>(scaled ? read : 0);
        arena.take(m.out, (written + N) * N);
        arena.take(m.rows, N * row_pitch());
        m.divisors = arena.take<Lane>(written + N);
        pooling.plan_scratch(arena);
        return m;
    }

    // Planes o to o + count to the lanes of m.in; lanes without a plane repeat the last.
    void gather(int64_t o, int64_t count, const Memory &m) const {
        const Element *from[N];
        for (int64_t l = 0; l < N; l++)
            from[l] = (const Element *)p.x.data + outer_offset(p, p.x, o + smaller(l, count - 1));
        for (int64_t l = 0; !dense && l < N; l++) {
            if (l < count) pack(from[l], plane, m.packed + l * read);
            from[l] = m.packed + smaller(l, count - 1) * read;
        }
        each_vector(read, N, [&](int64_t i, int64_t size) {
            auto elements = [&](int l) { return (Vec<Bits, N>)reader.read(from[l] + i, size); };
            transpose_rows(elements, (Bits *)m.in + i * N, N);
        });
        if constexpr (R::scales)
            for (int64_t i = 0; scaled && i < read; i++)
                store(m.in + i * N, load<Vec<Lane, N>>(m.in + i * N) * m.factors[i]);
    }

    void finish(Rows row, int64_t o, const Lane *divisors) const {
        const int64_t out = outer_offset(p, p.out, o), offsets_at = outer_offset(p, p.offsets, o) * p.offset_bytes;
        if constexpr (R::idempotent) {
            const Elements<Reader> values{(Element *)p.out.data + out, reader};
            auto put = [&](auto to) {
                each_vector(written, N,
                            [&](int64_t i, int64_t m) { (to + i).put(R::load(row + i, N, R::no_offset), m); });
            };
            if constexpr (R::has_offsets) put(ElementsWithOffsets<Reader>{values, p.offsets.data + offsets_at, p.offset_bytes});
            else put(values);
        } else {
            const Divisor<Lane> divisor{p.operation == Operation::average ? divisors : nullptr};
            finish_sums(p.result, row.value, p.out.data + out * size_of(p.result), written, divisor);
        }
    }

    // f(position along each axis, number) for each of the elements of a plane, or of its outputs.
    template <class F> void each_place(int64_t Axis::*count, F f) const {
        int64_t n[most_pooled] = {1, 1, 1}, place[most_pooled] = {}, all = 1;
        for (int a = 0; a < p.rank; a++) n[a] = p.axes[a].*count, all *= n[a];
        for (int64_t number = 0; number < all; number++) {
            f(place, number);
            for (int a = p.rank - 1; a >= 0 && ++place[a] == n[a]; a--) place[a] = 0;
        }
    }
    void fill_factors(Lane *to) const {
        each_place(&Axis::length, [&](const int64_t *place, int64_t number) {
            double by = 1;
            for (int a = 0; a < p.rank; a++) by *= p.axes[a].scales ? p.axes[a].scales[place[a]] : 1;
            to[number] = Lane(by);
        });
    }
    void fill_divisors(Lane *to) const {
        each_place(&Axis::outputs, [&](const int64_t *place, int64_t number) {
            int64_t by = 1;
            for (int a = 0; a < p.rank; a++) by *= p.axes[a].counts ? p.axes[a].counts[place[a]] : 1;
            to[number] = Lane(p.divisor ? p.divisor : by);
        });
    }
};

template <class R, class Reader>
bool forward(const Problem &given, Conversion<typename Reader::Element> conversion = {}) {
    Problem p = given;
    merge_axes(p, R::N);
    bool scaled = false;
    for (int a = 0; a < p.rank; a++) scaled = scaled || p.axes[a].scales;
    // Not for the types that networks do not hold: each is more code.
    if constexpr (__is_same(typename R::Lane, float) || (R::idempotent && sizeof(typename R::Lane) <= 2))
        if (!conversion.run && Planes<R, Reader>::fit(p)) return Planes<R, Reader>(p).run();
    if constexpr (!R::has_offsets)
        if (!scaled && is_whole(p)) return reduce_whole<R, Reader>(p, conversion);
    if constexpr (R::scales && !__is_same(typename Reader::Element, typename R::Lane))
        if (scaled) {
            using Lane = typename R::Lane;
            p.type = p.accumulator;
            return Forward<R, Widening<Lane, Lane>>(p, Widening<Lane, Lane>(p), conversion_of<Reader>()).run();
        }
    return Forward<R, Reader>(p, Reader(p), conversion).run();
}

}  // namespace anypool::ANYPOOL_ISA
