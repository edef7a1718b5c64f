// SPDX-License-Identifier: MIT
// The table: names, --help, files, reports, pictures and tests follow from its lines.
#include "normalizers.hpp"

namespace twins {
namespace {

double zero(int64) { return 0; }

/// At which factor * log n is 1 in the mean over n = 1 ... context, as softmax's scores have it.
double inverse_mean_log(int64 context)
{
    const double n = static_cast<double>(context);
    return context > 1 ? n / std::lgamma(n + 1) : 1;
}

}  // namespace

void add_normalizers(normalizer_table<number>& all)
{
    all.add({"softmax", "e^s / sum e^s"}, softmax_kernels<number>(sink_logit::none));
    all.add({"softpick", "max(e^s - 1, 0) / sum |e^s - 1|"}, softpick_kernels<number>());
    all.add({"softmax1", "e^s / (1 + sum e^s)"}, softmax_kernels<number>(sink_logit::zero));
    all.add({"sink", "e^s / (e^z + sum e^s); a head learns z", zero}, softmax_kernels<number>(sink_logit::learned));
    all.add({"entmax15", "max((s - tau) / 2, 0)^2; tau: they sum to 1"}, entmax15_kernels<number>());
    all.add({"sparsemax", "max(s - tau, 0); tau: they sum to 1"}, sparsemax_kernels<number>());
    all.add({"elastic", "max(a - 1 / i, 0); a: softmax, i: keys up to the query"}, elastic_kernels<number>());
    all.add({"stick-breaking", "sigmoid(s) times what newer keys left of 1"}, stick_breaking_kernels<number>());
    all.add({"sigmoid", "sigmoid(s - log n); n: the context"}, sigmoid_kernels<number>());
    all.add({"scalable-softpick", "softpick of f s log i; a head learns f, i: keys up to the query", inverse_mean_log},
            scalable_softpick_kernels<number>());
    all.add({"relu-softmax", "max(e^s - 1, 0) / sum max(e^s - 1, 0)"}, relu_softmax_kernels<number>());
    all.add({"rectified-only", "e^s [s >= 0] / sum e^s [s >= 0]"}, rectified_only_kernels<number>());
}

}  // namespace twins
