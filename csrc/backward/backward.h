// The gradient of a max or min: every output's gradient goes to the element that its offset names, and elements that
// several outputs name add up.
//
// Three forms. Gathering (gather.h) asks, for every element, each window that it lies in; scattering (scatter.h)
// follows each offset; where windows do not overlap, nothing adds up (tiles.h). Always a thread owns the elements it writes
// and adds in row-major order of outputs, so that the bits depend on neither threads nor layout.
#pragma once
#include <memory>
#include <new>

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
    Block grad, offsets, to;                  // of a plane
    bool grad_dense, offsets_dense, to_dense;  // no gaps in it
    bool dense, side_by_side;                 // in none of them; nor between planes

    __attribute__((cold)) explicit GradientPlanes(const Problem &p) : p(p), split(p.rank == 1 ? cube - 1 : 0) {
        for (Block *block : {&grad, &offsets, &to}) *block = {{1, 1, 1, p.inner}, {}};
        for (int a = 0; a < p.rank; a++) {
            const int at = a == p.rank - 1 ? cube - 1 : a;
            axes[at] = p.axes[a];
            grad.length[at] = offsets.length[at] = p.axes[a].outputs, to.length[at] = p.axes[a].length;
            grad.stride[at] = p.x.axis[a], offsets.stride[at] = p.offsets.axis[a], to.stride[at] = p.out.axis[a];
        }
        grad.stride[cube] = p.x.inner, offsets.stride[cube] = p.offsets.inner, to.stride[cube] = p.out.inner;
        in = out = p.inner;
        for (int a = cube - 1; a >= 0; a--) {
            in_below[a] = in, out_below[a] = out;
            in *= axes[a].length;
            out *= axes[a].outputs;
        }
        for (int d = 0; d < p.outer_rank; d++) outer *= p.outer_shape[d];
        grad_dense = grad.is_dense(), offsets_dense = offsets.is_dense(), to_dense = to.is_dense();
        dense = grad_dense && offsets_dense && to_dense;
        side_by_side = dense && (outer == 1 || (p.outer_rank == 1 && p.x.outer[0] == out && p.offsets.outer[0] == out &&
                                                p.out.outer[0] == in));
    }

    // Whether threads would wait for one to pack and unpack a plane.
    bool packs_alone() const {
        return !dense && outer < p.threads && (in + out) * int64_t(sizeof(Element)) >= (1 << 15);
    }
    // Scratch memory for planes that have gaps.
    void take(Arena &arena) {
        if (!grad_dense) packed_grad = arena.take<Element>(out);
        if (!offsets_dense) packed_offsets = arena.take<O>(out);
        if (!to_dense) packed_to = arena.take<Element>(in);
    }
    Plane open(int64_t o) const {
        Plane plane{(const Element *)p.x.data + outer_offset(p, p.x, o),
                    (const O *)p.offsets.data + outer_offset(p, p.offsets, o), to_dense ? at(o) : packed_to};
        if (!grad_dense) pack(plane.grad, grad, packed_grad), plane.grad = packed_grad;
        if (!offsets_dense) pack(plane.offsets, offsets, packed_offsets), plane.offsets = packed_offsets;
        return plane;
    }
    void close(int64_t o) const {
        if (!to_dense) unpack(packed_to, to, at(o));
    }

  private:
    Element *packed_grad = nullptr, *packed_to = nullptr;
    O *packed_offsets = nullptr;

    Element *at(int64_t o) const { return (Element *)p.out.data + outer_offset(p, p.out, o); }
};

// The planes of an array without gaps, in memory of their own, which all threads pack and unpack.
template <class E> class DenseCopy {
    const Problem &p;
    const Array array;
    const Block plane;
    int64_t elements = 1, outer = 1;  // of a plane, and planes
    int cut = 0;                      // the axis of a plane that is cut, into `slabs` of `chunk` places
    int64_t below = 1, chunk, slabs;
    std::unique_ptr<E[]> memory;

  public:
    DenseCopy(const Problem &p, const Array &array, const Block &plane) : p(p), array(array), plane(plane) {
        for (int d = 0; d < p.outer_rank; d++) outer *= p.outer_shape[d];
        while (cut < cube && plane.length[cut] == 1) cut++;
        for (int a = cube; a > cut; a--) below *= plane.length[a];
        elements = below * plane.length[cut];
        chunk = larger(1, (1 << 16) / larger(1, below * int64_t(sizeof(E))));
        slabs = ceil_div(plane.length[cut], chunk);
    }

    // Puts the copy, without anything in it, in the place of the array; false where there is no memory.
    bool replace(Array &given) {
        memory.reset(new (std::nothrow) E[larger(1, elements * outer)]);
        given.data = (char *)memory.get();
        given.inner = 1;
        int64_t n = plane.length[cube];
        for (int k = p.rank - 1; k >= 0; k--) {
            given.axis[k] = n;
            n *= plane.length[k == p.rank - 1 ? cube - 1 : k];
        }
        for (int d = p.outer_rank - 1; d >= 0; d--) given.outer[d] = n, n *= p.outer_shape[d];
        return bool(memory);
    }
    void pack_all() const {
        each_slab([](E *at, const Block &slab, E *packed) { pack(at, slab, packed); });
    }
    void unpack_all() const {
        each_slab([](E *at, const Block &slab, E *packed) { unpack(packed, slab, at); });
    }

  private:
    template <class F> void each_slab(F) const {
        auto task = [](const void *context, int64_t unit) {
            const DenseCopy &copy = *(const DenseCopy *)context;
            const int64_t o = unit / copy.slabs, i = unit % copy.slabs * copy.chunk;
            Block slab = copy.plane;
            slab.length[copy.cut] = smaller(copy.chunk, slab.length[copy.cut] - i);
            F{}((E *)copy.array.data + outer_offset(copy.p, copy.array, o) + i * slab.stride[copy.cut], slab,
                copy.memory.get() + o * copy.elements + i * copy.below);
            return true;
        };
        run_units(outer * slabs, p.threads, task, this);
    }
};

// Planes in a piece of work: many where they are small.
template <class T, class O> int64_t planes_together(const GradientPlanes<T, O> &planes, int64_t multiple) {
    int64_t n = multiple;
    while (n * planes.in * int64_t(sizeof(Stored<T>)) < (1 << 16) && n * 8 < planes.outer) n *= 2;
    return n;
}

}  // namespace anypool::ANYPOOL_ISA
