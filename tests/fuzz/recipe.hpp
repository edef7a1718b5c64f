// SPDX-License-Identifier: MIT
// A definition as data: what is drawn, what the library makes of it, and the same in plain loops. The loops share
// nothing with the library's policies.
#pragma once

#include "memory.hpp"
#include "numbers.hpp"

#include <string>
#include <vector>

namespace fuzz {

enum class normalizer { softmax, softmax1, sink, softpick, sigmoid, relu1, relu2, stick_breaking };

/// What a definition meets.
struct extent {
    int64 batch = 0, query_heads = 0, kv_heads = 0, queries = 0, keys = 0;
};

/// A tensor [1 or B, 1 or H, 1 or Sq, keys] beside scores, rows at random steps.
template <class T>
struct score_table {
    T* data = nullptr;
    int64 size[4] = {}, stride[3] = {};

    const T& at(int64 b, int64 h, int64 i, int64 j) const
    {
        return data[(size[0] == 1 ? 0 : b * stride[0]) + (size[1] == 1 ? 0 : h * stride[1]) +
                    (size[2] == 1 ? 0 : i * stride[2]) + j];
    }
    heed::view<const T> view() const
    {
        return {data, {size[0], size[1], size[2], size[3]}, {stride[0], stride[1], stride[2]}};
    }

    /// Another size, unless that is sound as well: it would be of memory that is not there.
    template <class Sound>
    void spoil(input& in, Sound is_sound)
    {
        const score_table whole = *this;
        size[in.range(0, 3)] += in.range(-1, 1);
        if (is_sound()) *this = whole;
    }

    template <class F>
    static score_table drawn(input& in, const extent& e, F draw)
    {
        score_table t;
        const int64 full[3] = {e.batch, e.query_heads, e.queries};
        for (int i = 0; i < 3; ++i) t.size[i] = in.one_in(3) ? 1 : full[i];
        t.size[3] = e.keys;
        t.stride[2] = e.keys + in.range(0, 3);
        t.stride[1] = t.stride[2] * t.size[2] + in.range(0, 2);
        t.stride[0] = t.stride[1] * t.size[1];
        int64 n = t.stride[0] * t.size[0];
        if (t.size[0] == 0 || t.size[1] == 0 || t.size[2] == 0) n = 0;
        using stored = std::conditional_t<std::is_same_v<T, bool>, unsigned char, T>;  // no vector of bits
        std::vector<stored> numbers(static_cast<std::size_t>(n));
        for (stored& x : numbers) x = draw();
        t.data = reinterpret_cast<T*>(fuzz::table(in, numbers));
        return t;
    }
};

/// One score map.
template <class T>
struct map_step {
    enum kind { none, softcap, alibi, bias } what = none;
    double cap = 1;
    const float* slopes = nullptr;
    int64 heads = 0;
    score_table<T> table;
    bool is_attention_mask = false;  // -inf of a bias then leaves its key out, whatever that holds
    bool is_summarised = false;

    static map_step drawn(input& in, const extent& e, bool hostile)
    {
        map_step m;
        m.what = static_cast<kind>(in.range(0, 5) % 4);
        if (m.what == softcap) {
            constexpr double caps[] = {1, 5, 50, 0.1, 1e4};
            constexpr double wild_caps[] = {0, -1, 1e-30, 1e30, 1e31, 1e300, std::numeric_limits<double>::infinity()};
            m.cap = hostile ? in.one_of(wild_caps) : in.one_of(caps);
        } else if (m.what == alibi) {
            std::vector<float> slopes(static_cast<std::size_t>(e.query_heads + (hostile ? in.range(0, 1) : 0)));
            for (float& s : slopes) s = static_cast<float>(in.uniform() - 0.2) * (in.one_in(4) ? 0.01f : 0.5f);
            m.heads = static_cast<int64>(slopes.size());
            m.slopes = fuzz::table(in, slopes);
        } else if (m.what == bias) {
            const bool masks = in.one_in(2);
            m.table = score_table<T>::drawn(in, e, [&] {
                if (masks && in.random() % 4 == 0) return -std::numeric_limits<T>::infinity();
                return static_cast<T>(2 * in.normal());
            });
            m.is_attention_mask = in.one_in(2);
            m.is_summarised = in.one_in(2);
            if (m.is_attention_mask && in.one_in(2)) m.smooth_out(in);
            if (hostile) m.table.spoil(in, [&] { return m.is_sound(e); });
            m.is_summarised = m.is_summarised && m.is_sound(e);  // a spoiled table is larger than its memory
        }
        return m;
    }
    /// Runs of zeros and of -inf in place of most entries.
    void smooth_out(input& in)
    {
        if (table.size[0] == 0 || table.size[1] == 0 || table.size[2] == 0 || table.size[3] == 0) return;
        const int64 rows = table.stride[0] * table.size[0] / table.stride[2];
        for (int64 row = 0; row < rows; ++row) {
            const int64 begin = in.range(0, table.size[3]), end = in.range(begin, table.size[3]);
            T* const x = table.data + row * table.stride[2];
            for (int64 j = 0; j < table.size[3]; ++j)
                if (in.random() % 64 != 0) x[j] = begin <= j && j < end ? T(0) : -std::numeric_limits<T>::infinity();
        }
    }
    bool leaves_out(int64 b, int64 h, int64 i, int64 j) const
    {
        return what == bias && is_attention_mask && table.at(b, h, i, j) == -std::numeric_limits<T>::infinity();
    }
    bool is_sound(const extent& e) const
    {
        if (what == softcap) return cap >= 1e-30 && cap <= 1e30;
        if (what == alibi) return heads == e.query_heads;
        if (what != bias) return true;
        return (table.size[0] == e.batch || table.size[0] == 1) &&
               (table.size[1] == e.query_heads || table.size[1] == 1) &&
               (table.size[2] == e.queries || table.size[2] == 1) && table.size[3] == e.keys;
    }
};

/// One mask.
struct mask_leaf {
    enum kind { all, causal, top_left, offset, window, prefix, lengths, document, dense, where } what = all;
    int64 left = 0, right = 0;  // of a window; left also is an offset or a number of keys
    const int64* numbers = nullptr;
    int64 count = 0;
    score_table<bool> table;
    bool is_summarised = false;  // of a dense one
    unsigned salt = 0;

    static mask_leaf drawn(input& in, const extent& e, bool hostile)
    {
        mask_leaf m;
        m.what = static_cast<kind>(in.range(0, 9));
        m.salt = static_cast<unsigned>(in.range(1, 200));
        const auto near = [&] { return in.one_in(4) ? in.range(0, 3) : in.range(0, e.keys + 2); };
        m.left = near();
        m.right = near();
        if (m.what == offset) m.left -= in.range(0, e.queries + 1);
        if (m.what == window && in.one_in(4)) (in.one_in(2) ? m.left : m.right) = heed::unbounded;
        if (hostile && in.one_in(2)) (in.one_in(2) ? m.left : m.right) = in.hostile();
        if (m.what == lengths) {
            std::vector<int64> n(static_cast<std::size_t>(e.batch + (hostile && in.one_in(3) ? 1 : 0)));
            for (int64& x : n) x = hostile && in.one_in(4) ? in.hostile() : in.range(0, e.keys);
            m.count = static_cast<int64>(n.size());
            m.numbers = fuzz::table(in, n);
        } else if (m.what == document) {
            std::vector<int64> n{0};
            while (n.back() < e.keys && n.size() < 6) n.push_back(n.back() + in.range(0, e.keys));
            if (n.size() < 2) n.push_back(0);
            if (n.back() > e.keys) n.back() = e.keys;
            if (hostile) n[static_cast<std::size_t>(in.range(0, static_cast<int64>(n.size()) - 1))] = in.hostile();
            m.count = static_cast<int64>(n.size());
            m.numbers = fuzz::table(in, n);
        } else if (m.what == dense) {
            const auto share = static_cast<std::uint64_t>(in.range(1, 5));
            m.table = score_table<bool>::drawn(in, e, [&] { return in.random() % 6 < share; });
            m.is_summarised = in.one_in(2);
            if (hostile) m.table.spoil(in, [&] { return m.is_sound(e); });
            m.is_summarised = m.is_summarised && m.is_sound(e);
        }
        return m;
    }
    bool is_sound(const extent& e) const
    {
        constexpr int64 limit = int64{1} << 60;
        switch (what) {
        case offset: return left >= -limit && left <= limit;
        case window:
            return (left == heed::unbounded || (left >= 0 && left <= limit)) &&
                   (right == heed::unbounded || (right >= 0 && right <= limit));
        case prefix: return left >= 0;
        case lengths:
            for (int64 i = 0; i < count; ++i)
                if (numbers[i] < 0 || numbers[i] > e.keys) return false;
            return count == e.batch;
        case document:
            for (int64 i = 1; i < count; ++i)
                if (numbers[i] < numbers[i - 1]) return false;
            return numbers[0] == 0 && numbers[count - 1] <= e.keys;
        case dense:
            return (table.size[0] == e.batch || table.size[0] == 1) &&
                   (table.size[1] == e.query_heads || table.size[1] == 1) &&
                   (table.size[2] == e.queries || table.size[2] == 1) && table.size[3] == e.keys;
        default: return true;
        }
    }
    static bool predicate(unsigned salt, int64 b, int64 h, int64 position, int64 key)
    {
        const auto of = [](int64 x, unsigned factor) { return static_cast<std::uint64_t>(x) * factor; };
        return ((of(b, 7) + of(h, 3) + of(position, 5) + of(key, 11)) * salt >> 3) % 4 != 0;
    }
    bool attends(int64 b, int64 h, int64 row, int64 position, int64 key) const
    {
        const wide p = position, j = key;
        switch (what) {
        case all: return true;
        case causal: return j <= p;
        case top_left: return key <= row;
        case offset: return j <= wide{row} + left;
        case window: return (left == heed::unbounded || j >= p - left) && (right == heed::unbounded || j <= p + right);
        case prefix: return key < left;
        case lengths: return key < numbers[b];
        case document:
            for (int64 d = 0; d + 1 < count; ++d)
                if (numbers[d] <= position && position < numbers[d + 1])
                    return numbers[d] <= key && key < numbers[d + 1];
            return false;
        case dense: return table.at(b, h, row, key);
        case where: return predicate(salt, b, h, position, key);
        }
        return false;
    }
};

/// One mask, or two that are combined.
struct mask_tree {
    enum kind { one, both, either } what = one;
    mask_leaf a, b;

    static mask_tree drawn(input& in, const extent& e, bool hostile)
    {
        mask_tree t;
        t.what = static_cast<kind>(in.range(0, 2));
        t.a = mask_leaf::drawn(in, e, hostile);
        if (t.what != one) t.b = mask_leaf::drawn(in, e, hostile && in.one_in(2));
        return t;
    }
    bool is_sound(const extent& e) const { return a.is_sound(e) && (what == one || b.is_sound(e)); }
    bool attends(int64 batch, int64 h, int64 row, int64 position, int64 key) const
    {
        const bool x = a.attends(batch, h, row, position, key);
        if (what == one) return x;
        const bool y = b.attends(batch, h, row, position, key);
        return what == both ? x && y : x || y;
    }
};

/// A definition.
template <class T>
struct recipe {
    normalizer n = normalizer::softmax;
    double parameter = 0;  // n of softmax1, eps of softpick, bias of sigmoid
    const float* logits = nullptr;
    int64 logit_count = 0;
    map_step<T> maps[2];
    mask_tree mask;
    double scale = 1;
    bool has_offsets = true;
    std::vector<int64> offsets;  // one, or one a sequence
    const int64* offset_table = nullptr;

    double log_offset(int64 head) const
    {
        if (n == normalizer::sink) return number(logits[head]);
        return n == normalizer::softmax1 || n == normalizer::softpick ? std::log(parameter)
                                                                      : -std::numeric_limits<double>::infinity();
    }
    int64 position_0(int64 b, int64 queries, int64 keys) const
    {
        return has_offsets ? offsets[offset_table ? static_cast<std::size_t>(b) : 0] : keys - queries;
    }
    bool is_sound(const extent& e) const
    {
        constexpr int64 limit = int64{1} << 60;
        const bool finite = std::isfinite(parameter);
        if (n == normalizer::sigmoid && !finite) return false;
        if ((n == normalizer::softmax1 || n == normalizer::softpick) && !(finite && parameter >= 0)) return false;
        if (n == normalizer::sink) {
            if (logit_count != e.query_heads) return false;
            for (int64 h = 0; h < logit_count; ++h)
                if (!(logits[h] < std::numeric_limits<float>::infinity())) return false;
        }
        for (const auto& m : maps)
            if (!m.is_sound(e)) return false;
        if (offset_table && static_cast<int64>(offsets.size()) != e.batch) return false;
        for (const int64 o : offsets)
            if (o < -limit || o > limit) return false;
        return mask.is_sound(e) && std::isfinite(static_cast<T>(scale));
    }

    /// Draws all but the normalizer's kind. `plain`: no maps, no mask, no offset. `ragged`: rows of sequences differ,
    /// so that tables by row are of the longest.
    static recipe drawn(input& in, normalizer n, const extent& e, int64 key_dim, bool plain, bool hostile)
    {
        recipe r;
        r.n = n;
        constexpr double parameters[] = {1, 0, 0.5, 1e-3, 4, 1e-6};
        r.parameter = n == normalizer::sigmoid ? -3 * in.uniform() : in.one_of(parameters);
        const int64 wrong = hostile ? in.range(0, 7) : -1;  // what is drawn wild
        if (wrong == 0) {
            constexpr double wild[] = {-1, 1e300, 1e-320, std::numeric_limits<double>::infinity(), -1e40};
            r.parameter = in.one_of(wild);
        }
        if (n == normalizer::sink) {
            std::vector<float> z(static_cast<std::size_t>(e.query_heads + (wrong == 1 ? in.range(0, 1) : 0)));
            for (float& x : z)
                x = in.one_in(8) ? -std::numeric_limits<float>::infinity() : static_cast<float>(3 * in.normal());
            if (wrong == 1 && !z.empty() && in.one_in(2)) z[0] = static_cast<float>(special(in));
            r.logit_count = static_cast<int64>(z.size());
            r.logits = table(in, z);
        }
        constexpr double scales[] = {1, 0.25, 2, -1, 0, 0.1767766952966369};
        r.scale = in.one_in(3) ? in.one_of(scales) : 1 / std::sqrt(static_cast<double>(key_dim));
        if (wrong == 2) r.scale = in.one_in(2) ? special(in) : 1e39;
        if (plain) {
            r.has_offsets = false;
            return r;
        }
        for (auto& m : r.maps) m = map_step<T>::drawn(in, e, wrong == 3);
        r.mask = mask_tree::drawn(in, e, wrong == 4 || wrong == 5);
        const auto offset = [&] { return e.keys - e.queries + (in.one_in(3) ? in.range(-3, 3) : 0); };
        if (in.one_in(4)) {
            for (int64 b = 0; b < e.batch; ++b) r.offsets.push_back(offset());
            if (wrong == 6) r.offsets.push_back(0);
            if (wrong == 7 && e.batch > 0) r.offsets[0] = in.hostile();
            r.offset_table = table(in, r.offsets);
        } else {
            r.offsets.push_back(wrong == 7 ? in.hostile() : offset());
        }
        return r;
    }
};

}  // namespace fuzz
