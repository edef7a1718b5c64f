// SPDX-License-Identifier: MIT
// Texts beside points, where no other text, point or line stands.
#pragma once

#include "axes.hpp"

#include <string>
#include <vector>

namespace plot {

class labels {
public:
    explicit labels(const area& a) : area_(a) {}

    void avoid(point, double width = 5, double height = 5);
    void avoid_path(const std::vector<point>&);
    /// Writes the text at the first free place around p; a text without such a place is left out.
    void place(drawing&, point p, const std::string& text, const font&);

private:
    struct box {
        double left, top, right, bottom;
    };
    bool is_free(const box&) const;

    const area& area_;
    std::vector<box> taken_;
};

}  // namespace plot
