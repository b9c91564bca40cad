// Windows that are laid out whole: tile after tile, row after row, whatever is computed of each.
#pragma once
#include "forward/merge.h"
#include "windowed/layout.h"

namespace anypool::ANYPOOL_ISA {

// An Op has `Lane`; plan(arena, lanes) takes scratch memory for a row of so many; start(layout) is told of each tile;
// vector<IsWhole>(windows, lane) computes N lanes; finish(n, to) writes a row of n results.
template <class Op> class WindowedRun {
    using L = typename Op::Lane;
    static constexpr int N = lanes<L>;

    const Problem p;
    const Layout<L> layout;
    const Op op;
    const int64_t outer, bytes;  // of a result

  public:
    // `second`: how what else is packed of every element is made of it, or of its mask where there is one.
    WindowedRun(const Problem &given, Encoding<L> encoding, L missing, Encoding<L> second = {})
        : p(with_three_axes(merged(given), N)),
          layout(p, {&p.x, encoding, missing}, {!second.problem ? nullptr : p.offsets.data ? &p.offsets : &p.x, second, 0}),
          op(p), outer(layout.outer()), bytes(size_of(p.result)) {}

    bool run() const {
        const int64_t units = outer * layout.tiles();
        int64_t work = outer * p.inner;
        for (const Axis &axis : p.axes) work *= axis.outputs * larger(axis.kernel_size, 1);
        auto task = [](const void *me, int64_t unit) { return ((const WindowedRun *)me)->unit(unit); };
        return run_units(units, work < (1 << 14) ? 1 : p.threads, task, this);
    }

  private:
    // Pooled axes that a window takes whole are one, unless a mask lies otherwise.
    __attribute__((cold)) static Problem merged(Problem p) {
        for (int a = p.rank - 1; a > 0 && !p.offsets.data; a--) merge_pooled(p, a);
        return p;
    }

    bool unit(int64_t unit) const {
        Layout<L> mine = layout;
        Op op = this->op;
        char *line = nullptr;
        const bool enough = take_scratch([&](Arena &arena) {
            mine.plan(arena);
            op.plan(arena, mine.most_lanes() + N);
            line = arena.take<char>(mine.most_lanes() * bytes);
        });
        if (!enough) return false;
        const Tile tile = mine.tile_of(unit);
        mine.pack_tile(tile);
        op.start(mine);
        const int64_t out = outer_offset(p, p.out, tile.outer) + tile.outputs[2].begin * p.out.axis[2] +
                            tile.inner.begin * p.out.inner;
        for (int64_t i = tile.outputs[0].begin; i < tile.outputs[0].end; i++)
            for (int64_t k = tile.outputs[1].begin; k < tile.outputs[1].end; k++)
                row(mine, op, tile, mine.windows(i, k), out + i * p.out.axis[0] + k * p.out.axis[1], line);
        return true;
    }

    void row(const Layout<L> &mine, Op &op, const Tile &tile, const Windowed<L> &windows, int64_t out,
             char *line) const {
        const int64_t n = mine.count();
        for (int64_t lane = 0; lane < n; lane += N) {
            const int64_t at = n < N ? 0 : smaller(lane, n - N);
            if (mine.is_whole(at)) op.template vector<true>(windows, at);
            else op.template vector<false>(windows, at);
        }
        const int64_t places = tile.outputs[2].end - tile.outputs[2].begin, inner = tile.inner.end - tile.inner.begin;
        const bool together = (inner == 1 || p.out.inner == 1) && (places == 1 || p.out.axis[2] == inner);
        op.finish(n, together ? p.out.data + out * bytes : line);
        if (together) return;
        const Block block{{1, 1, places, inner}, {0, 0, p.out.axis[2], p.out.inner}};
        by_size(bytes, [&]<class E>(E) { unpack((const E *)line, block, (E *)p.out.data + out); });
    }
};

}  // namespace anypool::ANYPOOL_ISA
