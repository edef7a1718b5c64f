// SPDX-License-Identifier: MIT
// The layers of a Llama-style model that are not matrix products or attention, forward and backward. Rows are tokens.
#pragma once

#include "parameters.hpp"

namespace twins {

/// y = x r w by row, r = (mean(x^2) + 1e-5)^(-1/2).
template <class T, class Weight>
void rms_norm(const matrix<T>& x, const Weight& w, matrix<T>& y, column<T>& r)
{
    for (Eigen::Index i = 0; i < x.rows(); ++i) {
        r[i] = 1 / std::sqrt(x.row(i).squaredNorm() / static_cast<T>(x.cols()) + T(1e-5));
        y.row(i) = x.row(i).cwiseProduct(w.row(0)) * r[i];
    }
}

/// dx += r (w dy) - x r^3 ((w dy) . x) / dim,   dw += sum over rows of dy x r.
template <class T, class Weight, class Gradient>
void rms_norm_backward(const matrix<T>& x, const Weight& w, const column<T>& r, matrix<T>& dy, matrix<T>& dx,
                       Gradient dw)
{
    for (Eigen::Index i = 0; i < x.rows(); ++i) {
        dw.row(0) += dy.row(i).cwiseProduct(x.row(i)) * r[i];
        dy.row(i) = dy.row(i).cwiseProduct(w.row(0));
        const T along = dy.row(i).dot(x.row(i)) * r[i] * r[i] / static_cast<T>(x.cols());
        dx.row(i) += r[i] * (dy.row(i) - along * x.row(i));
    }
}

/// Rotary positions (Su et al. 2021) on neighbouring pairs of channels, base 10000, as llama2.c has them.
template <class T>
class rope {
public:
    rope(int64 context, int64 head_dim) : cos_(context, head_dim / 2), sin_(context, head_dim / 2)
    {
        for (int64 i = 0; i < context; ++i)
            for (int64 c = 0; c < head_dim / 2; ++c) {
                const double angle =
                    static_cast<double>(i) * std::pow(1e4, -2 * static_cast<double>(c) / static_cast<double>(head_dim));
                cos_(i, c) = static_cast<T>(std::cos(angle));
                sin_(i, c) = static_cast<T>(std::sin(angle));
            }
    }

    void rotate(matrix<T>& x) const { turn(x, 1); }
    /// The transpose, which is the gradient's way back.
    void rotate_back(matrix<T>& x) const { turn(x, -1); }

    const matrix<T>& cos() const { return cos_; }
    const matrix<T>& sin() const { return sin_; }

private:
    void turn(matrix<T>& x, T sign) const
    {
        const Eigen::Index pairs = cos_.cols();
        for (Eigen::Index i = 0; i < x.rows(); ++i)
            for (Eigen::Index head = 0; head < x.cols(); head += 2 * pairs) {
                T* const p = &x(i, head);
                for (Eigen::Index c = 0; c < pairs; ++c) {
                    const T a = p[2 * c], b = p[2 * c + 1], cos = cos_(i, c), sin = sign * sin_(i, c);
                    p[2 * c] = a * cos - b * sin;
                    p[2 * c + 1] = a * sin + b * cos;
                }
            }
    }

    matrix<T> cos_, sin_;
};

/// h = silu(gate) up, silu(g) = g / (1 + e^-g) (Shazeer 2020).
template <class T>
void swiglu(const matrix<T>& gate, const matrix<T>& up, matrix<T>& h)
{
    h.array() = gate.array() / (1 + (-gate.array()).exp()) * up.array();
}

/// dh becomes dup, and dgate = dh up silu'(gate).
template <class T>
void swiglu_backward(const matrix<T>& gate, const matrix<T>& up, matrix<T>& dh, matrix<T>& dgate)
{
    for (Eigen::Index i = 0; i < gate.rows(); ++i) {
        auto g = gate.row(i).array();
        auto s = dgate.row(i).array();
        s = 1 / (1 + (-g).exp());
        auto d = dh.row(i).array();
        // Both in one pass: s is the logistic until it becomes dgate.
        const Eigen::Array<T, 1, Eigen::Dynamic> dup = d * g * s;
        s = d * up.row(i).array() * s * (1 + g * (1 - s));
        d = dup;
    }
}

/// The sum over rows of -ln softmax(logits)[target].
template <class T>
double cross_entropy(const matrix<T>& logits, const int* targets)
{
    double sum = 0;
    for (Eigen::Index i = 0; i < logits.rows(); ++i) {
        const T m = logits.row(i).maxCoeff();
        const T mass = (logits.row(i).array() - m).exp().sum();
        sum += static_cast<double>(std::log(mass) + m - logits(i, targets[i]));
    }
    return sum;
}

/// logits become the gradient of `factor` times their cross entropy: factor (softmax - one hot).
template <class T>
void cross_entropy_backward(matrix<T>& logits, const int* targets, T factor)
{
    for (Eigen::Index i = 0; i < logits.rows(); ++i) {
        auto row = logits.row(i).array();
        const T m = row.maxCoeff();
        row = (row - m).exp();
        row *= factor / row.sum();
        logits(i, targets[i]) -= factor;
    }
}

}  // namespace twins
