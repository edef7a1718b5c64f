// SPDX-License-Identifier: MIT
// Which page of a cache holds which tokens of which sequence. Pages are handed out as sequences grow, and come back
// when one ends, so that another may have them.
#pragma once

#include "llama2c.hpp"

#include <algorithm>

namespace llama2c {

class pages {
public:
    /// For sequences of up to `longest` tokens, in pages of `slots`.
    pages(int64 sequences, int64 longest, int64 slots)
        : slots_(slots), width_((longest + slots - 1) / slots), lengths_(static_cast<std::size_t>(sequences)),
          table_(static_cast<std::size_t>(sequences * width_))
    {}

    int64 slots() const { return slots_; }
    int64 sequences() const { return static_cast<int64>(lengths_.size()); }
    int64 length(int64 sequence) const { return lengths_[static_cast<std::size_t>(sequence)]; }
    /// The most pages and the most tokens that were held at once: what the pool must have room for, and what of it was
    /// used.
    int64 most_pages() const { return made_; }
    int64 most_tokens() const { return most_tokens_; }

    /// Adds tokens to a sequence, which then has at most `longest`.
    void extend(int64 sequence, int64 tokens)
    {
        int64& length = lengths_[static_cast<std::size_t>(sequence)];
        for (int64 i = pages_for(length); i < pages_for(length + tokens); ++i) {
            if (free_.empty()) free_.push_back(made_++);
            entry(sequence, i) = free_.back();
            free_.pop_back();
        }
        length += tokens;
        tokens_ += tokens;
        most_tokens_ = std::max(most_tokens_, tokens_);
    }

    /// The sequence has ended: it holds nothing any more.
    void release(int64 sequence)
    {
        int64& length = lengths_[static_cast<std::size_t>(sequence)];
        for (int64 i = 0; i < pages_for(length); ++i) free_.push_back(entry(sequence, i));
        tokens_ -= length;
        length = 0;
    }

    heed::page_table table() const
    {
        return heed::page_table::padded({table_.data(), static_cast<int64>(table_.size())}, width_,
                                        {lengths_.data(), sequences()});
    }

private:
    int64 pages_for(int64 tokens) const { return (tokens + slots_ - 1) / slots_; }
    int64& entry(int64 sequence, int64 i) { return table_[static_cast<std::size_t>(sequence * width_ + i)]; }

    int64 slots_, width_;
    std::vector<int64> lengths_, table_;  // table_: [sequence][page]
    std::vector<int64> free_;
    int64 made_ = 0, tokens_ = 0, most_tokens_ = 0;
};

}  // namespace llama2c
