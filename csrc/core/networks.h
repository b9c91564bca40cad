// Networks that sort: minima and maxima in a fixed order, so that they run on as many windows at once as vectors have lanes.
#pragma once
#include <cstdint>

namespace anypool {

// The lesser of two goes to `low`, the greater to `high`; `keep` says which of them anyone needs: 1, 2, or 3 for both.
struct Exchange {
    uint8_t low, high, keep = 0;
};

constexpr int longest_network = 64;

// f(low, high) for each comparison of Batcher's odd-even merge sort of n elements.
template <class F> constexpr void each_comparison(int64_t n, F f) {
    for (int64_t run = 1; run < n; run *= 2)  // sorted already, in runs of this length
        for (int64_t apart = run; apart >= 1; apart /= 2)
            for (int64_t first = apart % run; first < n - apart; first += 2 * apart)
                for (int64_t low = first; low < first + apart && low < n - apart; low++)
                    if (low / (2 * run) == (low + apart) / (2 * run)) f(low, low + apart);
}

struct Network {
    int count = 0;
    Exchange exchanges[544] = {};  // as many as 64 elements take
};

// The median of nine in 19 comparisons (Smith 1996).
constexpr Exchange median_of_nine[] = {{1, 2}, {4, 5}, {7, 8}, {0, 1}, {3, 4}, {6, 7}, {1, 2}, {4, 5}, {7, 8}, {0, 3},
                                       {5, 8}, {4, 7}, {3, 6}, {1, 4}, {2, 5}, {4, 7}, {4, 2}, {6, 4}, {4, 2}};

// What brings the elements to the places of a sorted window that `wanted` has bits for.
constexpr Network network(int n, uint64_t wanted) {
    Network all, needed;
    if (n == 9 && wanted == 1 << 4)
        for (const Exchange &e : median_of_nine) all.exchanges[all.count++] = e;
    else
        each_comparison(n, [&](int64_t low, int64_t high) {
            all.exchanges[all.count++] = {uint8_t(low), uint8_t(high), 0};
        });
    int kept = all.count;
    for (int i = all.count - 1; i >= 0; i--) {
        Exchange e = all.exchanges[i];
        const uint64_t low = uint64_t(1) << e.low, high = uint64_t(1) << e.high;
        e.keep = uint8_t((wanted & low ? 1 : 0) + (wanted & high ? 2 : 0));
        if (e.keep == 0) continue;
        wanted |= low | high;
        all.exchanges[--kept] = e;
    }
    for (int i = kept; i < all.count; i++) needed.exchanges[needed.count++] = all.exchanges[i];
    return needed;
}

}  // namespace anypool
