// Sorting and selecting in as many windows at once as vectors have lanes.
#pragma once
#include "core/networks.h"
#include "windowed/keys.h"

namespace anypool::ANYPOOL_ISA {

template <class V> __attribute__((always_inline)) inline void exchange(V &low, V &high) {
    const V a = low, b = high;
    low = b < a ? b : a;
    high = b < a ? a : b;
}

// A network that is known when this is compiled: its elements stay in registers.
template <int n, uint64_t wanted> struct Fixed {
    static constexpr Network steps = network(n, wanted);
    template <int i, class V> __attribute__((always_inline)) static void step(V *v) {
        constexpr Exchange e = steps.exchanges[i];
        const V a = v[e.low], b = v[e.high];
        if constexpr (e.keep & 1) v[e.low] = b < a ? b : a;
        if constexpr (e.keep & 2) v[e.high] = b < a ? a : b;
    }
    template <class V, int... i> __attribute__((always_inline)) static void run(V *v, std::integer_sequence<int, i...>) {
        (step<i>(v), ...);
    }
    template <class V> __attribute__((always_inline)) static void run(V *v) { run(v, Indices<steps.count>{}); }
};

template <class V> inline void run_network(const Network &network, V *v) {
    for (int i = 0; i < network.count; i++) {
        const Exchange e = network.exchanges[i];
        const V a = v[e.low], b = v[e.high];
        if (e.keep & 1) v[e.low] = b < a ? b : a;
        if (e.keep & 2) v[e.high] = b < a ? a : b;
    }
}

// Any number of vectors.
template <class V> __attribute__((noinline)) void sort(V *v, int64_t n) {
    each_comparison(n, [&](int64_t low, int64_t high) { exchange(v[low], v[high]); });
}

// The elements at places of windows too large for a network, found bit by bit: a key is below the one at place r if at most
// r elements are less. Keys of `bits` bits; counts are unsigned numbers of a lane's size.
template <class K> struct Bisection {
    static constexpr int N = lanes<K>;
    using V = Vec<K, N>;
    using U = UnsignedOf<K>;
    using Count = Vec<U, N>;

    // f(g) calls g(keys) for all elements of N windows.
    template <class Each> static V at(Each each, Count place, int bits) {
        V found = broadcast<V>(K(-1)) << K(bits - 1);  // the least key
        for (int bit = bits - 1; bit >= 0; bit--) {
            // Of the highest bit, which is a sign, the step is from the least key to 0.
            const V next = (V)((Count)found + U(U(1) << bit));
            Count less{};
            each([&](V v) { less -= (Count)(v < next); });
            found = less <= place ? next : found;
        }
        return found;
    }
    // The next element in order, behind place r where `found` stands.
    template <class Each> static V behind(Each each, V found, Count place) {
        Count upto{};
        V next = broadcast<V>(greatest<K>);
        each([&](V v) {
            const auto is_more = v > found;
            upto += Count{} + U(1) + (Count)is_more;
            const V more = is_more ? v : broadcast<V>(greatest<K>);
            next = more < next ? more : next;
        });
        return upto > place + U(1) ? found : next;
    }
};

}  // namespace anypool::ANYPOOL_ISA
