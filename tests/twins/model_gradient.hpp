// SPDX-License-Identifier: MIT
// A whole model's gradient in double, every component of every tensor, against central differences of its loss.
#pragma once

#include "../../examples/twins/normalizers.hpp"
#include "../../examples/twins/transformer.hpp"

#include <catch2/catch.hpp>

namespace test {

using namespace twins;

/// The largest difference of a component of a tensor, over the tensor's largest component.
inline double worst_error(const config& c, const attention<double>& attend, bool learns)
{
    const layout at(c, learns);
    std::vector<double> p = initial_parameters<double>(at, 3), g(p.size());
    random_stream random{9};
    for (double& x : p) x *= 1.5;  // the initial classifier is too small to see much through
    const tensor_place& learned = at.of(tensor::of_heads);
    for (int64 i = learned.offset; i < learned.end(); ++i)  // exact in float, with and without the difference below
        p[static_cast<std::size_t>(i)] = std::ldexp(static_cast<double>(random.below(64) - 32), -5);
    const int64 count = c.context - 1;
    std::vector<int> window;
    for (int64 i = 0; i < c.context; ++i) window.push_back(static_cast<int>(random.below(c.vocabulary)));

    transformer<double> model(c, attend);
    const auto loss = [&] {
        model.forward({at, p.data()}, window.data(), count);
        return 0.3 * model.loss(window.data() + 1);
    };
    loss();
    model.backward({at, p.data()}, window.data() + 1, 0.3, {at, g.data()});

    double worst = 0;
    for (const tensor_place& t : at.places()) {
        const double h = &t == &learned ? 0x1p-14 : 1e-6;  // small: some weights have kinks
        double error = 0, largest = 0;
        for (int64 i = t.offset; i < t.end(); ++i) {
            double& x = p[static_cast<std::size_t>(i)];
            const double here = x, gradient = g[static_cast<std::size_t>(i)];
            x = here + h;
            const double above = loss();
            x = here - h;
            const double below = loss();
            x = here;
            error = std::max(error, std::abs((above - below) / (2 * h) - gradient));
            largest = std::max(largest, std::abs(gradient));
        }
        if (t.size() == 0) continue;
        INFO(t.name << ": " << error << " of " << largest);
        CHECK(largest > 1e-4);  // something to compare
        worst = std::max(worst, error / largest);
    }
    return worst;
}

inline const config tied{16, 20, 2, 4, 2, 11, 13, true}, untied{12, 18, 1, 2, 2, 9, 10, false};

/// Of models with the n-th line of a table.
inline void check_gradient(const normalizer_table<double>& table, std::size_t n)
{
    const normalizer& line = table.lines()[n];
    for (const config& c : {tied, untied}) {
        const double error = worst_error(c, *table.kernels_at(n).make(c.context), line.learned_from != nullptr);
        INFO(line.name << " of " << c.layers << " layers: " << error);
        CHECK(error < 1e-6);
    }
}

}  // namespace test
