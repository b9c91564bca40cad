// Unpooling as Python calls it: arrays checked, the kernel run.
#pragma once
#include "core/layout.h"
#include "python/view.h"
#include "runtime/threads.h"
#include "unpool/unpool.h"

namespace anypool {
namespace {

// Unpooling, or its gradient, between arrays of rows × sources × inner and of rows × outputs × inner elements; whether
// all indices were in range.
bool run_unpooling(Unpooled (*kernel)(const Unpooling &), nb::handle given, nb::handle indices, nb::handle out,
                   bool is_gradient) {
    const View from = view("x", given), at = view("indices", indices), to = view("out", out, true);
    if (from.shape.size() != 3 || to.shape.size() != 3 || at.shape.size() != 3)
        fail(PyExc_ValueError, "unpooling takes arrays of three axes");
    const NamedType &type = named(from.dtype);
    const View &sources = is_gradient ? to : from, &outputs = is_gradient ? from : to;
    check("indices", at, sources.shape, "int64", false);
    check("out", to, {at.shape[0], is_gradient ? at.shape[1] : to.shape[1], at.shape[2]}, type.name, true);
    if (outputs.shape[0] != at.shape[0] || outputs.shape[2] != at.shape[2])
        fail(PyExc_ValueError, "outputs must have as many rows as indices, got " + text(outputs.shape));
    for (const View *v : {&from, &at, &to})
        if (has_elements(v->shape) && v->strides != strides_in_order(v->shape, {0, 1, 2}))
            fail(PyExc_ValueError, "unpooling takes arrays that are contiguous");
    check_disjoint("out", to, type.bytes, "x", from, type.bytes);
    check_disjoint("out", to, type.bytes, "indices", at, 8);
    const Unpooling problem{at.shape[0], at.shape[1],  outputs.shape[1], at.shape[2], type.bytes,
                            (const int64_t *)at.data, from.data,         to.data,     threads()};
    Unpooled result;
    {
        nb::gil_scoped_release release;
        result = kernel(problem);
    }
    if (PyErr_Occurred()) throw nb::python_error();
    if (result == Unpooled::no_memory) fail(PyExc_MemoryError, "no memory for what an unpooling keeps");
    return result == Unpooled::done;
}

}  // namespace
}  // namespace anypool
