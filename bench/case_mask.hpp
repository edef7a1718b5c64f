// SPDX-License-Identifier: MIT
// The mask of a case, from heed's own. One type for all: a type each would compile every kernel several times.
#pragma once

#include "cases.hpp"

#include <heed/heed.hpp>

#include <memory>
#include <vector>

namespace bench {

class case_mask : public heed::span_mask<case_mask> {
public:
    explicit case_mask(const bench_case& c) : all_(c.mask == mask_kind::all)
    {
        if (c.mask == mask_kind::window) window_.left = c.mask_size - 1;
        if (c.mask != mask_kind::documents) return;
        for (std::int64_t d = 0; d <= c.mask_size; ++d) bounds_->push_back(c.document_begin(d));
    }
    heed::key_span span(const heed::query_place& at) const
    {
        if (all_) return {0, heed::unbounded};
        const heed::key_span below = heed::causal{}.span(at);
        if (bounds_->empty()) return {heed::max_of(window_.span(at).begin, 0), below.end};
        const heed::document own(bounds_->data(), static_cast<std::int64_t>(bounds_->size()));
        return {own.span(at).begin, below.end};
    }

private:
    bool all_;
    heed::window window_;
    std::shared_ptr<std::vector<std::int64_t>> bounds_ = std::make_shared<std::vector<std::int64_t>>();
};

}  // namespace bench
