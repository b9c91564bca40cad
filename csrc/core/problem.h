// Kernel arguments: arrays as pointers and strides, windows as arithmetic. Plain data, shared by all instruction
// sets.
#pragma once
#include <cstddef>
#include <cstdint>

// The namespace of what is compiled once per instruction set; the build defines it.
#ifndef ANYPOOL_ISA
#define ANYPOOL_ISA plain
#endif

namespace anypool {

enum class Type { i8, u8, i16, u16, i32, u32, i64, u64, f16, bf16, f32, f64 };
enum class Operation { max, min, sum, average, order, mode, variance, power, norm, gem, logsumexp, soft };

constexpr int most_pooled = 3;
constexpr int most_dimensions = 64;

// Elements begin, begin + dilation, … of an axis, `count` of them, all inside the array; the first is element `first` of
// the unclipped window.
struct Window {
    int64_t begin, count, first;
};

// The windows along one axis. Sliding ones start at i·stride − pad_before. Transposed ones are the windows of a sliding
// axis (of this kernel size, stride and padding, dilation 1) that position i lies in. Any others are in a table.
enum class Windows { sliding, transposed, table };
struct Axis {
    Windows kind = Windows::sliding;
    int64_t length = 1, outputs = 1, kernel_size = 1, dilation = 1;
    int64_t stride = 1, pad_before = 0;
    const Window *table = nullptr;
    const int64_t *counts = nullptr;  // elements that an average counts, per output; null: one
    const double *scales = nullptr;   // factors of the elements, per position; null: one
    int64_t weight = 1;               // what one element along this axis adds to an offset
};

// An array as the kernel walks it: strides in elements, over outer axes, pooled axes and inner elements.
struct Array {
    char *data = nullptr;
    int64_t outer[most_dimensions], axis[most_pooled], inner;
};

// What stands at places `first` and `last` of a sorted window: (1 − t)·x₍first₎ + t·x₍last₎.
struct Place {
    int64_t first, last;
    double t;
};
struct Network;

struct Problem {
    Operation operation;
    Type type, accumulator, result;
    int rank;        // pooled axes, in memory order
    int outer_rank;  // axes that are not pooled and lie outside of one that is
    int64_t outer_shape[most_dimensions];
    Axis axes[most_pooled];
    int64_t inner;  // elements behind the last pooled axis
    Array x, out, offsets;  // offsets are a mask where elements are left out
    int offset_bytes = 0;  // 0: no offsets wanted
    int64_t window = 1;    // elements of the largest window, where offsets are wanted
    int64_t divisor = 0;   // divides every sum; 0: the product of the axes' counts does
    // Of order statistics, for every number n of elements: a place, and networks 2n that finds it and 2n + 1 that sorts.
    const Place *places = nullptr;
    const Network *const *networks = nullptr;
    double numbers[2] = {};       // parameters of the operation; how many elements a masked window must have, and what
                                  // one with fewer gets
    bool omits_nan = false;       // whether NaN counts as no element
    bool *gives_up = nullptr;     // set where elements are such that the kernel's arithmetic is not good enough
    int threads = 1;
};

}  // namespace anypool
