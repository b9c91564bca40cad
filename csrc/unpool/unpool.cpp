#include "unpool/unpool.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "runtime/threads.h"

namespace anypool {
namespace {

constexpr int64_t line = 64;            // bytes of a cache line
constexpr int64_t unit_bytes = 1 << 17;  // of outputs in a unit of work, where rows are shorter

// What a unit works on: whole rows, or where rows are few a block of the inner axis of one row.
struct Units {
    const Unpooling &p;
    int64_t rows_each, block, blocks, count;
    mutable std::atomic<bool> out_of_range{false};

    explicit Units(const Unpooling &problem) : p(problem), block(p.inner), blocks(1) {
        const int64_t row_bytes = std::max<int64_t>(p.outputs * p.inner * p.bytes, 1);
        rows_each = std::max<int64_t>(unit_bytes / row_bytes, 1);
        if (p.rows < 4 * p.threads && p.inner * p.bytes >= 2 * line) {
            block = std::max<int64_t>(line / p.bytes, p.inner / (4 * p.threads) * p.bytes / line * line / p.bytes);
            blocks = (p.inner + block - 1) / block;
            rows_each = 1;
        }
        count = (p.rows + rows_each - 1) / rows_each * blocks;
    }

    // body(from, at, to, first, last) for the rows of a unit and its part of the inner axis; whether all indices that it
    // saw were in range. A row of `from` has `given` positions.
    template <class T, class Body> void each(int64_t unit, int64_t given, int64_t positions, const Body &body) const {
        const int64_t first = unit % blocks * block, last = std::min(first + block, p.inner);
        const int64_t row = unit / blocks * rows_each, end = std::min(row + rows_each, p.rows);
        for (int64_t r = row; r < end; r++) {
            const int64_t *at = p.indices + r * p.sources * p.inner;
            if (!body((const T *)p.from + r * given * p.inner, at, (T *)p.to + r * positions * p.inner, first, last))
                out_of_range = true;
        }
    }
};

template <class T> bool scatter(const void *context, int64_t unit) {
    const auto &units = *static_cast<const Units *>(context);
    const Unpooling &p = units.p;
    units.each<T>(unit, p.sources, p.outputs, [&](const T *from, const int64_t *at, T *to, int64_t first, int64_t last) {
        if (last - first == p.inner) std::memset(to, 0, size_t(p.outputs * p.inner) * sizeof(T));
        else
            for (int64_t i = 0; i < p.outputs; i++) std::memset(to + i * p.inner + first, 0, (last - first) * sizeof(T));
        bool inside = true;
        for (int64_t s = 0; s < p.sources; s++)
            for (int64_t c = first; c < last; c++) {
                const int64_t k = s * p.inner + c, place = at[k];
                if (uint64_t(place) < uint64_t(p.outputs)) to[place * p.inner + c] = from[k];
                else inside = false;
            }
        return inside;
    });
    return true;
}

template <class T> bool gather(const void *context, int64_t unit) {
    const auto &units = *static_cast<const Units *>(context);
    const Unpooling &p = units.p;
    const size_t bytes = size_t(p.outputs * units.block + 7) / 8;
    auto *taken = (uint8_t *)scratch(bytes);
    if (!taken) return false;
    units.each<T>(unit, p.outputs, p.sources, [&](const T *from, const int64_t *at, T *to, int64_t first, int64_t last) {
        // From the last source to the first: who comes to a position that is taken was overwritten there.
        std::memset(taken, 0, bytes);
        bool inside = true;
        for (int64_t s = p.sources; s-- > 0;)
            for (int64_t c = first; c < last; c++) {
                const int64_t k = s * p.inner + c, place = at[k];
                if (uint64_t(place) >= uint64_t(p.outputs)) {
                    inside = false;
                    continue;
                }
                const int64_t bit = place * units.block + c - first;
                const uint8_t mask = uint8_t(1 << (bit & 7));
                uint8_t &byte = taken[bit >> 3];
                to[k] = byte & mask ? T(0) : from[place * p.inner + c];
                byte |= mask;
            }
        return inside;
    });
    return true;
}

template <template <class> class Pass> Unpooled run(const Unpooling &p) {
    const Units units(p);
    const auto task = p.bytes == 1   ? Pass<uint8_t>::task
                      : p.bytes == 2 ? Pass<uint16_t>::task
                      : p.bytes == 4 ? Pass<uint32_t>::task
                                     : Pass<uint64_t>::task;
    if (!run_units(units.count, p.threads, task, &units)) return Unpooled::no_memory;
    return units.out_of_range ? Unpooled::out_of_range : Unpooled::done;
}

template <class T> struct Scatter {
    static constexpr auto task = scatter<T>;
};
template <class T> struct Gather {
    static constexpr auto task = gather<T>;
};

}  // namespace

Unpooled unpool(const Unpooling &problem) { return run<Scatter>(problem); }
Unpooled unpool_gradient(const Unpooling &problem) { return run<Gather>(problem); }

}  // namespace anypool
