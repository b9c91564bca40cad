// Unpooling: values go back to the positions that they were selected at, among zeros.
#pragma once
#include <cstdint>

namespace anypool {

// Arrays of rows × sources × inner and of rows × outputs × inner elements, dense. Of a row's equal positions the last
// source's value stays.
struct Unpooling {
    int64_t rows, sources, outputs, inner;
    int bytes;  // of an element: 1, 2, 4 or 8
    const int64_t *indices;
    const char *from;
    char *to;
    int threads;
};

enum class Unpooled { done, out_of_range, no_memory };

// `from` holds the sources, `to` gets the outputs. Indices out of range are passed over and reported.
Unpooled unpool(const Unpooling &problem);

// The gradient: `from` holds the outputs', `to` gets the sources'; zero where another source's value stayed.
Unpooled unpool_gradient(const Unpooling &problem);

}  // namespace anypool
