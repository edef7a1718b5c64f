// SPDX-License-Identifier: MIT
// Caches of keys and values that own their memory.
#pragma once

#include "arrays.hpp"
#include "calling.hpp"

/// A cache of B sequences: one tensor, a ring that keeps the last tokens, or a pool of pages.
class cache {
public:
    /// `rows` is [B, Hkv, capacity] for a tensor or a ring, and [pages, Hkv, tokens of a page] for pages.
    cache(storage kind, const std::string& name, std::int64_t batch, std::vector<std::int64_t> rows, std::int64_t dim,
          py::handle value_dim, const std::string& dtype);

    element of() const { return element_; }
    storage kind() const { return kind_; }
    std::int64_t batch() const { return static_cast<std::int64_t>(lengths_.size()); }
    std::int64_t heads() const { return rows_[1]; }
    std::int64_t dim() const { return dim_; }
    std::int64_t value_dim() const { return value_dim_; }
    const std::vector<std::int64_t>& lengths() const { return lengths_; }
    std::int64_t bytes() const;
    std::int64_t free_pages() const { return static_cast<std::int64_t>(free_.size()); }
    const std::vector<std::int64_t>& pages(std::int64_t sequence) const;
    std::string text() const;

    /// Appends rows [Hkv, n, D] to one sequence, or [B, Hkv, n, D] to all of them where `sequence` is None.
    void append(py::handle k, py::handle v, py::handle sequence);
    /// Tokens [start, stop) of a sequence as numbers: what is attended to.
    py::tuple fetch(std::int64_t sequence, std::int64_t start, py::handle stop) const;
    /// Forgets the tokens of a sequence from `length` on.
    void truncate(std::int64_t sequence, std::int64_t length);

    /// Where its keys and values lie, for one call: numbers that other calls change are copied.
    struct snapshot {
        std::vector<std::int64_t> lengths, firsts, pages;
        key_storage kv;  // points into these

        snapshot() = default;
        snapshot(snapshot&&) = default;
        snapshot& operator=(snapshot&&) = default;
    };
    snapshot look() const;

private:
    void check_sequence(const std::string& verb, std::int64_t sequence) const;
    /// Makes a sequence longer, with the pages that it takes; false where there are too few.
    bool lengthen(std::int64_t sequence, std::int64_t length);
    void shorten(std::int64_t sequence, std::int64_t length);

    storage kind_;
    std::string name_;
    element element_;
    std::vector<std::int64_t> rows_;
    std::int64_t dim_, value_dim_;
    std::vector<unsigned char> k_, v_;
    std::vector<std::int64_t> lengths_, longest_;   // of sequences, and what they ever were
    std::vector<std::vector<std::int64_t>> pages_;  // of sequences
    std::vector<std::int64_t> free_;                // pages, the next one last
};
