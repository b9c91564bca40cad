// From arrays of any strides to what a kernel walks: outer axes, pooled axes in memory order, inner elements.
#pragma once
#include <cstdlib>
#include <initializer_list>
#include <utility>
#include <vector>

#include "core/problem.h"

namespace anypool {

// The axes from the largest stride to the smallest; axes whose strides say nothing (length 1, broadcast) stay where
// they are.
inline std::vector<int> memory_order(const std::vector<int64_t> &shape, const std::vector<int64_t> &strides) {
    std::vector<int> order(shape.size());
    for (size_t i = 0; i < order.size(); i++) order[i] = int(i);
    auto says = [&](int a) { return shape[a] > 1 && strides[a] != 0; };
    for (size_t i = 1; i < order.size(); i++) {
        size_t to = i;
        for (size_t k = i; k-- > 0;) {
            if (!says(order[k]) || !says(order[i])) continue;
            if (std::llabs(strides[order[k]]) >= std::llabs(strides[order[i]])) break;
            to = k;
        }
        const int moved = order[i];
        for (size_t k = i; k > to; k--) order[k] = order[k - 1];
        order[to] = moved;
    }
    return order;
}

// Strides in elements of a contiguous array whose axes lie in memory in this order.
inline std::vector<int64_t> strides_in_order(const std::vector<int64_t> &shape, const std::vector<int> &order) {
    std::vector<int64_t> strides(shape.size());
    int64_t stride = 1;
    for (size_t i = order.size(); i-- > 0;) {
        strides[order[i]] = stride;
        stride *= shape[order[i]] ? shape[order[i]] : 1;
    }
    return strides;
}

using Arrays = std::initializer_list<std::pair<Array *, const std::vector<int64_t> *>>;

// Fills the geometry of a problem. `shape` is the input's; `axes` belong to the axes `pooled`.
inline void arrange(Problem &p, const std::vector<int64_t> &shape, const std::vector<int64_t> &pooled, const Axis *axes,
                    const std::vector<int> &order, Arrays arrays) {
    auto number = [&](int axis) {
        for (size_t k = 0; k < pooled.size(); k++)
            if (pooled[k] == axis) return int(k);
        return -1;
    };
    p.rank = 0;
    p.outer_rank = 0;
    p.inner = 1;
    for (auto [array, strides] : arrays) array->inner = 1;
    int last = -1;  // the last pooled axis in memory
    for (size_t i = 0; i < order.size(); i++)
        if (number(order[i]) >= 0) last = int(i);
    // Inner: unpooled axes behind it that lie side by side in every array.
    size_t behind = order.size();
    while (int(behind) - 1 > last) {
        const int axis = order[behind - 1];
        bool fits = true;
        if (shape[axis] != 1 && p.inner > 1)
            for (auto [array, strides] : arrays) fits = fits && (*strides)[axis] == array->inner * p.inner;
        if (!fits) break;
        if (shape[axis] != 1) {
            if (p.inner == 1)
                for (auto [array, strides] : arrays) array->inner = (*strides)[axis];
            p.inner *= shape[axis];
        }
        behind--;
    }
    for (size_t i = 0; i < order.size(); i++) {
        const int axis = order[i], k = number(axis);
        if (k >= 0) {
            for (auto [array, strides] : arrays) array->axis[p.rank] = (*strides)[axis];
            p.axes[p.rank++] = axes[k];
        } else if (i < behind && shape[axis] != 1) {
            bool merges = p.outer_rank > 0;
            for (auto [array, strides] : arrays)
                merges = merges && array->outer[p.outer_rank - 1] == (*strides)[axis] * shape[axis];
            const int d = merges ? p.outer_rank - 1 : p.outer_rank++;
            p.outer_shape[d] = merges ? p.outer_shape[d] * shape[axis] : shape[axis];
            for (auto [array, strides] : arrays) array->outer[d] = (*strides)[axis];
        }
    }
}

}  // namespace anypool
