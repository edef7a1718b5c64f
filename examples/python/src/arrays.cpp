// SPDX-License-Identifier: MIT
#include "arrays.hpp"

#include <pybind11/stl.h>

#include <cstring>

namespace {

/// DLPack's structs, version 0: its ABI, https://dmlc.github.io/dlpack/latest/c_api.html.
struct dl_device {
    std::int32_t type, id;
};
struct dl_type {
    std::uint8_t code, bits;
    std::uint16_t lanes;
};
struct dl_tensor {
    void* data;
    dl_device device;
    std::int32_t dims;
    dl_type type;
    std::int64_t *size, *stride;  // strides in elements; null: dense
    std::uint64_t byte_offset;
};
struct dl_managed {
    dl_tensor tensor;
    void* context;
    void (*deleter)(dl_managed*);
};
constexpr std::int32_t dl_cpu = 1;

struct type_row {
    number_type type;
    const char* name;
    std::int64_t bytes;
    const char* format;   // of the buffer protocol, each a character
    const char* typestr;  // of __array_interface__, without the byte order
    std::uint8_t dl_code, dl_bits;
};
constexpr type_row types[] = {
    {number_type::boolean, "bool", 1, "?", "b1", 6, 8}, {number_type::i32, "int32", 4, "i", "i4", 0, 32},
    {number_type::i64, "int64", 8, "lq", "i8", 0, 64},  {number_type::f16, "float16", 2, "e", "f2", 2, 16},
    {number_type::bf16, "bfloat16", 2, "", "", 4, 16},  {number_type::f32, "float32", 4, "f", "f4", 2, 32},
    {number_type::f64, "float64", 8, "d", "f8", 2, 64},
};

const type_row* row_of(number_type type)
{
    for (const type_row& row : types)
        if (row.type == type) return &row;
    return nullptr;
}

constexpr bool is_little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

std::string sizes_in_words(const std::vector<std::int64_t>& size)
{
    std::string text = "[";
    for (std::size_t i = 0; i < size.size(); ++i) text += (i ? ", " : "") + std::to_string(size[i]);
    return text + "]";
}

/// Strides in bytes of an array without gaps.
std::vector<std::int64_t> dense_strides(const std::vector<std::int64_t>& size, std::int64_t bytes)
{
    std::vector<std::int64_t> stride(size.size());
    for (std::size_t i = size.size(); i-- > 0; bytes *= size[i]) stride[i] = bytes;
    return stride;
}

void fill_type(array& a, const type_row* row, const std::string& name)
{
    if (row) a.type = row->type;
    a.type_name = row ? row->name : name;
}

array from_buffer(py::handle object, const std::string& what, bool is_written)
{
    auto* const buffer = new Py_buffer;
    if (PyObject_GetBuffer(object.ptr(), buffer, is_written ? PyBUF_FULL : PyBUF_FULL_RO) != 0) {
        delete buffer;
        PyErr_Clear();
        throw py::value_error(what + (is_written ? " cannot be written to" : " gives no buffer with strides"));
    }
    array a;
    a.owner = std::shared_ptr<void>(buffer, [](void* p) {
        PyBuffer_Release(static_cast<Py_buffer*>(p));
        delete static_cast<Py_buffer*>(p);
    });
    if (buffer->suboffsets) throw py::value_error(what + " has suboffsets: an array of pointers");
    a.data = buffer->buf;
    a.size.assign(buffer->shape, buffer->shape + buffer->ndim);
    if (buffer->strides) a.stride.assign(buffer->strides, buffer->strides + buffer->ndim);
    else a.stride = dense_strides(a.size, buffer->itemsize);  // ctypes leaves them out
    const char* format = buffer->format ? buffer->format : "B";
    const std::string name = format;
    if (*format == '@' || *format == '=' || *format == (is_little ? '<' : '>')) ++format;
    const type_row* found = nullptr;
    for (const type_row& row : types)
        if (format[0] != '\0' && format[1] == '\0' && std::strchr(row.format, format[0]) &&
            row.bytes == buffer->itemsize)
            found = &row;
    fill_type(a, found, "of format '" + name + "'");
    return a;
}

array from_dlpack(py::handle object, const std::string& what)
{
    const auto device = py::tuple(object.attr("__dlpack_device__")());
    if (const int type = py::int_(device[0]); type != dl_cpu)
        throw py::value_error(what + " lies on a device, DLPack's type " + std::to_string(type) +
                              "; it must be in the memory of the CPU");
    const py::object capsule = object.attr("__dlpack__")();
    auto* const managed = static_cast<dl_managed*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
    if (!managed) throw py::error_already_set();
    if (PyCapsule_SetName(capsule.ptr(), "used_dltensor") != 0) throw py::error_already_set();
    array a;
    a.owner = std::shared_ptr<void>(managed, [](void* p) {
        auto* const m = static_cast<dl_managed*>(p);
        if (m->deleter) m->deleter(m);
    });
    const dl_tensor& t = managed->tensor;
    const std::int64_t bytes = t.type.bits / 8;
    a.data = static_cast<char*>(t.data) + t.byte_offset;
    a.size.assign(t.size, t.size + t.dims);
    a.stride = dense_strides(a.size, bytes);
    for (std::size_t i = 0; t.stride && i < a.size.size(); ++i) a.stride[i] = t.stride[i] * bytes;
    const type_row* found = nullptr;
    for (const type_row& row : types)
        if (row.dl_code == t.type.code && row.dl_bits == t.type.bits && t.type.lanes == 1) found = &row;
    fill_type(a, found,
              "of DLPack's type " + std::to_string(t.type.code) + ", " + std::to_string(t.type.bits) + " bits");
    return a;
}

array from_interface(py::handle object, const std::string& what, bool is_written)
{
    const auto interface = py::dict(object.attr("__array_interface__"));
    if (!interface.contains("data") || interface["data"].is_none())
        throw py::value_error(what + ": its __array_interface__ has no data");
    const auto data = py::tuple(interface["data"]);
    if (is_written && py::cast<bool>(data[1])) throw py::value_error(what + " cannot be written to");
    array a;
    a.data = reinterpret_cast<void*>(py::cast<std::uintptr_t>(data[0]));
    a.size = py::cast<std::vector<std::int64_t>>(py::list(interface["shape"]));
    const auto typestr = py::cast<std::string>(interface["typestr"]);
    const type_row* found = nullptr;
    std::int64_t bytes = 0;
    for (const type_row& row : types)
        if (typestr.size() == 3 && row.typestr[0] != '\0' && typestr.substr(1) == row.typestr &&
            (typestr[0] == (is_little ? '<' : '>') || row.bytes == 1)) {
            found = &row;
            bytes = row.bytes;
        }
    fill_type(a, found, "of type '" + typestr + "'");
    if (interface.contains("strides") && !interface["strides"].is_none()) {
        a.stride = py::cast<std::vector<std::int64_t>>(py::list(interface["strides"]));
    } else {
        a.stride = dense_strides(a.size, bytes);
    }
    auto* const kept = new py::object(py::reinterpret_borrow<py::object>(object));
    a.owner = std::shared_ptr<void>(kept, [](void* p) { delete static_cast<py::object*>(p); });
    return a;
}

/// Strides in elements, channels side by side, elements where elements may lie.
void check_layout(const array& a, const std::string& what)
{
    const std::int64_t bytes = bytes_of(a.type);
    std::int64_t all = 1;
    for (const std::int64_t n : a.size) all *= n;
    if (all == 0) return;
    const std::size_t last = a.size.size() - 1;
    if (a.size[last] > 1 && a.stride[last] != bytes)
        throw py::value_error(what + " has its last dimension at a stride of " + std::to_string(a.stride[last]) +
                              " bytes; its numbers must lie side by side, " + std::to_string(bytes) + " bytes apart");
    for (std::size_t i = 0; i < last; ++i)
        if (a.size[i] > 1 && a.stride[i] % bytes != 0)
            throw py::value_error(what + " has dimension " + std::to_string(i) + " at a stride of " +
                                  std::to_string(a.stride[i]) + " bytes, no multiple of its " + std::to_string(bytes));
    if (reinterpret_cast<std::uintptr_t>(a.data) % static_cast<std::uintptr_t>(bytes) != 0)
        throw py::value_error(what + " starts at an address that is no multiple of its " + std::to_string(bytes) +
                              " bytes a number");
}

tensor tensor_from(const array& a, const std::string& what)
{
    check_layout(a, what);
    tensor t;
    t.data = a.data;
    const std::size_t lacking = 4 - a.size.size();
    for (std::size_t i = 0; i < 4; ++i) {
        t.size[i] = i < lacking ? 1 : a.size[i - lacking];
        if (i < 3) t.stride[i] = i < lacking ? 0 : a.stride[i - lacking] / bytes_of(a.type);
    }
    return t;
}

/// A list or array as NumPy's array of one dimension, of a kind among `kinds`.
py::array vector_of(py::handle object, const std::string& what, const char* kinds, const char* of)
{
    const auto a = py::cast<py::array>(py::module_::import("numpy").attr("asarray")(object));
    if (a.ndim() != 1)
        throw py::value_error(what + " has " + std::to_string(a.ndim()) + " dimensions, must be a list of " + of);
    if (a.size() > 0 && !std::strchr(kinds, a.dtype().kind())) throw py::type_error(what + " must be a list of " + of);
    return a;
}

}  // namespace

const char* name_of(number_type type) { return row_of(type)->name; }

std::int64_t bytes_of(number_type type)
{
    const type_row* const row = row_of(type);
    return row ? row->bytes : 1;
}

number_type type_of(element e)
{
    switch (e) {
    case element::f64: return number_type::f64;
    case element::bf16: return number_type::bf16;
    case element::f16: return number_type::f16;
    default: return number_type::f32;  // what rows of quantised caches are computed in
    }
}

element element_of(number_type type, const std::string& what)
{
    switch (type) {
    case number_type::f32: return element::f32;
    case number_type::f64: return element::f64;
    case number_type::bf16: return element::bf16;
    case number_type::f16: return element::f16;
    default: throw py::value_error(what + ", must be float32, float64, float16 or bfloat16");
    }
}

array array_of(py::handle object, const std::string& what, bool is_written)
{
    if (PyObject_CheckBuffer(object.ptr())) return from_buffer(object, what, is_written);
    if (py::hasattr(object, "__dlpack__") && py::hasattr(object, "__dlpack_device__")) {
        try {
            return from_dlpack(object, what);
        } catch (py::error_already_set& e) {
            // Older versions of PyTorch give no tensor of bool this way, but as NumPy's array, which is the same
            // memory.
            if (is_written || !py::hasattr(object, "__array__")) throw;
            try {
                return from_buffer(py::module_::import("numpy").attr("asarray")(object), what, false);
            } catch (py::error_already_set&) {
            }
            throw;
        }
    }
    if (py::hasattr(object, "__array_interface__")) return from_interface(object, what, is_written);
    throw py::type_error(what + " is of type " + py::cast<std::string>(py::str(py::type::of(object).attr("__name__"))) +
                         ", must be an array: of NumPy, PyTorch, or with the buffer protocol, __dlpack__ or "
                         "__array_interface__");
}

tensor tensor_of(const array& a, const std::string& what)
{
    if (a.size.size() != 4)
        throw py::value_error(what + " is " + sizes_in_words(a.size) + ", must have four dimensions: [batch, heads, " +
                              "tokens, channels]");
    return tensor_from(a, what);
}

tensor table_of(const array& a, const std::string& what)
{
    if (a.size.size() < 2 || a.size.size() > 4)
        throw py::value_error(what + " is " + sizes_in_words(a.size) +
                              ", must have two to four dimensions, the last of " + "them queries and keys");
    return tensor_from(a, what);
}

void* dense_of(const array& a, number_type type, const std::vector<std::int64_t>& size, const std::string& what)
{
    if (a.type != type) throw py::value_error(what + " is " + a.type_name + ", must be " + name_of(type));
    if (a.size != size)
        throw py::value_error(what + " is " + sizes_in_words(a.size) + ", must be " + sizes_in_words(size));
    check_layout(a, what);
    std::int64_t dense = bytes_of(type);
    bool is_dense = true;
    for (std::size_t i = size.size(); i-- > 0; dense *= size[i])
        is_dense = is_dense && (size[i] <= 1 || a.stride[i] == dense);
    if (!is_dense && dense != 0) throw py::value_error(what + " must lie in memory row by row without gaps");
    return a.data;
}

py::array new_array(number_type type, const std::vector<std::int64_t>& size, const std::string& what)
{
    if (type == number_type::bf16) throw py::value_error(what + " must be given: NumPy has no bfloat16 to make one of");
    return py::array(py::dtype(name_of(type)), size);
}

std::vector<std::int64_t> whole_numbers(py::handle object, const std::string& what)
{
    const py::array a = vector_of(object, what, "iu", "whole numbers");
    const auto same = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>(a);
    return {same.data(), same.data() + same.size()};
}

std::vector<float> float_numbers(py::handle object, const std::string& what)
{
    const py::array a = vector_of(object, what, "iuf", "numbers");
    const auto same = py::array_t<float, py::array::c_style | py::array::forcecast>(a);
    return {same.data(), same.data() + same.size()};
}
