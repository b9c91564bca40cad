// Axes that lie in memory as if they were one become one: a window over whole planes is a run of elements, and planes
// that fall into tiles are one tall plane.
#pragma once
#include <initializer_list>

#include "core/windows.h"

namespace anypool::ANYPOOL_ISA {

// Whether one window holds all elements of an axis.
inline bool takes_all(const Axis &axis) {
    return axis.kind == Windows::sliding && axis.outputs == 1 && axis.dilation == 1 && axis.pad_before == 0 &&
           axis.kernel_size == axis.length;
}

// Whether what is added are floats, over so few elements along both axes that every kernel adds them in the same order,
// axis after axis: a part of an array must not merge what the array does not.
inline bool adds_in_order(const Problem &p, const Axis &axis, const Axis &behind) {
    const bool floats = p.accumulator == Type::f32 || p.accumulator == Type::f64;
    const bool adds = p.operation == Operation::sum || p.operation == Operation::average;
    auto few = [](const Axis &each) { return 1 < each.kernel_size && each.kernel_size <= 3; };
    return floats && adds && few(axis) && few(behind);
}

// Pooled axes a − 1 and a, if a window holds all of both.
inline void merge_pooled(Problem &p, int a) {
    Axis &axis = p.axes[a - 1];
    const Axis behind = p.axes[a];
    const bool follow = axis.length == 1 || behind.length == 1 || p.x.axis[a - 1] == p.x.axis[a] * behind.length;
    const bool ordered = !p.offset_bytes || axis.weight == behind.weight * behind.length;
    if (!takes_all(axis) || !takes_all(behind) || !follow || !ordered || adds_in_order(p, axis, behind)) return;
    axis.length *= behind.length;
    axis.kernel_size = axis.length;
    axis.weight = behind.weight;
    if (behind.length > 1) p.x.axis[a - 1] = p.x.axis[a];
    p.rank--;
    for (; a < p.rank; a++) {
        p.axes[a] = p.axes[a + 1];
        for (Array *array : {&p.x, &p.out, &p.offsets}) array->axis[a] = array->axis[a + 1];
    }
}

// The planes that follow each other along the innermost outer axis, if their rows fill vectors.
inline void merge_planes(Problem &p, int64_t vector) {
    Axis &axis = p.axes[0];
    const Axis &last = p.axes[p.rank - 1];
    const int d = p.outer_rank - 1;
    if (d < 0 || !lies_in_tiles(axis) || axis.outputs * axis.stride != axis.length) return;
    if (p.rank > 1 && !(lies_in_tiles(last) && last.length >= vector)) return;
    int64_t plane = 1;
    for (int a = p.rank - 1; a >= 0; a--) {
        if (p.x.axis[a] != plane && p.axes[a].length > 1) return;
        plane *= p.axes[a].length;
    }
    if (plane > 1 << 16 || p.x.outer[d] != plane) return;
    if (axis.length == 1) p.x.axis[0] = plane;
    for (Array *array : {&p.out, &p.offsets}) {
        if (axis.outputs == 1) array->axis[0] = array->outer[d];
        if (array->outer[d] != array->axis[0] * axis.outputs) return;
    }
    axis.length *= p.outer_shape[d];
    axis.outputs *= p.outer_shape[d];
    p.outer_rank--;
}

inline void merge_axes(Problem &p, int64_t vector) {
    if (p.inner != 1 || (p.operation == Operation::average && !p.divisor)) return;
    for (int a = 0; a < p.rank; a++) {
        Axis &axis = p.axes[a];
        if (axis.scales) return;
        axis.counts = nullptr;
    }
    for (int a = p.rank - 1; a > 0; a--) merge_pooled(p, a);
    for (int a = 0; a < p.rank; a++)
        if (takes_all(p.axes[a]) && p.axes[a].length > 0) p.axes[a].stride = p.axes[a].length;
    merge_planes(p, vector);
}

}  // namespace anypool::ANYPOOL_ISA
