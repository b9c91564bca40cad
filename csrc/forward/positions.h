// Offsets within windows as flat positions within the pooled axes.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "core/problem.h"
#include "runtime/threads.h"

namespace anypool {

// Every position is a sum: where the window starts along each axis, and how far in its element is.
class Positions {
  public:
    // Strides of both arrays in elements, over the axes of the outputs in the order in which to walk them.
    std::vector<int64_t> shape, from_strides, to_strides;
    std::vector<std::vector<int64_t>> starts;  // what each place along an axis adds; zeros where it is not pooled

    // The pooled axes and what one element along each adds to a position.
    Positions(std::vector<Axis> axes, std::vector<int64_t> weights)
        : axes_(std::move(axes)), weights_(std::move(weights)) {
        for (size_t offset = 0; offset < near_.size(); offset++) near_[offset] = computed(uint32_t(offset));
    }

    // Where the windows of a pooled axis start, before they are clipped to the array.
    std::vector<int64_t> window_starts(size_t k) const {
        const Axis &a = axes_[k];
        std::vector<int64_t> found(a.outputs);
        for (int64_t i = 0; i < a.outputs; i++)
            found[i] = weights_[k] * (a.kind == Windows::table ? a.table[i].begin - a.table[i].first * a.dilation
                                                               : i * a.stride - a.pad_before);
        return found;
    }

    void write(const char *from, int offset_bytes, int64_t *to, int threads) {
        from_ = from, offset_bytes_ = offset_bytes, to_ = to;
        int64_t rows = 1;
        for (size_t d = 0; d + 1 < shape.size(); d++) rows *= shape[d];
        if (rows == 0 || shape.back() == 0) return;
        rows_ = rows;
        rows_each_ = at_once / shape.back() + 1;
        run_units((rows + rows_each_ - 1) / rows_each_, threads, task, this);
    }

  private:
    static constexpr int64_t at_once = 1 << 14;

    int64_t computed(uint32_t offset) const {
        int64_t sum = 0;
        for (size_t k = axes_.size(); k-- > 0;) {
            const uint32_t width = uint32_t(axes_[k].kernel_size > 0 ? axes_[k].kernel_size : 1);
            sum += int64_t(offset % width) * axes_[k].dilation * weights_[k];
            offset /= width;
        }
        return sum;
    }

    static bool task(const void *context, int64_t unit) {
        const auto &p = *static_cast<const Positions *>(context);
        const int64_t first = unit * p.rows_each_, last = first + p.rows_each_;
        for (int64_t row = first; row < (last < p.rows_ ? last : p.rows_); row++) p.write_row(row);
        return true;
    }

    void write_row(int64_t row) const {
        const size_t inner = shape.size() - 1;
        int64_t from = 0, to = 0, base = 0;
        for (size_t d = inner; d-- > 0;) {
            const int64_t i = row % shape[d];
            row /= shape[d];
            from += i * from_strides[d], to += i * to_strides[d], base += starts[d][i];
        }
        const char *at = from_ + from * offset_bytes_;
        if (offset_bytes_ == 1) write_places((const uint8_t *)at, to_ + to, base, [&](uint8_t o) { return near_[o]; });
        else if (offset_bytes_ == 2)
            write_places((const uint16_t *)at, to_ + to, base, [&](uint16_t o) { return computed(o); });
        else write_places((const uint32_t *)at, to_ + to, base, [&](uint32_t o) { return computed(o); });
    }

    template <class Offset, class Inside>
    void write_places(const Offset *from, int64_t *to, int64_t base, const Inside &inside) const {
        const int64_t n = shape.back(), step = from_strides.back(), to_step = to_strides.back();
        const int64_t *along = starts.back().data();
        for (int64_t i = 0; i < n; i++) to[i * to_step] = base + along[i] + inside(from[i * step]);
    }

    std::vector<Axis> axes_;
    std::vector<int64_t> weights_;
    std::array<int64_t, 256> near_;
    const char *from_;
    int offset_bytes_;
    int64_t *to_;
    int64_t rows_, rows_each_;
};

}  // namespace anypool
