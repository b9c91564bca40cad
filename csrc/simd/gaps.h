// Blocks of elements with gaps between them (views), to memory without gaps and back.
#pragma once
#include "simd/simd.h"

namespace anypool::ANYPOOL_ISA {

constexpr int block_axes = most_pooled + 1;

// Where the elements of a block lie: strides in elements, the last axis the innermost.
struct Block {
    int64_t length[block_axes], stride[block_axes];

    bool is_dense() const {
        int64_t below = 1;
        for (int a = block_axes - 1; a >= 0; below *= length[a--])
            if (length[a] > 1 && stride[a] != below) return false;
        return true;
    }
};

// f(first element, how many, how far apart) for each line of a block, in row-major order. Axes that continue each
// other are one.
template <class E, class F> inline void each_line(E *x, const Block &block, F f) {
    int64_t n[block_axes] = {1, 1, 1, 1}, stride[block_axes] = {}, last = block_axes;
    for (int a = block_axes - 1; a >= 0; a--) {
        if (block.length[a] == 1) continue;
        if (last < block_axes && block.stride[a] == stride[last] * n[last]) n[last] *= block.length[a];
        else n[--last] = block.length[a], stride[last] = block.stride[a];
    }
    static_assert(block_axes == 4);
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t k = 0; k < n[1]; k++)
            for (int64_t l = 0; l < n[2]; l++)
                f(x + i * stride[0] + k * stride[1] + l * stride[2], n[3], n[3] == 1 ? 1 : stride[3]);
}

// A line of n elements, `from_step` and `to_step` apart, one of which is 1.
template <class E>
__attribute__((always_inline)) inline void copy_line(const E *from, int64_t from_step, E *to, int64_t to_step,
                                                     int64_t n) {
    if (from_step == 1 && to_step == 1) {
        if (n * int64_t(sizeof(E)) > 32) return (void)__builtin_memcpy(to, from, n * sizeof(E));
        for (int64_t i = 0; i < n; i++) to[i] = from[i];
        return;
    }
    int64_t i = 0;
    for (; i + 4 <= n; i += 4, from += 4 * from_step, to += 4 * to_step) {
        const E a = from[0], b = from[from_step], c = from[2 * from_step], d = from[3 * from_step];
        to[0] = a, to[to_step] = b, to[2 * to_step] = c, to[3 * to_step] = d;
    }
    for (; i < n; i++, from += from_step, to += to_step) *to = *from;
}

template <class E> __attribute__((noinline)) void pack(const E *x, const Block &block, E *to) {
    each_line(x, block, [&](const E *line, int64_t n, int64_t step) {
        copy_line(line, step, to, 1, n);
        to += n;
    });
}
template <class E> __attribute__((noinline)) void unpack(const E *from, const Block &block, E *x) {
    each_line(x, block, [&](E *line, int64_t n, int64_t step) {
        copy_line(from, 1, line, step, n);
        from += n;
    });
}

// f(an element of so many bytes), where only their number matters.
template <class F> __attribute__((always_inline)) inline void by_size(int64_t bytes, F f) {
    if (bytes == 1) f(uint8_t{});
    else if (bytes == 2) f(uint16_t{});
    else if (bytes == 4) f(uint32_t{});
    else f(uint64_t{});
}

}  // namespace anypool::ANYPOOL_ISA
