// Arrays as Python passes them: where they lie, their shape and strides, checked before a kernel sees them.
#pragma once
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <numpy/arrayobject.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/problem.h"
#include "runtime/memory.h"

namespace nb = nanobind;

namespace anypool {
namespace {

struct NamedType {
    const char *name;
    Type type;
    int bytes, numpy;
};
const NamedType types[] = {
    {"bool", Type::u8, 1, NPY_BOOL},      {"int8", Type::i8, 1, NPY_INT8},       {"uint8", Type::u8, 1, NPY_UINT8},
    {"int16", Type::i16, 2, NPY_INT16},   {"uint16", Type::u16, 2, NPY_UINT16},  {"int32", Type::i32, 4, NPY_INT32},
    {"uint32", Type::u32, 4, NPY_UINT32}, {"int64", Type::i64, 8, NPY_INT64},    {"uint64", Type::u64, 8, NPY_UINT64},
    {"float16", Type::f16, 2, NPY_HALF},  {"bfloat16", Type::bf16, 2, -1},       {"float32", Type::f32, 4, NPY_FLOAT},
    {"float64", Type::f64, 8, NPY_DOUBLE},
};
const NamedType &named(const std::string &name) {
    for (const auto &t : types)
        if (name == t.name) return t;
    throw nb::value_error(("no kernel knows the dtype " + name).c_str());
}

[[noreturn]] void fail(PyObject *kind, const std::string &message) {
    PyErr_SetString(kind, message.c_str());
    throw nb::python_error();
}

// An array of whatever framework: where it lies, its shape, its strides in elements.
struct View {
    char *data = nullptr;
    std::vector<int64_t> shape, strides;
    std::string dtype;
    bool writable = true;
    std::optional<nb::ndarray<nb::ro>> held;  // keeps a DLPack capsule alive
    nb::object copy;                          // of an array whose elements do not lie where they may
};

std::string text(const std::vector<int64_t> &values) {
    std::string s = "(";
    for (size_t i = 0; i < values.size(); i++) s += (i ? ", " : "") + std::to_string(values[i]);
    return s + (values.size() == 1 ? ",)" : ")");
}

std::string numpy_name(PyArray_Descr *d) {
    for (const auto &t : types)
        if (t.numpy == d->type_num) return t.name;
    if (PyTypeNum_ISINTEGER(d->type_num)) {  // long and long long of the same size
        const bool is_signed = PyTypeNum_ISSIGNED(d->type_num);
        return (is_signed ? "int" : "uint") + std::to_string(8 * PyDataType_ELSIZE(d));
    }
    const char *dot = std::strrchr(d->typeobj->tp_name, '.');
    const char *name = dot ? dot + 1 : d->typeobj->tp_name;
    return name;
}

View view_numpy(const char *argument, PyArrayObject *a, bool written) {
    View v;
    PyArray_Descr *d = PyArray_DESCR(a);
    v.dtype = numpy_name(d);
    if (PyArray_ISBYTESWAPPED(a))
        fail(PyExc_ValueError,
             std::string(argument) + " must have native byte order: use x.astype(x.dtype.newbyteorder('='))");
    const int n = PyArray_NDIM(a);
    const int64_t bytes = PyDataType_ELSIZE(d);
    bool fits = PyArray_ISALIGNED(a);
    for (int i = 0; i < n; i++) fits = fits && PyArray_STRIDE(a, i) % bytes == 0;
    if (!fits) {  // a field of a packed structure, where elements begin anywhere
        if (written)
            fail(PyExc_ValueError, std::string(argument) + " must have elements at multiples of their size, as arrays "
                                                           "have that NumPy makes");
        v.copy = nb::steal(PyArray_NewCopy(a, NPY_KEEPORDER));
        if (!v.copy.is_valid()) throw nb::python_error();
        a = (PyArrayObject *)v.copy.ptr();
    }
    v.data = PyArray_BYTES(a);
    v.writable = PyArray_ISWRITEABLE(a);
    v.shape.assign(PyArray_DIMS(a), PyArray_DIMS(a) + n);
    for (int i = 0; i < n; i++) v.strides.push_back(PyArray_STRIDE(a, i) / bytes);
    return v;
}

// `written`: whether a kernel writes there.
View view(const char *argument, nb::handle object, bool written = false) {
    if (PyArray_Check(object.ptr())) return view_numpy(argument, (PyArrayObject *)object.ptr(), written);
    View v;
    nb::ndarray<nb::ro> a;
    if (!nb::try_cast(object, a))
        fail(PyExc_TypeError, std::string(argument) + " must be a NumPy array or an array that offers DLPack, got " +
                                  nb::type_name(object.type()).c_str());
    if (a.device_type() != nb::device::cpu::value)
        fail(PyExc_ValueError, std::string(argument) + " must be in the memory of the CPU");
    const auto d = a.dtype();
    const char *kind = d.code == uint8_t(nb::dlpack::dtype_code::Int)      ? "int"
                       : d.code == uint8_t(nb::dlpack::dtype_code::UInt)   ? "uint"
                       : d.code == uint8_t(nb::dlpack::dtype_code::Float)  ? "float"
                       : d.code == uint8_t(nb::dlpack::dtype_code::Bfloat) ? "bfloat"
                                                                           : "";
    v.dtype = d.code == uint8_t(nb::dlpack::dtype_code::Bool) ? "bool" : kind + std::to_string(d.bits);
    v.data = (char *)a.data();
    for (size_t i = 0; i < a.ndim(); i++) v.shape.push_back(a.shape(i)), v.strides.push_back(a.stride(i));
    v.held = std::move(a);
    return v;
}

bool has_elements(const std::vector<int64_t> &shape) {
    return std::find(shape.begin(), shape.end(), 0) == shape.end();
}

void check(const char *argument, const View &v, const std::vector<int64_t> &shape, const std::string &dtype,
           bool written) {
    if (v.dtype != dtype)
        fail(PyExc_TypeError, std::string(argument) + " must have dtype " + dtype + ", got " + v.dtype);
    if (v.shape != shape)
        fail(PyExc_ValueError, std::string(argument) + " must have shape " + text(shape) + ", got " + text(v.shape));
    if (!written || !has_elements(shape)) return;
    if (!v.writable)
        fail(PyExc_ValueError,
             std::string(argument) + " must be an array that can be written into, got a read-only one");
    for (size_t i = 0; i < shape.size(); i++)
        if (shape[i] > 1 && v.strides[i] == 0)
            fail(PyExc_ValueError, std::string(argument) + " must not be broadcast: its elements share memory");
}

// The bytes between which an array's elements lie.
std::pair<const char *, const char *> extent(const View &v, int64_t bytes) {
    const char *lo = v.data, *hi = v.data + bytes;
    for (size_t i = 0; i < v.shape.size(); i++) {
        if (v.shape[i] == 0) return {v.data, v.data};
        const int64_t reach = (v.shape[i] - 1) * v.strides[i] * bytes;
        (reach < 0 ? lo : hi) += reach;
    }
    return {lo, hi};
}
void check_disjoint(const char *written, const View &a, int64_t a_bytes, const char *read, const View &b,
                 int64_t b_bytes) {
    const auto [a_lo, a_hi] = extent(a, a_bytes);
    const auto [b_lo, b_hi] = extent(b, b_bytes);
    if (a_lo != a_hi && b_lo != b_hi && a_lo < b_hi && b_lo < a_hi)
        fail(PyExc_ValueError, std::string(written) + " must not share memory with " + read);
}

PyArray_Descr *numpy_type(const NamedType &type) {
    if (type.numpy >= 0) return PyArray_DescrFromType(type.numpy);
    PyArray_Descr *bfloat16 = nullptr;
    if (!PyArray_DescrConverter(nb::module_::import_("ml_dtypes").attr("bfloat16").ptr(), &bfloat16))
        throw nb::python_error();
    return bfloat16;
}

// An array in memory that goes back to where it came from with the array. Takes the reference to `descr`.
nb::object large_array(PyArray_Descr *descr, int n, npy_intp *dims, npy_intp *steps, size_t bytes) {
    const Memory memory = take_memory(bytes);
    if (!memory.data) {
        Py_DECREF(descr);
        fail(PyExc_MemoryError, "no memory for an output of " + std::to_string(bytes) + " bytes");
    }
    nb::capsule owner(new Memory(memory), [](void *p) noexcept {
        give_memory(*(Memory *)p);
        delete (Memory *)p;
    });
    PyObject *a = PyArray_NewFromDescr(&PyArray_Type, descr, n, dims, steps, memory.data, NPY_ARRAY_WRITEABLE, nullptr);
    if (!a) throw nb::python_error();
    nb::object array = nb::steal(a);
    if (PyArray_SetBaseObject((PyArrayObject *)a, owner.release().ptr()) < 0) throw nb::python_error();
    return array;
}

nb::object numpy_array(const NamedType &type, const std::vector<int64_t> &shape, const std::vector<int64_t> &strides) {
    const int n = int(shape.size());
    npy_intp dims[most_dimensions], steps[most_dimensions];
    int64_t bytes = type.bytes;
    for (int i = 0; i < n; i++) dims[i] = shape[i], steps[i] = strides[i] * type.bytes, bytes *= shape[i];
    PyArray_Descr *descr = numpy_type(type);
    if (bytes >= int64_t(large_from)) return large_array(descr, n, dims, steps, size_t(bytes));
    PyObject *a = PyArray_NewFromDescr(&PyArray_Type, descr, n, dims, steps, nullptr, 0, nullptr);
    if (!a) throw nb::python_error();
    return nb::steal(a);
}

}  // namespace
}  // namespace anypool
