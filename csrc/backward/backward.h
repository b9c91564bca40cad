// The gradient of a max or min: every output's gradient goes to the element that its offset names, and elements that
// several outputs chose add up.
//
// Three forms. Gathering (gather.h) asks, for every element, each window that it lies in; scattering (scatter.h)
// follows each offset; where windows lie apart, nothing adds up (tiles.h). Always a thread owns the elements it writes
// and adds in row-major order of outputs, so that the bits depend on neither threads nor layout.
#pragma once
#include "forward/forward.h"

namespace anypool::ANYPOOL_ISA {

constexpr int cube = most_pooled;

// What lies at one place of the outer axes: three pooled axes, of which those that are missing have one element, and
// inner elements. Gathering and scattering see planes without gaps; others are packed and unpacked.
template <class T, class O> class GradientPlanes {
  public:
    using Element = Stored<T>;

    struct Plane {
        const Element *grad;
        const O *offsets;
        Element *to;
    };

    const Problem &p;
    Axis axes[cube];
    int64_t in_below[cube], out_below[cube];  // elements per step of an axis, in the input and among the outputs
    int64_t in = 1, out = 1, outer = 1;       // elements of a plane, and planes
    int split;                                // the axis that is cut where there are few planes
    bool dense, side_by_side;                 // no gaps within planes; nor between them

    __attribute__((cold)) explicit GradientPlanes(const Problem &p) : p(p), split(p.rank == 1 ? cube - 1 : 0) {
        for (int a = 0; a < p.rank; a++) {
            const int to = a == p.rank - 1 ? cube - 1 : a;
            axes[to] = p.axes[a];
            stride[0][to] = p.x.axis[a], stride[1][to] = p.offsets.axis[a], stride[2][to] = p.out.axis[a];
        }
        stride[0][cube] = p.x.inner, stride[1][cube] = p.offsets.inner, stride[2][cube] = p.out.inner;
        in = out = lengths[cube] = outputs[cube] = p.inner;
        for (int a = cube - 1; a >= 0; a--) {
            in_below[a] = in, out_below[a] = out;
            in *= lengths[a] = axes[a].length;
            out *= outputs[a] = axes[a].outputs;
        }
        for (int d = 0; d < p.outer_rank; d++) outer *= p.outer_shape[d];
        grad_dense = is_dense(stride[0], outputs);
        offsets_dense = is_dense(stride[1], outputs);
        out_dense = is_dense(stride[2], lengths);
        dense = grad_dense && offsets_dense && out_dense;
        side_by_side = dense && (outer == 1 || (p.outer_rank == 1 && p.x.outer[0] == out && p.offsets.outer[0] == out &&
                                                p.out.outer[0] == in));
    }

    // Whether threads would wait for one to pack a plane.
    bool packs_alone() const { return !grad_dense && outer < p.threads && out * sizeof(Element) >= (1 << 14); }

    // The problem with all gradients packed into `to`, by all threads.
    Problem packed(Element *to) const {
        Problem q = p;
        q.x.data = (char *)to;
        q.x.inner = 1;
        for (int a = 0; a < p.rank; a++) q.x.axis[a] = out_below[a == p.rank - 1 ? cube - 1 : a];
        int64_t below = out;
        for (int d = p.outer_rank - 1; d >= 0; d--) q.x.outer[d] = below, below *= p.outer_shape[d];
        const Packing context{this, to};
        run_units(outer * outputs[0], p.threads, pack_slab, &context);
        return q;
    }

    // Scratch memory for planes that must be packed.
    void take(Arena &arena) {
        if (!grad_dense) packed_grad = arena.take<Element>(out);
        if (!offsets_dense) packed_offsets = arena.take<O>(out);
        if (!out_dense) packed_out = arena.take<Element>(in);
    }
    Plane open(int64_t o) const {
        Plane plane{(const Element *)p.x.data + outer_offset(p, p.x, o),
                    (const O *)p.offsets.data + outer_offset(p, p.offsets, o), out_dense ? at(o) : packed_out};
        if (!grad_dense) pack(plane.grad, stride[0], packed_grad), plane.grad = packed_grad;
        if (!offsets_dense) pack(plane.offsets, stride[1], packed_offsets), plane.offsets = packed_offsets;
        return plane;
    }
    void close(int64_t o) const {
        if (out_dense) return;
        const Element *next = packed_out;
        each_run(at(o), stride[2], lengths, [&](Element *run, int64_t n) {
            copy(next, n, run);
            next += n;
        });
    }

  private:
    int64_t stride[3][cube + 1] = {}, lengths[cube + 1],
                             outputs[cube + 1];  // of gradients, offsets and result; the last are the inner elements'
    bool grad_dense, offsets_dense, out_dense;
    Element *packed_grad = nullptr, *packed_out = nullptr;
    O *packed_offsets = nullptr;

    static bool is_dense(const int64_t *strides, const int64_t *n) {
        int64_t below = 1;
        for (int a = cube; a >= 0; below *= n[a--])
            if (n[a] > 1 && strides[a] != below) return false;
        return true;
    }
    Element *at(int64_t o) const { return (Element *)p.out.data + outer_offset(p, p.out, o); }

    // f(run of elements that lie side by side, how many), in row-major order.
    template <class E, class F> static void each_run(E *x, const int64_t *strides, const int64_t *n, F f) {
        int64_t run = 1, count[cube + 1] = {n[0], n[1], n[2], n[3]};
        for (int a = cube; a >= 0 && (n[a] == 1 || strides[a] == run); a--) run *= n[a], count[a] = 1;
        for (int64_t i = 0; i < count[0]; i++)
            for (int64_t k = 0; k < count[1]; k++)
                for (int64_t l = 0; l < count[2]; l++)
                    for (int64_t c = 0; c < count[3]; c++)
                        f(x + i * strides[0] + k * strides[1] + l * strides[2] + c * strides[3], run);
    }
    template <class E> void pack(const E *from, const int64_t *strides, E *to) const {
        pack(from, strides, outputs, to);
    }
    template <class E> static void pack(const E *from, const int64_t *strides, const int64_t *n, E *to) {
        each_run(from, strides, n, [&](const E *run, int64_t elements) {
            copy(run, elements, to);
            to += elements;
        });
    }
    struct Packing {
        const GradientPlanes *planes;
        Element *to;
    };
    static bool pack_slab(const void *context, int64_t unit) {
        const auto &[planes, to] = *(const Packing *)context;
        const int64_t o = unit / planes->outputs[0], i = unit % planes->outputs[0];
        const int64_t slab[cube + 1] = {1, planes->outputs[1], planes->outputs[2], planes->outputs[3]};
        pack((const Element *)planes->p.x.data + outer_offset(planes->p, planes->p.x, o) + i * planes->stride[0][0],
             planes->stride[0], slab, to + o * planes->out + i * planes->out_below[0]);
        return true;
    }
    template <class E> static void copy(const E *from, int64_t n, E *to) {
        if (n == 1) *to = *from;
        else __builtin_memcpy(to, from, n * sizeof(E));
    }
};

// Planes in a piece of work: many where they are small.
template <class T, class O> int64_t planes_together(const GradientPlanes<T, O> &planes, int64_t multiple) {
    int64_t n = multiple;
    while (n * planes.in * int64_t(sizeof(Stored<T>)) < (1 << 16) && n * 8 < planes.outer) n *= 2;
    return n;
}

}  // namespace anypool::ANYPOOL_ISA
