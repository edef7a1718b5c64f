// SPDX-License-Identifier: MIT
// One case of the ONNX Attention conformance suite: NAME.txt, one item a line, and the raw tensors of NAME.bin.
//
//     attr NAME int|float VALUE        in|out SLOT NAME DTYPE RANK DIMS... OFFSET BYTES        in|out SLOT - absent
//
// Every numeric tensor is widened to float (float16 too); booleans are 0 and 1.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace onnx {

using int64 = std::int64_t;

struct tensor {
    std::string type;  // float32, float16, bool, int64
    std::vector<int64> dims;
    std::vector<float> values;
    std::vector<int64> integers;

    bool is_half() const { return type == "float16"; }
};

/// float16 bits to float.
inline float widened(std::uint16_t bits)
{
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float magnitude;
    if (exponent == 31) magnitude = fraction ? std::nanf("") : INFINITY;
    else if (exponent == 0) magnitude = std::ldexp(static_cast<float>(fraction), -24);
    else magnitude = std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}

/// The distance of float16 neighbours at x.
inline double half_ulp(double x) { return std::ldexp(1.0, (x == 0 || std::ilogb(x) < -14 ? -14 : std::ilogb(x)) - 10); }

/// x rounded to the nearest float16, ties to even, as a double.
inline double rounded_to_half(double x)
{
    const double ulp = half_ulp(x);
    return std::nearbyint(x / ulp) * ulp;
}

struct test_case {
    std::string name;
    std::map<std::string, double> attributes;
    std::map<int, tensor> inputs, outputs;  // by slot

    bool has(const std::string& attribute) const { return attributes.count(attribute) != 0; }
    int64 number(const std::string& attribute, int64 otherwise) const
    {
        return has(attribute) ? static_cast<int64>(attributes.at(attribute)) : otherwise;
    }
    const tensor* input(int slot) const { return inputs.count(slot) ? &inputs.at(slot) : nullptr; }
    const tensor* output(int slot) const { return outputs.count(slot) ? &outputs.at(slot) : nullptr; }
};

/// Copies n elements of E at `offset`.
template <class E>
std::vector<E> elements(const std::vector<char>& bytes, std::size_t offset, std::size_t size)
{
    if (size % sizeof(E) != 0 || offset + size > bytes.size())
        throw std::runtime_error("onnx case: tensor out of file");
    std::vector<E> result(size / sizeof(E));
    if (size) std::memcpy(result.data(), bytes.data() + offset, size);
    return result;
}

inline tensor read_tensor(std::istream& line, const std::string& type, const std::vector<char>& bytes)
{
    tensor t;
    t.type = type;
    std::size_t rank = 0, offset = 0, size = 0, count = 1;
    line >> rank;
    for (std::size_t i = 0; i < rank; ++i) {
        int64 dim = 0;
        line >> dim;
        t.dims.push_back(dim);
        count *= static_cast<std::size_t>(dim);
    }
    line >> offset >> size;
    if (!line) throw std::runtime_error("onnx case: cannot read a tensor's line");
    if (type == "float32") t.values = elements<float>(bytes, offset, size);
    else if (type == "int64") t.integers = elements<int64>(bytes, offset, size);
    else if (type == "bool")
        for (const char c : elements<char>(bytes, offset, size)) t.values.push_back(c ? 1.f : 0.f);
    else if (type == "float16")
        for (const std::uint16_t h : elements<std::uint16_t>(bytes, offset, size)) t.values.push_back(widened(h));
    else throw std::runtime_error("onnx case: element type " + type);
    if (t.values.size() + t.integers.size() != count) throw std::runtime_error("onnx case: sizes disagree");
    return t;
}

/// Reads `path`.txt and `path`.bin; throws std::runtime_error.
inline test_case read_case(const std::string& path)
{
    std::ifstream header(path + ".txt"), body(path + ".bin", std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(body), {}};
    test_case c;
    bool ended = false;
    for (std::string text; std::getline(header, text);) {
        std::istringstream line(text);
        std::string word, name, type;
        line >> word;
        if (word == "case") line >> c.name;
        if (word == "end") ended = true;
        if (word == "attr") {
            std::string value;
            line >> name >> type >> value;
            if (type != "int" && type != "float") throw std::runtime_error("onnx case: attribute type " + type);
            c.attributes[name] = std::stod(value);
        }
        if (word == "in" || word == "out") {
            int slot = 0;
            line >> slot >> name >> type;
            if (type != "absent") (word == "in" ? c.inputs : c.outputs)[slot] = read_tensor(line, type, bytes);
        }
    }
    if (!ended) throw std::runtime_error("onnx case: no end in " + path);
    return c;
}

}  // namespace onnx
