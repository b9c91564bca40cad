// One window over the whole of few, large places: reduced in blocks, always the same, whose results are reduced in
// turn, so that there is work for many threads and their number shows in no bit.
#pragma once
#include "forward/forward.h"

namespace anypool::ANYPOOL_ISA {

constexpr int64_t whole_blocks = 16;

// Whether a problem is of this kind.
inline bool is_whole(const Problem &p) {
    const Axis &axis = p.axes[0];
    int64_t outer = 1, below = p.inner;
    for (int d = 0; d < p.outer_rank; d++) outer *= p.outer_shape[d];
    for (int a = 1; a < p.rank; a++) below *= p.axes[a].length;
    const bool all = axis.kind == Windows::sliding && axis.outputs == 1 && axis.dilation == 1 && axis.pad_before == 0;
    return all && axis.kernel_size == axis.length && axis.length >= 2 * whole_blocks && outer > 0 && outer < whole_blocks &&
           axis.length * below >= 1 << 20;
}

template <class R, class Reader>
bool reduce_whole(const Problem &p, Conversion<typename Reader::Element> conversion) {
    // Sums of whole numbers wait as the widest ones.
    using Lane = Choose<is_float<typename R::Lane>, typename R::Lane, int64_t>;
    using Partial = Choose<R::idempotent, typename Reader::Element, Lane>;
    using PartialReducer = Choose<R::idempotent, R, Total<Lane>>;
    using PartialReader = Choose<R::idempotent, Reader, Widening<Lane, Lane>>;
    Problem first = p, second = p;
    Axis &axis = first.axes[0];
    axis.kernel_size = axis.stride = ceil_div(axis.length, whole_blocks);
    axis.outputs = ceil_div(axis.length, axis.stride);
    axis.counts = nullptr;
    second.axes[0].length = second.axes[0].kernel_size = axis.outputs;
    first.out.inner = 1;
    int64_t n = p.inner;
    for (int a = p.rank - 1; a >= 0; a--) {
        first.out.axis[a] = n;
        n *= first.axes[a].outputs;
        if (a == 0) continue;
        Axis &one = second.axes[a];
        one.kind = Windows::sliding, one.table = nullptr;
        one.length = one.outputs, one.kernel_size = one.dilation = one.stride = 1, one.pad_before = 0;
    }
    for (int d = p.outer_rank - 1; d >= 0; d--) {
        first.out.outer[d] = n;
        n *= p.outer_shape[d];
    }
    if (!R::idempotent) {
        first.operation = Operation::sum;
        first.result = second.type = second.accumulator = is_float<Lane> ? p.accumulator : Type::i64;
        first.divisor = 0;
    }
    if (n == 0) return true;
    Partial *partial = (Partial *)__builtin_malloc(n * sizeof(Partial));
    if (!partial) return false;
    first.out.data = (char *)partial;
    second.x = first.out;
    const bool enough = Forward<R, Reader>(first, Reader(first), conversion).run() &&
                        Forward<PartialReducer, PartialReader>(second, PartialReader(second)).run();
    __builtin_free(partial);
    return enough;
}

}  // namespace anypool::ANYPOOL_ISA
