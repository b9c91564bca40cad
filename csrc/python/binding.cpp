// The kernels as Python calls them. Everything that Python passes is checked here and in view.h, once per call; nothing
// behind these files knows of Python.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string>
#include <vector>

#include "core/layout.h"
#include "core/windows.h"
#include "forward/positions.h"
#include "python/axes.h"
#include "python/places.h"
#include "python/unpooling.h"
#include "python/view.h"
#include "runtime/interrupts.h"
#include "runtime/isa.h"
#include "runtime/threads.h"

using namespace anypool;

namespace {

const Kernels *kernels = nullptr;

// A kernel and its arguments, but for where the arrays lie. They point into the pooling that made it.
struct Launch {
    Problem problem;
    bool (*kernel)(const Problem &);
    bool reads;  // whether there is anything to read

    void at(const char *x, char *out, char *offsets) const {
        if (reads && !x) fail(PyExc_RuntimeError, "x must have memory: its storage was freed");
        Problem p = problem;
        p.x.data = const_cast<char *>(x), p.out.data = out, p.offsets.data = offsets;
        p.threads = threads();
        bool enough, gives_up = false;
        p.gives_up = &gives_up;
        {
            nb::gil_scoped_release release;
            enough = kernel(p);
        }
        if (PyErr_Occurred()) throw nb::python_error();
        if (!enough) fail(PyExc_MemoryError, "no memory for the rows that a kernel keeps");
        if (gives_up) fail(PyExc_OverflowError, "there are elements that the kernel's arithmetic is not made for");
    }
};

using Strides = std::vector<int64_t>;

// One pooling, decided: all that does not depend on where the arrays lie.
class Kernel {
  public:
    Kernel(const std::string &operation, const std::string &dtype, const std::string &accumulator,
           const std::string &result, std::vector<int64_t> shape, std::vector<int64_t> output_shape,
           std::vector<int64_t> pooled, nb::list axes, int64_t divisor, nb::object places,
           std::pair<double, double> numbers)
        : type_(named(dtype)),
          result_(named(result)),
          shape_(std::move(shape)),
          output_(std::move(output_shape)),
          pooled_(std::move(pooled)),
          places_(read_places(places)),
          numbers_(numbers) {
        operation_ = operation_named(operation);
        accumulator_ = named(accumulator).type;
        divisor_ = divisor;
        if (pooled_.empty() || pooled_.size() > most_pooled || pooled_.size() != nb::len(axes) ||
            shape_.size() > size_t(most_dimensions) || shape_.size() != output_.size())
            throw nb::value_error("a kernel pools one to three axes");
        unsigned __int128 weight = 1;
        axes_.resize(pooled_.size());
        for (size_t k = pooled_.size(); k-- > 0;) {
            read_axis(nb::cast<nb::tuple>(axes[k]), axes_[k], pooled_[k]);
            axes_[k].axis.weight = int64_t(weight);
            weight *= uint64_t(axes_[k].axis.kernel_size > 0 ? axes_[k].axis.kernel_size : 1);
            if (weight > largest_window) weight = largest_window + 1;
        }
        window_ = int64_t(weight);
        offset_bytes_ = window_ <= 256 ? 1 : window_ <= 65536 ? 2 : window_ <= largest_window ? 4 : 0;
        if (operation_ == Operation::average && !divisor_) divisor_ = common_divisor();
        if (operation_ == Operation::order) networks_ = find_networks(axes_, places_, window_);
        for (size_t i = 0; i < shape_.size(); i++) {
            bool is_pooled = false;
            for (int64_t a : pooled_) is_pooled |= a == int64_t(i);
            if (!is_pooled && shape_[i] != output_[i])
                throw nb::value_error("axes that are not pooled must keep their length");
        }
    }

    nb::object forward(nb::handle x, nb::object out) { return run(x, out, nb::none(), false).first; }
    nb::object forward_with_offsets(nb::handle x, nb::object out, nb::object offsets) {
        auto [values, places] = run(x, out, offsets, true);
        return nb::make_tuple(values, places);
    }
    // Of the elements that `where`, of x's shape, lets count, and with `omits_nan` of those that are no NaN: windows
    // with fewer than `least` of them get `filling`. A divisor other than 0 divides averages.
    nb::object forward_masked(nb::handle x_object, nb::object where, nb::object out, bool omits_nan, int64_t divisor,
                              double least, double filling) {
        if (!(selects() || is_linear()) || !is_floating(type_.type) || !is_floating(result_.type))
            throw nb::value_error("there is no such kernel for masks");
        const View x = view("x", x_object);
        check("x", x, shape_, type_.name, false);
        View mask;
        if (!where.is_none()) {
            mask = view("where", where);
            check("where", mask, shape_, "bool", false);
        }
        if (out.is_none()) {
            if (!PyArray_Check(x_object.ptr())) fail(PyExc_TypeError, "out must be given where x is not a NumPy array");
            out = numpy_array(result_, output_, strides_in_order(output_, memory_order(x.shape, x.strides)));
        }
        const View to = view("out", out, true);
        check("out", to, output_, result_.name, true);
        check_disjoint("out", to, result_.bytes, "x", x, type_.bytes);
        if (!where.is_none()) check_disjoint("out", to, result_.bytes, "where", mask, 1);
        Problem p = problem(type_, result_, false);
        p.divisor = divisor;
        p.omits_nan = omits_nan || where.is_none();
        p.numbers[0] = least, p.numbers[1] = filling;
        Axis axes[most_pooled];
        for (size_t k = 0; k < axes_.size(); k++) axes[k] = axes_[k].axis;
        arrange(p, shape_, pooled_, axes, memory_order(shape_, x.strides),
                {{&p.x, &x.strides}, {&p.out, &to.strides}, {&p.offsets, where.is_none() ? &to.strides : &mask.strides}});
        Launch{p, kernels->masked, has_elements(shape_)}.at(x.data, to.data, mask.data);
        return out;
    }
    nb::object backward(nb::handle grad, nb::object offsets, nb::object out) {
        const bool selects = this->selects();
        if (selects == offsets.is_none())
            fail(PyExc_ValueError, selects ? "offsets must be given for the gradient of a max or min"
                                           : "offsets must be None: sums and averages have none");
        const View g = view("grad", grad);
        check("grad", g, output_, result_.name, false);
        View given, to;
        if (selects) {
            given = view("offsets", offsets);
            check("offsets", given, output_, offset_dtype(), false);
        }
        check_floating();
        if (out.is_none()) {
            if (!PyArray_Check(grad.ptr())) fail(PyExc_TypeError, "out must be given where grad is not a NumPy array");
            out = numpy_array(type_, shape_,
                              strides_in_order(shape_, memory_order(output_, selects ? given.strides : g.strides)));
        }
        to = view("out", out, true);
        check("out", to, shape_, type_.name, true);
        check_disjoint("out", to, type_.bytes, "grad", g, result_.bytes);
        if (selects) check_disjoint("out", to, type_.bytes, "offsets", given, offset_bytes_);
        backward_launch(g.strides, selects ? &given.strides : nullptr, to.strides).at(g.data, to.data, given.data);
        return out;
    }

    // The same for arrays of these strides, which nobody checks when it is called.
    Launch bind_forward(const Strides &x, const Strides &out, std::optional<Strides> offsets) const {
        if (offsets) check_has_offsets();
        check_strides({&x, &out, offsets ? &*offsets : &out});
        return forward_launch(x, out, offsets ? &*offsets : nullptr);
    }
    Launch bind_backward(const Strides &grad, std::optional<Strides> offsets, const Strides &out) {
        check_floating();
        if (selects() != offsets.has_value()) throw nb::value_error("offsets must be given where there are any");
        if (offsets) check_has_offsets();
        check_strides({&grad, &out, offsets ? &*offsets : &out});
        return backward_launch(grad, offsets ? &*offsets : nullptr, out);
    }

    nb::object indices(nb::handle offsets, nb::object out) {
        if (!selects() || !offset_bytes_)
            fail(PyExc_ValueError, "there are no offsets of this pooling");
        const View from = view("offsets", offsets);
        check("offsets", from, output_, offset_dtype(), false);
        const std::vector<int> order = memory_order(output_, from.strides);
        const NamedType &int64 = named("int64");
        if (out.is_none()) out = numpy_array(int64, output_, strides_in_order(output_, order));
        const View to = view("out", out, true);
        check("out", to, output_, int64.name, true);
        check_disjoint("out", to, int64.bytes, "offsets", from, offset_bytes_);
        std::vector<Axis> axes;
        std::vector<int64_t> weights(axes_.size(), 1);
        for (const auto &spec : axes_) axes.push_back(spec.axis);
        for (size_t k = axes.size() - 1; k-- > 0;) weights[k] = weights[k + 1] * axes[k + 1].length;
        Positions positions(axes, weights);
        for (int axis : order) {
            positions.shape.push_back(output_[axis]);
            positions.from_strides.push_back(from.strides[axis]);
            positions.to_strides.push_back(to.strides[axis]);
            const auto pooled = std::find(pooled_.begin(), pooled_.end(), axis);
            positions.starts.push_back(pooled == pooled_.end() ? std::vector<int64_t>(output_[axis])
                                                               : positions.window_starts(pooled - pooled_.begin()));
        }
        nb::gil_scoped_release release;
        positions.write(from.data, offset_bytes_, (int64_t *)to.data, threads());
        return out;
    }
    const char *offset_dtype() const { return offset_bytes_ == 1 ? "uint8" : offset_bytes_ == 2 ? "uint16" : "uint32"; }

  private:
    static Operation operation_named(const std::string &name) {
        static const char *names[] = {"max", "min", "sum", "average", "order", "mode", "variance", "power", "norm", "gem", "logsumexp", "soft"};
        for (int i = 0; i < int(std::size(names)); i++)
            if (name == names[i]) return Operation(i);
        throw nb::value_error("unknown operation");
    }

    static std::vector<int64_t> numbers(nb::handle object) {
        const auto array = nb::cast<nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig>>(object);
        return {array.data(), array.data() + array.size()};
    }

    void read_axis(nb::tuple t, AxisSpec &spec, int64_t where) {
        if (where < 0 || where >= int64_t(shape_.size()))
            throw nb::value_error("pooled axes must be axes of the array");
        Axis &a = spec.axis;
        a.length = shape_[where];
        a.outputs = output_[where];
        a.kernel_size = nb::cast<int64_t>(t[0]);
        a.dilation = nb::cast<int64_t>(t[1]);
        a.stride = nb::cast<int64_t>(t[2]);
        a.pad_before = nb::cast<int64_t>(t[3]);
        const auto begins = numbers(t[4]), counts = numbers(t[5]), firsts = numbers(t[6]);
        spec.counts = numbers(t[7]);
        constexpr int64_t limit = int64_t(1) << 62;
        if (a.dilation < 1 || a.stride < 1 || a.kernel_size < 0 || a.outputs < 0 || a.pad_before > limit / 2 ||
            a.pad_before < -limit / 2 || (a.outputs > 0 && a.stride > limit / a.outputs) ||
            (a.kernel_size > 0 && a.dilation > limit / a.kernel_size))
            throw nb::value_error("a plan must have positive steps, within 62 bits");
        if (!begins.empty()) {
            if (int64_t(begins.size()) != a.outputs || begins.size() != counts.size() || begins.size() != firsts.size())
                throw nb::value_error("a plan must have one window per output");
            for (size_t i = 0; i < begins.size(); i++) {
                const Window w{begins[i], counts[i], firsts[i]};
                if (w.count < 0 || w.first < 0 || w.first > a.kernel_size - w.count ||
                    (w.count &&
                     (w.begin < 0 || w.begin >= a.length || (a.length - 1 - w.begin) / a.dilation < w.count - 1)))
                    throw nb::value_error("a plan's windows must lie inside the array");
                spec.table.push_back(w);
            }
            a.kind = Windows::table;
            a.table = spec.table.data();
        }
        if (!spec.counts.empty()) {
            if (int64_t(spec.counts.size()) != a.outputs)
                throw nb::value_error("a plan must have one count per output");
            a.counts = spec.counts.data();
        }
    }

    // What every average is divided by where all count alike; otherwise 0.
    int64_t common_divisor() const {
        int64_t divisor = 1;
        for (const auto &spec : axes_) {
            for (int64_t n : spec.counts)
                if (n != spec.counts[0]) return 0;
            if (!spec.counts.empty() && __builtin_mul_overflow(divisor, spec.counts[0], &divisor)) return 0;
        }
        return divisor;
    }

    std::pair<nb::object, nb::object> run(nb::handle x_object, nb::object out, nb::object offsets, bool with_offsets) {
        if (with_offsets) check_has_offsets();
        const View x = view("x", x_object);
        check("x", x, shape_, type_.name, false);
        auto like_x = [&] { return strides_in_order(output_, memory_order(x.shape, x.strides)); };
        View to, places;
        if (out.is_none()) {
            if (!PyArray_Check(x_object.ptr())) fail(PyExc_TypeError, "out must be given where x is not a NumPy array");
            out = numpy_array(result_, output_, like_x());
        }
        to = view("out", out, true);
        check("out", to, output_, result_.name, true);
        check_disjoint("out", to, result_.bytes, "x", x, type_.bytes);
        if (with_offsets) {
            if (offsets.is_none()) {
                if (!PyArray_Check(x_object.ptr()))
                    fail(PyExc_TypeError, "offsets_out must be given where x is not a NumPy array");
                offsets = numpy_array(named(offset_dtype()), output_, like_x());
            }
            places = view("offsets_out", offsets, true);
            check("offsets_out", places, output_, offset_dtype(), true);
            check_disjoint("offsets_out", places, offset_bytes_, "x", x, type_.bytes);
            check_disjoint("offsets_out", places, offset_bytes_, "out", to, result_.bytes);
        }
        forward_launch(x.strides, to.strides, with_offsets ? &places.strides : nullptr).at(x.data, to.data, places.data);
        return {out, offsets};
    }

    Launch forward_launch(const Strides &x, const Strides &out, const Strides *offsets) const {
        Problem p = problem(type_, result_, offsets);
        p.accumulator = accumulator_;
        Axis axes[most_pooled];
        for (size_t k = 0; k < axes_.size(); k++) axes[k] = axes_[k].axis;
        arrange(p, shape_, pooled_, axes, memory_order(shape_, x),
                {{&p.x, &x}, {&p.out, &out}, {&p.offsets, offsets ? offsets : &out}});
        return {p, forward_kernel(), has_elements(shape_)};
    }
    bool (*forward_kernel() const)(const Problem &) {
        if (selects()) return kernels->extreme;
        if (operation_ == Operation::order || operation_ == Operation::mode) return kernels->order;
        return is_linear() ? kernels->total : kernels->moments;
    }
    Launch backward_launch(const Strides &grad, const Strides *offsets, const Strides &out) {
        Problem p = problem(result_, type_, offsets);
        p.accumulator = result_.type == Type::f64 ? Type::f64 : Type::f32;
        if (!offsets) {
            transpose_axes();
            p.operation = divisor_ ? Operation::average : Operation::sum;
        }
        const auto &specs = offsets ? axes_ : transposed_;
        Axis axes[most_pooled];
        for (size_t k = 0; k < specs.size(); k++) axes[k] = specs[k].axis;
        arrange(p, shape_, pooled_, axes, memory_order(shape_, out),
                {{&p.x, &grad}, {&p.out, &out}, {&p.offsets, offsets ? offsets : &out}});
        return {p, offsets ? kernels->gradient : kernels->total, has_elements(output_)};
    }

    // What both directions have: what arrays hold. The geometry is yet to come.
    Problem problem(const NamedType &from, const NamedType &to, bool with_offsets) const {
        Problem p;
        p.operation = operation_;
        p.type = from.type;
        p.result = to.type;
        p.divisor = divisor_;
        p.offset_bytes = with_offsets ? offset_bytes_ : 0;
        p.window = window_;
        p.places = places_.data();
        p.networks = networks_.data();
        p.numbers[0] = numbers_.first, p.numbers[1] = numbers_.second;
        return p;
    }

    bool selects() const { return operation_ == Operation::max || operation_ == Operation::min; }
    bool is_linear() const { return operation_ == Operation::sum || operation_ == Operation::average; }
    void check_has_offsets() const {
        if (!selects()) fail(PyExc_ValueError, "sums and averages have no offsets");
        if (!offset_bytes_) fail(PyExc_ValueError, "there are no offsets in windows of more than 2**31 elements");
    }
    void check_floating() const {
        if (!is_floating(type_.type) || !is_floating(result_.type))
            fail(PyExc_TypeError, "only floating-point elements have a gradient");
        if (!selects() && !is_linear()) fail(PyExc_ValueError, "there is no kernel for the gradient of this operation");
    }
    void check_strides(std::initializer_list<const Strides *> all) const {
        for (const Strides *strides : all)
            if (strides->size() != shape_.size()) throw nb::value_error("there must be one stride per axis");
    }
    static bool is_floating(Type type) {
        return type == Type::f16 || type == Type::bf16 || type == Type::f32 || type == Type::f64;
    }

    // The gradient of a sum sums the gradients of the windows that each element lies in; an average's are divided
    // first, at the end where all windows count alike.
    void transpose_axes() {
        if (!transposed_.empty()) return;
        std::vector<AxisSpec> made;
        for (const auto &spec : axes_) made.push_back(transposed(spec));
        if (!divisor_ && operation_ == Operation::average)
            for (size_t k = 0; k < made.size(); k++) {
                for (int64_t n : axes_[k].counts) made[k].scales.push_back(n ? 1.0 / double(n) : 0.0);
                made[k].axis.scales = made[k].scales.data();
            }
        transposed_ = std::move(made);
    }

    const NamedType &type_, &result_;
    Operation operation_;
    Type accumulator_;
    int64_t divisor_;
    int offset_bytes_;
    int64_t window_;
    static constexpr int64_t largest_window = int64_t(1) << 31;
    std::vector<int64_t> shape_, output_, pooled_;
    std::vector<AxisSpec> axes_, transposed_;
    std::vector<Place> places_;
    std::vector<const Network *> networks_;
    std::pair<double, double> numbers_;
};

// Whether a signal's handler raised, such as Ctrl-C's; handlers run in the main thread alone.
bool signal_raised() {
    nb::gil_scoped_acquire acquire;
    return PyErr_CheckSignals() != 0;
}

int import_numpy() {
    import_array1(-1);
    return 0;
}

}  // namespace

NB_MODULE(_kernels, m) {
    if (import_numpy() < 0) throw nb::python_error();
    nb::set_leak_warnings(false);
    set_interrupt_check(signal_raised);
    kernels = choose_kernels(std::getenv("ANYPOOL_ISA"));
    m.attr("isa") = kernels ? nb::cast(kernels->name) : nb::none();
    m.def("get_num_threads", [] { return threads(); });
    m.def("set_num_threads", [](int n) { set_threads(n); });
    m.def("set_thread_limit", [](int n) { return set_thread_limit(n); });
    m.attr("LARGE") = large_from;
    m.def(
        "large_bytes",
        [](size_t n) {
            npy_intp length = npy_intp(n);
            return large_array(PyArray_DescrFromType(NPY_UINT8), 1, &length, nullptr, n);
        },
        nb::arg("n"));
    m.def("get_memory_cache_limit", [] { return cache_limit(); });
    m.def("set_memory_cache_limit", [](size_t bytes) { set_cache_limit(bytes); }, nb::arg("bytes"));
    m.def("memory_cache_bytes", [] { return cached_bytes(); });
    m.def(
        "unpool",
        [](nb::handle x, nb::handle indices, nb::handle out) { return run_unpooling(unpool, x, indices, out, false); },
        nb::arg("x"), nb::arg("indices"), nb::arg("out"));
    m.def(
        "unpool_gradient",
        [](nb::handle grad, nb::handle indices, nb::handle out) {
            return run_unpooling(unpool_gradient, grad, indices, out, true);
        },
        nb::arg("grad"), nb::arg("indices"), nb::arg("out"));
    nb::class_<Launch>(m, "Launch")
        .def(
            "__call__",
            [](const Launch &launch, uintptr_t x, uintptr_t out, uintptr_t offsets) {
                launch.at((const char *)x, (char *)out, (char *)offsets);
            },
            nb::arg("x"), nb::arg("out"), nb::arg("offsets") = 0);
    nb::class_<Kernel>(m, "Kernel")
        .def(
            nb::init<const std::string &, const std::string &, const std::string &, const std::string &,
                     std::vector<int64_t>, std::vector<int64_t>, std::vector<int64_t>, nb::list, int64_t,
                     nb::object, std::pair<double, double>>(),
            nb::arg("operation"), nb::arg("dtype"), nb::arg("accumulator"), nb::arg("result"), nb::arg("shape"),
            nb::arg("output_shape"), nb::arg("pooled"), nb::arg("axes"), nb::arg("divisor"),
            nb::arg("places").none(), nb::arg("numbers"))
        .def("forward", &Kernel::forward, nb::arg("x"), nb::arg("out").none() = nb::none())
        .def("forward_with_offsets", &Kernel::forward_with_offsets, nb::arg("x"), nb::arg("out").none() = nb::none(),
             nb::arg("offsets_out").none() = nb::none())
        .def("forward_masked", &Kernel::forward_masked, nb::arg("x"), nb::arg("where").none(), nb::arg("out").none(),
             nb::arg("omits_nan"), nb::arg("divisor"), nb::arg("least"), nb::arg("filling"))
        .def("backward", &Kernel::backward, nb::arg("grad"), nb::arg("offsets").none() = nb::none(),
             nb::arg("out").none() = nb::none())
        .def("bind_forward", &Kernel::bind_forward, nb::keep_alive<0, 1>(), nb::arg("x"), nb::arg("out"),
             nb::arg("offsets").none() = nb::none())
        .def("bind_backward", &Kernel::bind_backward, nb::keep_alive<0, 1>(), nb::arg("grad"),
             nb::arg("offsets").none(), nb::arg("out"))
        .def("indices", &Kernel::indices, nb::arg("offsets"), nb::arg("out").none() = nb::none())
        .def_prop_ro("offset_dtype", &Kernel::offset_dtype);
}
