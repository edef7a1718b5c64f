// SPDX-License-Identifier: MIT
// Arrays of other packages as heed's tensors, without a copy: the buffer protocol (NumPy), DLPack (PyTorch) and
// __array_interface__.
#pragma once

#include "calls.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <string>
#include <vector>

namespace py = pybind11;

enum class number_type : int { boolean, i32, i64, f16, bf16, f32, f64, other };

/// NumPy's names of types, and "bfloat16".
const char* name_of(number_type type);
std::int64_t bytes_of(number_type type);

/// The element that tensors of this type have; throws TypeError where there is none. `what` names the argument.
element element_of(number_type type, const std::string& what);
number_type type_of(element e);

/// An array in somebody else's memory, which is kept alive. It ends while the GIL is held.
struct array {
    void* data = nullptr;
    number_type type = number_type::other;
    std::string type_name;
    std::vector<std::int64_t> size, stride;  // strides in bytes
    std::shared_ptr<void> owner;
};

/// Reads any object that is an array in the memory of the CPU; `what` names it in errors. Where it will be written to,
/// it must be writable.
array array_of(py::handle object, const std::string& what, bool is_written = false);

/// [batch, heads, tokens, channels] of an array of four dimensions, or an error that says what it is instead.
tensor tensor_of(const array& a, const std::string& what);

/// [B, Hq, Sq, Skv] of a table of two to four dimensions; leading ones that it lacks are 1.
tensor table_of(const array& a, const std::string& what);

/// The pointer of a dense array of these sizes and type.
void* dense_of(const array& a, number_type type, const std::vector<std::int64_t>& size, const std::string& what);

/// A new array of NumPy's; ValueError for bfloat16, which NumPy lacks.
py::array new_array(number_type type, const std::vector<std::int64_t>& size, const std::string& what);

/// Whole numbers, and numbers, of a list or an array of one dimension: copies.
std::vector<std::int64_t> whole_numbers(py::handle object, const std::string& what);
std::vector<float> float_numbers(py::handle object, const std::string& what);
