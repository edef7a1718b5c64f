// SPDX-License-Identifier: MIT
// Gradients that own their memory, and problems that have them.
#pragma once

#include "tensors.hpp"

#include <heed/reference_backward.hpp>

namespace test {

/// Everything that a definition has a gradient in; what it has none in is empty.
template <class T>
struct owned_gradients {
    tensor<T> dq, dk, dv, dbias;
    std::vector<T> dlog_offset, dslopes;

    template <class Def>
    owned_gradients(const Def&, heed::extents q, heed::extents k, heed::extents v, T value = T(-7))
        : dq(q, value), dk(k, value), dv(v, value)
    {
        if (Def::template parameters < heed::parameter::per_score >> 0)
            dbias = tensor<T>({q.batch, q.heads, q.tokens, k.tokens}, value);
        if (heed::has_log_offset_v<typename Def::normalizer_type>)
            dlog_offset.assign(static_cast<std::size_t>(q.heads), value);
        if (Def::template parameters < heed::parameter::per_head >> 0)
            dslopes.assign(static_cast<std::size_t>(q.heads), value);
    }
    heed::gradients<T> all()
    {
        return {dq.view(), dk.view(), dv.view(), dlog_offset.data(), dbias.view(), dslopes.data()};
    }
    /// Calls f(name, numbers) for each.
    template <class F>
    void for_each(F f) const
    {
        f("dq", dq.data);
        f("dk", dk.data);
        f("dv", dv.data);
        f("dlog_offset", dlog_offset);
        f("dbias", dbias.data);
        f("dslopes", dslopes);
    }
    bool operator==(const owned_gradients& o) const
    {
        return same_bits(dq.data, o.dq.data) && same_bits(dk.data, o.dk.data) && same_bits(dv.data, o.dv.data) &&
               same_bits(dbias.data, o.dbias.data) && same_bits(dlog_offset, o.dlog_offset) &&
               same_bits(dslopes, o.dslopes);
    }
};

/// What attend leaves for the backward pass, which computes in T.
template <class T>
struct forward_pass {
    tensor<T> out;
    std::vector<T> shift, mass;

    heed::row_statistics<T> stats() const
    {
        return {const_cast<T*>(shift.data()), const_cast<T*>(mass.data()), nullptr};  // only read
    }
};

/// q, k, v and dout of a problem, whose elements are E, and what attend, backward and the reference make of them.
template <class E>
struct gradient_problem : problem<E> {
    using T = heed::compute_t<E>;
    tensor<E> dout;

    explicit gradient_problem(problem<E> p, std::uint64_t seed = 1)
        : problem<E>(std::move(p)), dout(normal<E>(this->out_size(), seed + 1000))
    {}
    template <class Real, class Def>
    owned_gradients<Real> room_for(const Def& def, Real value = Real(-7)) const
    {
        return {def, this->q.size, this->k.size, this->v.size, value};
    }
    template <class Def>
    forward_pass<T> forward(const Def& def) const
    {
        const auto rows = static_cast<std::size_t>(this->q.size.batch * this->q.size.heads * this->q.size.tokens);
        forward_pass<T> f{tensor<T>(this->out_size()), std::vector<T>(rows), std::vector<T>(rows)};
        heed::or_throw(heed::attend(def, this->q.in(), this->k.in(), this->v.in(), f.out.view(), {.stats = f.stats()}));
        return f;
    }
    template <class Def>
    owned_gradients<T> backward(const Def& def, const forward_pass<T>& f, const heed::options<T>& how = {}) const
    {
        auto g = room_for<T>(def);
        heed::or_throw(heed::backward(def, this->q.in(), this->k.in(), this->v.in(), f.out.in(), f.stats(), dout.in(),
                                      g.all(), how));
        return g;
    }
    template <class Def>
    owned_gradients<T> backward(const Def& def) const
    {
        return backward(def, forward(def));
    }
    template <class Real, class Def>
    owned_gradients<Real> reference(const Def& def) const
    {
        auto g = room_for<Real>(def);
        heed::or_throw(heed::reference_backward<Real>(def, this->q.in(), this->k.in(), this->v.in(), dout.in(), g.all()));
        return g;
    }
};

}  // namespace test
