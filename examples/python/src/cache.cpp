// SPDX-License-Identifier: MIT
#include "cache.hpp"

#include <algorithm>
#include <limits>

namespace {

using big = std::vector<std::int64_t>;

element element_named(const std::string& what, const std::string& dtype)
{
    for (int i = 0; i < element_count; ++i)
        if (dtype == name_of(static_cast<element>(i))) return static_cast<element>(i);
    throw py::value_error(what + ": dtype is '" + dtype +
                          "', must be float32, float64, bfloat16, float16, q8_0 or q4_0");
}

}  // namespace

cache::cache(storage kind, const std::string& name, std::int64_t batch, big rows, std::int64_t dim,
             py::handle value_dim, const std::string& dtype)
    : kind_(kind), name_(name), element_(element_named(name, dtype)), rows_(std::move(rows)), dim_(dim),
      value_dim_(value_dim.is_none() ? dim : py::cast<std::int64_t>(value_dim))
{
    const auto& [channels, bytes] = [&] {
        const cache_verbs& verbs = kernels_here().caches[static_cast<int>(element_)];
        return std::pair<std::int64_t, std::int64_t>(verbs.channels, verbs.bytes);
    }();
    if (batch < 0 || std::any_of(rows_.begin(), rows_.end(), [](std::int64_t n) { return n < 0; }))
        throw py::value_error(name + ": a negative size");
    if (dim_ < 1 || value_dim_ < 1) throw py::value_error(name + ": dim and value_dim must be at least 1");
    if (dim_ % channels != 0 || value_dim_ % channels != 0)
        throw py::value_error(name + ": dim " + std::to_string(dim_) + " and value_dim " + std::to_string(value_dim_) +
                              " must be multiples of " + std::to_string(channels) + ", the channels of a block of " +
                              dtype);
    if (rows_[2] < 1) throw py::value_error(name + ": no room for a token");
    const auto bytes_for = [&](std::int64_t d) {
        std::int64_t all = 1;
        bool overflows = false;
        for (const std::int64_t n : {rows_[0], rows_[1], rows_[2], d / channels, bytes})
            overflows = overflows || __builtin_mul_overflow(all, n, &all);
        if (overflows || all > std::numeric_limits<std::ptrdiff_t>::max() / 4)
            throw py::value_error(name + ": its size is beyond 64 bits");
        return static_cast<std::size_t>(all);
    };
    const std::size_t of_k = bytes_for(dim_), of_v = bytes_for(value_dim_);
    k_.resize(of_k);
    v_.resize(of_v);
    lengths_.resize(static_cast<std::size_t>(batch));
    longest_.resize(static_cast<std::size_t>(batch));
    pages_.resize(static_cast<std::size_t>(batch));
    if (kind_ == storage::paged)
        for (std::int64_t page = rows_[0]; page-- > 0;) free_.push_back(page);
}

std::int64_t cache::bytes() const { return static_cast<std::int64_t>(k_.size() + v_.size()); }

std::string cache::text() const
{
    const auto n = [](std::int64_t i) { return std::to_string(i); };
    const std::string size =
        kind_ == storage::paged ? n(rows_[0]) + " pages of " + n(rows_[2]) + " tokens" : n(rows_[2]) + " tokens each";
    return "<heed." + name_ + ": " + n(batch()) + " sequences, " + size + ", " + n(heads()) + " heads of " + n(dim_) +
           (value_dim_ == dim_ ? "" : " and " + n(value_dim_)) + ", " + name_of(element_) + ">";
}

void cache::check_sequence(const std::string& verb, std::int64_t sequence) const
{
    if (sequence < 0 || sequence >= batch())
        throw py::value_error(verb + ": sequence is " + std::to_string(sequence) + ", of " + std::to_string(batch()));
}

const big& cache::pages(std::int64_t sequence) const
{
    check_sequence("pages", sequence);
    return pages_[static_cast<std::size_t>(sequence)];
}

bool cache::lengthen(std::int64_t sequence, std::int64_t length)
{
    const auto b = static_cast<std::size_t>(sequence);
    if (kind_ == storage::paged) {
        const std::int64_t needed = (length + rows_[2] - 1) / rows_[2];
        if (needed - static_cast<std::int64_t>(pages_[b].size()) > free_pages()) return false;
        while (static_cast<std::int64_t>(pages_[b].size()) < needed) {
            pages_[b].push_back(free_.back());
            free_.pop_back();
        }
    }
    lengths_[b] = length;
    return true;
}

void cache::shorten(std::int64_t sequence, std::int64_t length)
{
    const auto b = static_cast<std::size_t>(sequence);
    lengths_[b] = length;
    if (kind_ != storage::paged) return;
    while (static_cast<std::int64_t>(pages_[b].size()) > (length + rows_[2] - 1) / rows_[2]) {
        free_.push_back(pages_[b].back());
        pages_[b].pop_back();
    }
}

void cache::append(py::handle k, py::handle v, py::handle sequence)
{
    const array k_array = array_of(k, "append: k"), v_array = array_of(v, "append: v");
    const number_type rows = element_ == element::f64 ? number_type::f64 : number_type::f32;
    const bool is_one = !sequence.is_none();
    const auto tensor_for = [&](array a, const std::string& what) {
        if (a.type != rows)
            throw py::value_error(what + " is " + a.type_name + ", must be " + name_of(rows) + ": the cache rounds");
        if (is_one && a.size.size() == 3) {
            a.size.insert(a.size.begin(), 1);
            a.stride.insert(a.stride.begin(), 0);
        }
        return tensor_of(a, what);
    };
    const tensor k_rows = tensor_for(k_array, "append: k"), v_rows = tensor_for(v_array, "append: v");
    const std::int64_t first = is_one ? py::cast<std::int64_t>(sequence) : 0, count = is_one ? 1 : batch();
    if (is_one) check_sequence("append", first);
    const std::int64_t n = k_rows.size[2];
    const auto check_size = [&](const tensor& t, const std::string& what, std::int64_t channels) {
        const big have(t.size, t.size + 4), want{count, heads(), n, channels};
        if (have == want) return;
        std::string text = what + " is [";
        for (int i = 0; i < 4; ++i) text += (i ? ", " : "") + std::to_string(have[static_cast<std::size_t>(i)]);
        text += "], must be [";
        for (int i = 0; i < 4; ++i) text += (i ? ", " : "") + std::to_string(want[static_cast<std::size_t>(i)]);
        throw py::value_error(text + "]");
    };
    check_size(k_rows, "append: k", dim_);
    check_size(v_rows, "append: v", value_dim_);

    const big before = lengths_;
    outcome o;
    std::string full;
    for (std::int64_t b = first; b < first + count && full.empty(); ++b) {
        const std::int64_t length = lengths_[static_cast<std::size_t>(b)] + n;
        if (kind_ == storage::dense && length > rows_[2])
            full = "append: sequence " + std::to_string(b) + ": " + std::to_string(length) + " tokens in a cache of " +
                   std::to_string(rows_[2]);
        else if (kind_ == storage::ring && n > rows_[2])
            full = "append: " + std::to_string(n) + " tokens at once to a ring of " + std::to_string(rows_[2]);
        else if (!lengthen(b, length))
            full = "append: sequence " + std::to_string(b) + " needs more pages than the " +
                   std::to_string(free_pages()) + " that are free";
    }
    if (full.empty() && n > 0) {
        const snapshot at = look();
        const py::gil_scoped_release release;
        for (std::int64_t b = first; b < first + count && o.code == 0; ++b) {
            cache_call call{at.kv, b, before[static_cast<std::size_t>(b)], k_rows, v_rows};
            for (tensor* t : {&call.k, &call.v}) {
                t->data = static_cast<char*>(t->data) + (b - first) * t->stride[0] * bytes_of(rows);
                t->size[0] = 1;
            }
            kernels_here().caches[static_cast<int>(element_)].append(call, o);
        }
    }
    if (o.code != 0 || !full.empty()) {
        for (std::int64_t b = first; b < first + count; ++b) shorten(b, before[static_cast<std::size_t>(b)]);
        if (!full.empty()) throw py::value_error(full);
        check(o);
    }
    for (std::size_t b = 0; b < lengths_.size(); ++b) longest_[b] = std::max(longest_[b], lengths_[b]);
}

py::tuple cache::fetch(std::int64_t sequence, std::int64_t start, py::handle stop) const
{
    check_sequence("fetch", sequence);
    const std::int64_t end =
        stop.is_none() ? lengths_[static_cast<std::size_t>(sequence)] : py::cast<std::int64_t>(stop);
    if (end < start)
        throw py::value_error("fetch: tokens [" + std::to_string(start) + ", " + std::to_string(end) + ")");
    const number_type type = element_ == element::f64 ? number_type::f64 : number_type::f32;
    py::array k = new_array(type, {heads(), end - start, dim_}, "fetch"),
              v = new_array(type, {heads(), end - start, value_dim_}, "fetch");
    const auto tensor_for = [&](py::array& a, std::int64_t channels) {
        tensor t;
        t.data = a.mutable_data();
        const std::int64_t size[] = {1, heads(), end - start, channels};
        std::copy(size, size + 4, t.size);
        t.stride[1] = (end - start) * channels;
        t.stride[2] = channels;
        return t;
    };
    const snapshot at = look();
    const cache_call call{at.kv, sequence, start, tensor_for(k, dim_), tensor_for(v, value_dim_)};
    outcome o;
    {
        const py::gil_scoped_release release;
        kernels_here().caches[static_cast<int>(element_)].fetch(call, o);
    }
    check(o);
    return py::make_tuple(k, v);
}

void cache::truncate(std::int64_t sequence, std::int64_t length)
{
    check_sequence("truncate", sequence);
    if (length < 0 || length > lengths_[static_cast<std::size_t>(sequence)])
        throw py::value_error("truncate: length is " + std::to_string(length) + ", of " +
                              std::to_string(lengths_[static_cast<std::size_t>(sequence)]) + " tokens");
    shorten(sequence, length);
    if (length == 0) longest_[static_cast<std::size_t>(sequence)] = 0;  // begins anew
}

cache::snapshot cache::look() const
{
    snapshot s;
    s.lengths = lengths_;
    const std::int64_t channels = kernels_here().caches[static_cast<int>(element_)].channels;
    const auto tensor_for = [&](const std::vector<unsigned char>& memory, std::int64_t d) {
        tensor t;
        t.data = const_cast<unsigned char*>(memory.data());
        const std::int64_t size[] = {rows_[0], rows_[1], rows_[2], d}, row = d / channels;
        std::copy(size, size + 4, t.size);
        t.stride[0] = rows_[1] * rows_[2] * row;
        t.stride[1] = rows_[2] * row;
        t.stride[2] = row;
        return t;
    };
    s.kv.kind = kind_;
    s.kv.k = tensor_for(k_, dim_);
    s.kv.v = tensor_for(v_, value_dim_);
    if (kind_ == storage::ring)
        for (const std::int64_t n : longest_) s.firsts.push_back(n - rows_[2]);
    if (kind_ == storage::paged) {
        std::size_t width = 0;
        for (const big& p : pages_) width = std::max(width, p.size());
        s.kv.width = static_cast<std::int64_t>(width);
        s.pages.assign(width * pages_.size(), 0);
        for (std::size_t b = 0; b < pages_.size(); ++b)
            std::copy(pages_[b].begin(), pages_[b].end(), s.pages.begin() + static_cast<std::ptrdiff_t>(b * width));
    }
    const auto view = [](const big& n) { return numbers{n.data(), static_cast<std::int64_t>(n.size())}; };
    s.kv.lengths = view(s.lengths), s.kv.firsts = view(s.firsts), s.kv.pages = view(s.pages);
    return s;
}
