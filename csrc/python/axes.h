// The windows along an axis as Python passes them, and as the gradient of a sum sees them.
#pragma once
#include <nanobind/nanobind.h>

#include <numeric>
#include <vector>

#include "core/windows.h"
#include "python/view.h"

namespace anypool {
namespace {

// An axis and the memory that it points to.
struct AxisSpec {
    Axis axis;
    std::vector<Window> table;
    std::vector<int64_t> counts;
    std::vector<double> scales;
};

// The windows that each position lies in, as the windows of an axis of outputs.
AxisSpec transposed(const AxisSpec &from) {
    const Axis &a = from.axis;
    AxisSpec to;
    to.axis = a;
    to.axis.length = a.outputs;
    to.axis.outputs = a.length;
    to.axis.counts = nullptr;
    if (a.kind == Windows::sliding && a.dilation == 1) {
        if (a.stride == 1) to.axis.pad_before = a.kernel_size - 1 - a.pad_before;
        else to.axis.kind = Windows::transposed;
        return to;
    }
    to.axis.kind = Windows::table;
    to.axis.dilation = a.kind == Windows::sliding ? a.dilation / std::gcd(a.stride, a.dilation) : 1;
    to.table.assign(a.length, {0, 0, 0});
    for (int64_t i = 0; i < a.outputs; i++) {
        const Window w = plain::window(a, i);
        for (int64_t j = 0; j < w.count; j++) {
            Window &holding = to.table[w.begin + j * a.dilation];
            if (holding.count++ == 0) holding.begin = i;
            else if (i != holding.begin + (holding.count - 1) * to.axis.dilation)
                fail(PyExc_ValueError, "there is no kernel for the gradient of windows that do not ascend");
        }
    }
    to.axis.table = to.table.data();
    return to;
}

}  // namespace
}  // namespace anypool
