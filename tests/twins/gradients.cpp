// SPDX-License-Identifier: MIT
// The whole model's gradient in double, every component of every tensor, against central differences of its loss.
#include "../../examples/twins/attention_of.hpp"
#include "../../examples/twins/transformer.hpp"

#include <catch2/catch.hpp>

using namespace twins;

namespace {

/// The largest difference of a component of a tensor, over the tensor's largest component.
double worst_error(const config& c, const attention<double>& attend, bool sinks)
{
    const layout at(c, sinks);
    std::vector<double> p = initial_parameters<double>(at, 3), g(p.size());
    random_stream random{9};
    for (double& x : p) x *= 1.5;  // the initial classifier is too small to see much through
    const tensor_place& logits = at.of(tensor::sinks);
    for (int64 i = logits.offset; i < logits.end(); ++i)  // exact in float, with and without the difference below
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
        const double h = &t == &logits ? 0x1p-10 : 1e-5;
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

const config tied{16, 20, 2, 4, 2, 11, 13, true}, untied{12, 18, 1, 2, 2, 9, 10, false};

}  // namespace

TEST_CASE("the gradient of a model is that of its loss: softmax, and learned sinks")
{
    using logit = make_sink::logit;
    REQUIRE(worst_error(tied, attention_of<double, make_sink>({logit::none}), false) < 1e-6);
    REQUIRE(worst_error(tied, attention_of<double, make_sink>({logit::learned}), true) < 1e-6);
    REQUIRE(worst_error(untied, attention_of<double, make_sink>({logit::zero}), false) < 1e-6);
}

TEST_CASE("the gradient of a model is that of its loss: softpick")
{
    using softpick = attention_of<double, make_fixed<heed::softpick>>;
    REQUIRE(worst_error(tied, softpick({}), false) < 1e-6);
    REQUIRE(worst_error(untied, softpick({}), false) < 1e-6);
}
