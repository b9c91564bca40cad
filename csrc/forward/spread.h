// Totals of one element or none, such as the gradients of sums and averages over non-overlapping windows: nothing adds up,
// and every element is divided once and stored wherever it belongs, row after row.
#pragma once
#include <algorithm>
#include <vector>

#include "forward/forward.h"

namespace anypool::ANYPOOL_ISA {

// Whether every window of an axis holds one element or none.
inline bool holds_one(const Axis &axis) {
    if (axis.length <= 1) return true;
    if (axis.kind != Windows::table) return axis.kernel_size <= (axis.kind == Windows::transposed ? axis.stride : 1);
    for (int64_t i = 0; i < axis.outputs; i++)
        if (axis.table[i].count > 1) return false;
    return true;
}

// Outputs begin to end that hold one element, or none (−1).
struct Run {
    int64_t begin, end, element;
};
inline std::vector<Run> runs_of(const Axis &axis) {
    std::vector<Run> runs;
    WindowsFrom windows(axis, 0);
    for (int64_t i = 0; i < axis.outputs; i++) {
        const Window w = windows.next();
        const int64_t element = w.count > 0 ? w.begin : -1;
        if (runs.empty() || runs.back().element != element) runs.push_back({i, i, element});
        runs.back().end = i + 1;
    }
    return runs;
}

// What each output of an axis holds.
inline std::vector<int64_t> held_by(const Axis &axis) {
    std::vector<int64_t> held;
    for (const Run &run : runs_of(axis)) held.resize(run.end, run.element);
    return held;
}

// Element q is held by outputs begin + q·period to begin + q·period + width; without any such rule, period is 0.
struct Spacing {
    int64_t begin = 0, width = 0, period = 0;
};
inline Spacing spacing_of(const Axis &axis) {
    if (axis.kind == Windows::transposed) return {-axis.pad_before, axis.kernel_size, larger(axis.stride, axis.kernel_size)};
    if (axis.kind == Windows::table || axis.stride > 1 || axis.dilation > 1) return {};
    return {axis.pad_before - axis.kernel_size + 1, axis.kernel_size, axis.kernel_size};
}

// A row of outputs in which the same repeats after so many that hold so many elements, each a cell of words. A vector
// of it is a permutation of neighbouring words, known for every place in a period.
template <class Word> class Pattern {
    static constexpr int L = lanes<Word>;
    using V = Vec<Word, L>;
    int64_t cell = 1, period = 0;   // words
    std::vector<int64_t> base;      // of each place in the period, the first word that a vector takes,
    std::vector<Word> index, mask;  // behind it, where each of its words comes from, and which are not 0

  public:
    static constexpr int64_t longest = 512;
    int64_t begin = 0, outputs = 1, elements = 1;

    Pattern() = default;
    // From what each output of a period holds.
    __attribute__((cold)) Pattern(int64_t begin, const std::vector<int64_t> &held, int64_t elements, int64_t cell)
        : cell(cell),
          begin(begin),
          outputs(int64_t(held.size())),
          elements(elements) {
        std::vector<int64_t> from;  // of the words of a period and a vector
        for (int64_t x = 0, ahead = 0; int64_t(from.size()) < outputs * cell + L; x++) {
            if (x == outputs) x = 0, ahead += elements;
            for (int64_t c = 0; c < cell; c++) from.push_back(held[x] < 0 ? -1 : (held[x] + ahead) * cell + c);
        }
        for (int64_t place = 0; place < outputs * cell; place++) {
            int64_t first = INT64_MAX;
            for (int l = 0; l < L; l++)
                if (from[place + l] >= 0) first = smaller(first, from[place + l]);
            base.push_back(first == INT64_MAX ? 0 : first);
            for (int l = 0; l < L; l++) {
                const int64_t word = from[place + l];
                if (word - base.back() >= L) return;
                index.push_back(word < 0 ? 0 : Word(word - base.back()));
                mask.push_back(word < 0 ? 0 : Word(-1));
            }
        }
        period = outputs * cell;
    }
    bool fits() const { return period > 0; }

    // n words of the row, the first of them `from` words behind the start of the period of these cells; `over`: up to a
    // vector of words behind them may be written, too.
    void write(const Word *cells, int64_t from, int64_t n, Word *to, bool over) const {
        const int64_t turn = L % period, step = L / period * elements * cell;
        const int64_t passed = from < period ? 0 : from / period;
        int64_t place = from - passed * period;
        cells += passed * elements * cell;
        for (int64_t i = 0; i < n; i += L) {
            const V v = __builtin_shuffle(load<V>(cells + base[place]), load<V>(index.data() + place * L)) &
                        load<V>(mask.data() + place * L);
            if (over || i + L <= n) store(to + i, v);
            else store(to + i, v, n - i);
            place += turn, cells += step;
            if (place >= period) place -= period, cells += elements * cell;
        }
    }
};

// A row of n words that repeats a cell.
template <class Word> inline void repeat(const Word *from, int64_t cell, int64_t n, Word *to) {
    constexpr int L = lanes<Word>;
    if (n > cell && cell < L && L % cell == 0) {
        Word words[L];
        for (int64_t i = 0; i < L; i++) words[i] = from[i % cell];
        const auto v = load<Vec<Word, L>>(words);
        each_vector(n, L, [&](int64_t i, int64_t m) { store_lanes(to + i, v, m); });
    } else
        for (int64_t x = 0; x < n; x += cell)
            each_vector(cell, L, [&](int64_t i, int64_t m) {
                if (m == L) store(to + x + i, load<Vec<Word, L>>(from + i));
                else
                    for (int64_t c = 0; c < m; c++) to[x + c] = from[c];
            });
}

template <class T, class A> class Spread {
    using Element = Stored<T>;
    using Word = Choose<sizeof(Element) == 2, uint16_t, uint32_t>;
    static constexpr int64_t words = sizeof(Element) / sizeof(Word);
    static constexpr int N = lanes<A>, last = most_pooled - 1;
    static constexpr int64_t most_kept = 4096;

    Problem p;  // all three axes, those that are missing with one element
    const Divisor<A> divisor;
    int64_t planes = 1;
    Pattern<Word> pattern;         // of rows
    int64_t pattern_end = 0;       // outputs from there on hold none
    std::vector<Run> runs;         // of the last axis, where there is no pattern
    std::vector<int64_t> held[2];  // what outputs of the other axes hold
    std::vector<A> factors;        // of the elements of a row, where they differ
    int64_t row, piece, pieces;    // outputs of a row and of a piece of one; pieces of a row
    int64_t items, together;       // pieces of all rows, and of a unit of work
    int64_t most_elements = 0;     // that a piece holds
    bool in_place, dense, keeps;   // outputs without gaps within rows; altogether; whether a plane is divided at once

    // Scratch memory of a thread, and whose quotients are in it.
    struct Memory {
        Element *packed, *quotients, *result;
        int64_t plane = -1, place = -1, part = -1;
    };
    // A piece of a row: `part` of row (i, k) of a plane.
    struct Item {
        int64_t part, k, i, plane;
    };

  public:
    static bool fits(const Problem &p) {
        if (p.type != p.result || (p.operation == Operation::average && p.divisor == 0)) return false;
        for (int d = 0; d < p.outer_rank; d++)
            if (p.outer_shape[d] == 0) return false;
        for (int a = 0; a < p.rank; a++)
            if (p.axes[a].length == 0 || p.axes[a].outputs == 0 || !holds_one(p.axes[a])) return false;
        return p.inner > 0;
    }

    __attribute__((cold)) explicit Spread(const Problem &given)
        : p(given),
          divisor(p.operation == Operation::average ? Divisor<A>::of(p.divisor) : Divisor<A>{}) {
        for (int a = last; a >= 0; a--) {
            const int from = a == last ? p.rank - 1 : a;
            const bool missing = a < last && a >= p.rank - 1;
            p.axes[a] = missing ? Axis{} : given.axes[from];
            p.x.axis[a] = missing ? 0 : given.x.axis[from];
            p.out.axis[a] = missing ? 0 : given.out.axis[from];
        }
        for (int d = 0; d < p.outer_rank; d++) planes *= p.outer_shape[d];
        fill_factors();
        choose_pattern();
        join_rows();
        for (int a = 0; a < last; a++) held[a] = held_by(p.axes[a]);
        choose_pieces();
    }

    bool run() const {
        const int64_t work = items * piece * p.inner * int64_t(sizeof(Element));
        auto task = [](const void *me, int64_t unit) { return ((const Spread *)me)->unit(unit); };
        return run_units(ceil_div(items, together), work < (1 << 16) ? 1 : p.threads, task, this);
    }

  private:
    // -----------------------------------------------------------------------------------------------------------------
    // Geometry

    __attribute__((cold)) void fill_factors() {
        bool differ = false;
        for (const Axis &axis : p.axes) differ |= axis.scales != nullptr;
        if (!differ) return;
        const Axis &axis = p.axes[last];
        for (int64_t i = 0; i < axis.length; i++)
            factors.insert(factors.end(), p.inner, A(axis.scales ? axis.scales[i] : 1));
        factors.resize(factors.size() + N);
    }

    __attribute__((cold)) void choose_pattern() {
        const Axis &axis = p.axes[last];
        const int64_t cell = p.inner * words;
        if (small_plane(cell)) return;
        if (const Spacing by = spacing_of(axis); by.period > 0 && by.period <= Pattern<Word>::longest / cell) {
            std::vector<int64_t> holds(by.period, -1);
            std::fill_n(holds.begin(), by.width, 0);
            pattern = Pattern<Word>(by.begin, holds, 1, cell);
        }
        if (!pattern.fits()) runs = runs_of(axis);
    }

    // A small plane is a row with a pattern, which takes time to find: whether it is, and if so, makes it one.
    __attribute__((cold)) bool small_plane(int64_t cell) {
        Axis *axes = p.axes;
        const int64_t elements = axes[0].length * axes[1].length * axes[last].length;
        const double outputs = double(axes[0].outputs) * double(axes[1].outputs) * double(axes[last].outputs);
        if (planes < 128 || outputs * double(cell) > double(Pattern<Word>::longest) || !factors.empty()) return false;
        if (!lies_dense(p.x, &Axis::length, 0) || !lies_dense(p.out, &Axis::outputs, 0)) return false;
        std::vector<int64_t> holds;
        for (const int64_t i : held_by(axes[0]))
            for (const int64_t k : held_by(axes[1]))
                for (const int64_t l : held_by(axes[last]))
                    holds.push_back(smaller(i, smaller(k, l)) < 0
                                        ? -1
                                        : (i * axes[1].length + k) * axes[last].length + l);
        pattern = Pattern<Word>(0, holds, elements, cell);
        if (!pattern.fits()) return false;
        axes[0] = axes[1] = {};
        axes[last].length = elements, axes[last].outputs = int64_t(holds.size());
        p.x.axis[last] = p.out.axis[last] = p.inner;
        return true;
    }

    // Rows that follow each other in memory are one where the pattern goes on.
    __attribute__((cold)) void join_rows() {
        Axis &axis = p.axes[last];
        if (!pattern.fits() || !is_trivial(0) || !is_trivial(1) || !factors.empty()) return;
        for (; p.outer_rank > 0; p.outer_rank--) {
            const int d = p.outer_rank - 1;
            if (axis.outputs == 1) p.out.axis[last] = p.out.outer[d];
            if (axis.length == 1) p.x.axis[last] = p.x.outer[d];
            if (pattern.begin != 0 || axis.length / pattern.elements * pattern.outputs != axis.outputs ||
                p.out.outer[d] != axis.outputs * p.out.axis[last] || p.x.outer[d] != axis.length * p.x.axis[last])
                return;
            axis.length *= p.outer_shape[d], axis.outputs *= p.outer_shape[d];
            planes /= p.outer_shape[d];
        }
    }
    bool is_trivial(int a) const {
        return p.axes[a].length == 1 && p.axes[a].outputs == 1 && window(p.axes[a], 0).count == 1;
    }

    // Whether an array has no gaps below an axis.
    bool lies_dense(const Array &array, int64_t Axis::*count, int from) const {
        int64_t below = p.inner;
        bool dense = p.inner == 1 || array.inner == 1;
        for (int a = last; a >= from; a--) {
            dense = dense && (p.axes[a].*count == 1 || array.axis[a] == below);
            below *= p.axes[a].*count;
        }
        return dense;
    }

    __attribute__((cold)) void choose_pieces() {
        const Axis *axes = p.axes;
        const int64_t cell = p.inner * int64_t(sizeof(Element)), rows = axes[0].outputs * axes[1].outputs;
        const int64_t elements = axes[0].length * axes[1].length * axes[last].length;
        row = axes[last].outputs;
        piece = row * cell <= (1 << 15) ? row : larger(1, (1 << 14) / cell);
        pieces = ceil_div(row, piece);
        items = planes * rows * pieces;
        together = larger(1, (1 << 17) / (piece * cell));
        in_place = lies_dense(p.out, &Axis::outputs, last);
        dense = pieces == 1 && lies_dense(p.out, &Axis::outputs, 0) &&
                (p.outer_rank == 0 || (p.outer_rank == 1 && p.out.outer[0] == rows * row * p.inner));
        keeps = pieces == 1 && factors.empty() && elements * p.inner <= most_kept && lies_dense(p.x, &Axis::length, 0);
        pattern_end = pattern.begin + axes[last].length / pattern.elements * pattern.outputs;
        if (keeps) most_elements = elements;
        else if (pattern.fits())
            most_elements = smaller(axes[last].length, (piece / pattern.outputs + 2) * pattern.elements);
        else
            for (int64_t lo = 0; lo < row; lo += piece) {
                const Range at = elements_of(lo, smaller(lo + piece, row));
                most_elements = larger(most_elements, at.end - at.begin);
            }
    }

    // The elements that outputs lo to hi of a row hold.
    Range elements_of(int64_t lo, int64_t hi) const {
        const int64_t n = p.axes[last].length;
        if (pattern.fits()) {
            auto periods = [&](int64_t i) { return larger(floor_div(i - pattern.begin, pattern.outputs), -1); };
            const int64_t begin = smaller(larger(periods(lo), 0) * pattern.elements, n);
            return {begin, larger(smaller((periods(hi - 1) + 1) * pattern.elements, n), begin)};
        }
        Range at{n, 0};
        for (const Run *run = run_at(lo); run < runs.data() + runs.size() && run->begin < hi; run++)
            if (run->element >= 0) at = {smaller(at.begin, run->element), larger(at.end, run->element + 1)};
        return at.begin < at.end ? at : Range{0, 0};
    }
    const Run *run_at(int64_t output) const {
        return &*std::upper_bound(runs.begin(), runs.end(), output, [](int64_t i, const Run &r) { return i < r.end; });
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Pieces of work

    bool unit(int64_t unit) const {
        Memory m;
        if (!take_scratch([&](Arena &arena) { plan(arena, m); })) return false;
        const int64_t across = p.axes[1].outputs, down = p.axes[0].outputs, rest = unit * together / pieces;
        Item at{unit * together % pieces, rest % across, rest / across % down, rest / across / down};
        for (int64_t left = smaller(together, items - unit * together); left > 0; left--) {
            write(at, left, m);
            if (++at.part < pieces) continue;
            at.part = 0;
            if (++at.k < across) continue;
            at.k = 0;
            if (++at.i < down) continue;
            at.i = 0, at.plane++;
        }
        return true;
    }

    void plan(Arena &arena, Memory &m) const {
        const int64_t n = most_elements * p.inner + lanes<Element>;
        m.packed = arena.take<Element>(n);
        m.quotients = arena.take<Element>(n);
        m.result = arena.take<Element>(in_place ? 0 : piece * p.inner + lanes<Element>);
    }

    // The first of `left` items that follow each other.
    void write(const Item &at, int64_t left, Memory &m) const {
        const int64_t from = at.part * piece, past = smaller(from + piece, row), n = (past - from) * p.inner;
        Element *to = (Element *)p.out.data + outer_offset(p, p.out, at.plane) + at.i * p.out.axis[0] +
                      at.k * p.out.axis[1] + from * p.out.axis[last];
        Element *result = in_place ? to : m.result;
        const int64_t i = held[0][at.i], k = held[1][at.k];
        if (i < 0 || k < 0) __builtin_memset(result, 0, n * sizeof(Element));
        else {
            const Range elements = keeps ? Range{0, p.axes[last].length} : elements_of(from, past);
            const Element *cells = quotients(at, i, k, elements, m);
            const bool over = !in_place || (dense && (left - 1) * n >= lanes<Element>);
            write_row((const Word *)cells, elements.begin, from, past, (Word *)result, over);
        }
        if (!in_place) unpack_row(result, to, past - from);
    }

    // Elements of row (i, k) of those that a plane holds, divided.
    const Element *quotients(const Item &at, int64_t i, int64_t k, Range elements, Memory &m) const {
        const int64_t place = i * p.axes[1].length + k;
        const bool known = m.plane == at.plane && (keeps || (m.place == place && m.part == at.part));
        if (!known) {
            m.plane = at.plane, m.place = place, m.part = at.part;
            const Element *in = (const Element *)p.x.data + outer_offset(p, p.x, at.plane);
            if (keeps) divide(in, most_elements * p.inner, m.quotients);
            else divide_row(in + i * p.x.axis[0] + k * p.x.axis[1], i, k, elements, m);
        }
        return m.quotients + (keeps ? place * p.axes[last].length * p.inner : 0);
    }
    void divide_row(const Element *from, int64_t i, int64_t k, Range elements, Memory &m) const {
        const int64_t n = elements.end - elements.begin, step = p.x.axis[last];
        from += elements.begin * step;
        if ((n > 1 && step != p.inner) || (p.inner > 1 && p.x.inner != 1)) {
            pack(from, {{1, 1, n, p.inner}, {0, 0, step, p.x.inner}}, m.packed);
            from = m.packed;
        }
        if (factors.empty()) return divide(from, n * p.inner, m.quotients);
        const A down = p.axes[0].scales ? A(p.axes[0].scales[i]) : A(1);
        const A across = p.axes[1].scales ? A(p.axes[1].scales[k]) : A(1);
        const A *along = factors.data() + elements.begin * p.inner;
        each(from, n * p.inner, m.quotients,
             [&](auto v, int64_t c) { return v * down * across * load<Vec<A, N>>(along + c) + 0; });
    }
    // 0 + x makes 0 of −0, as in other sums.
    void divide(const Element *from, int64_t n, Element *to) const {
        each(from, n, to, [&](auto v, int64_t) { return divisor(v + 0); });
    }
    template <class F> static void each(const Element *from, int64_t n, Element *to, F f) {
        using E = Vec<Element, N>;
        each_vector(n, N, [&](int64_t i, int64_t m) {
            const E e = m == N ? load<E>(from + i) : load<E>(from + i, m);
            store(to + i, narrow<T, A, N>(f(widen<A, T, N>(e), i)));
        });
    }

    // Outputs lo to hi of a row, from the cells of elements `first` and on.
    void write_row(const Word *cells, int64_t first, int64_t lo, int64_t hi, Word *to, bool over) const {
        const int64_t cell = p.inner * words;
        auto zeros = [&](int64_t n) {
            if (n > 0) __builtin_memset(to, 0, n * cell * sizeof(Word));
            to += n * cell;
        };
        if (pattern.fits()) {
            const int64_t begin = smaller(larger(pattern.begin, lo), hi), end = smaller(larger(pattern_end, begin), hi);
            const int64_t passed = first == 0 ? 0 : first / pattern.elements * pattern.outputs;
            zeros(begin - lo);
            pattern.write(cells, (begin - pattern.begin - passed) * cell, (end - begin) * cell, to, over && end == hi);
            to += (end - begin) * cell;
            zeros(hi - end);
        } else
            for (const Run *run = run_at(lo); lo < hi; lo = run++->end) {
                const int64_t n = smaller(run->end, hi) - lo;
                if (run->element < 0) {
                    zeros(n);
                    continue;
                }
                repeat(cells + (run->element - first) * cell, cell, n * cell, to);
                to += n * cell;
            }
    }

    // Outputs without gaps between them, to an array that has some.
    __attribute__((cold)) void unpack_row(const Element *from, Element *to, int64_t n) const {
        unpack(from, {{1, 1, n, p.inner}, {0, 0, p.out.axis[last], p.out.inner}}, to);
    }
};

}  // namespace anypool::ANYPOOL_ISA
