// SPDX-License-Identifier: MIT
#include "verbs.hpp"

#include <algorithm>

namespace {

using big = std::vector<std::int64_t>;

/// The definition of a call: a heed.Attention, or keyword arguments.
class definition_words {
public:
    definition_words(const std::string& verb, py::handle definition, const py::kwargs& words)
    {
        if (definition.is_none()) {
            kept_ = std::make_shared<const attention>(verb, words);
        } else {
            if (words.size() > 0)
                throw py::type_error(verb + ": one of attention and the arguments of a definition, " +
                                     py::cast<std::string>(words.begin()->first));
            if (!py::isinstance<attention>(definition))
                throw py::type_error(verb + ": attention must be a heed.Attention");
            kept_ = py::cast<std::shared_ptr<attention>>(definition);
        }
    }
    const attention& operator*() const { return *kept_; }
    const attention* operator->() const { return kept_.get(); }
    std::shared_ptr<const attention> kept() const { return kept_; }

private:
    std::shared_ptr<const attention> kept_;
};

/// Queries, and keys and values in two arrays or a cache, checked for types and dimensions: sizes are heed's to check.
struct operands {
    array q_array, k_array, v_array;
    number_type type = number_type::f32;
    element of = element::f32;
    tensor q;
    key_storage kv;
    big lengths, keys;  // of sequences
    cache::snapshot of_cache;
    bool is_cache = false;

    operands(const std::string& verb, py::handle q_object, py::handle k, py::handle v, py::handle lengths_object)
    {
        q_array = array_of(q_object, verb + ": q");
        type = q_array.type;
        of = element_of(type, verb + ": q is " + q_array.type_name);
        q = tensor_of(q_array, verb + ": q");
        if (py::isinstance<cache>(k)) {
            read_cache(verb, py::cast<const cache&>(k), v, lengths_object);
            return;
        }
        k_array = array_of(k, verb + ": k");
        if (!v.is_none()) v_array = array_of(v, verb + ": v");
        const array& values = v.is_none() ? k_array : v_array;
        for (const auto& [a, name] : {std::pair<const array*, const char*>(&k_array, "k"), {&values, "v"}})
            if (a->type != type)
                throw py::value_error(verb + ": " + name + " is " + a->type_name + ", q is " + q_array.type_name);
        kv.k = tensor_of(k_array, verb + ": k");
        kv.v = v.is_none() ? kv.k : tensor_of(v_array, verb + ": v");
        if (!lengths_object.is_none()) {
            lengths = whole_numbers(lengths_object, verb + ": lengths");
            if (static_cast<std::int64_t>(lengths.size()) != kv.k.size[0])
                throw py::value_error(verb + ": " + std::to_string(lengths.size()) + " lengths for " +
                                      std::to_string(kv.k.size[0]) + " sequences of k");
            kv.lengths = {lengths.data(), static_cast<std::int64_t>(lengths.size())};
            keys = lengths;
        } else {
            keys.assign(static_cast<std::size_t>(std::max<std::int64_t>(kv.k.size[0], 0)), kv.k.size[2]);
        }
    }

    std::int64_t value_dim() const { return kv.v.size[3]; }
    /// Keys of the longest sequence.
    std::int64_t most_keys() const { return keys.empty() ? 0 : *std::max_element(keys.begin(), keys.end()); }
    big rows() const { return {q.size[0], q.size[1], q.size[2]}; }

private:
    void read_cache(const std::string& verb, const cache& c, py::handle v, py::handle lengths_object)
    {
        if (!v.is_none()) throw py::type_error(verb + ": v must be None beside a cache, which has values of its own");
        if (!lengths_object.is_none())
            throw py::type_error(verb + ": lengths must be None beside a cache, which has its own");
        if (type != type_of(c.of()))
            throw py::value_error(verb + ": q is " + q_array.type_name + ", must be " + name_of(type_of(c.of())) +
                                  " beside a cache of " + name_of(c.of()));
        of = c.of();
        is_cache = true;
        of_cache = c.look();
        kv = of_cache.kv;
        keys = of_cache.lengths;
    }
};

void check_value(const std::string& verb, py::handle k, py::handle v)
{
    if (v.is_none() && !py::isinstance<cache>(k)) throw py::type_error(verb + ": v is missing");
}

number_type computed_in(number_type type) { return type == number_type::f64 ? number_type::f64 : number_type::f32; }

tensor dense_tensor(void* data, const big& size)
{
    tensor t;
    t.data = data;
    std::copy(size.begin(), size.end(), t.size);
    t.stride[2] = size[3];
    t.stride[1] = size[2] * t.stride[2];
    t.stride[0] = size[1] * t.stride[1];
    return t;
}

/// An output that is given, or a new one.
class output {
public:
    output(const std::string& verb, py::handle given, number_type type, const big& size)
    {
        if (given.is_none()) {
            py::array made = new_array(type, size, verb + ": out");
            to = dense_tensor(made.mutable_data(), size);
            object = made;
            return;
        }
        array_ = array_of(given, verb + ": out", true);
        if (array_.type != type)
            throw py::value_error(verb + ": out is " + array_.type_name + ", must be " + name_of(type));
        to = tensor_of(array_, verb + ": out");
        object = py::reinterpret_borrow<py::object>(given);
    }

    tensor to;
    py::object object;

private:
    array array_;
};

/// The statistics of earlier rows, as they came from attend.
struct known_stats {
    array shift, mass;
    row_numbers of;

    known_stats(const std::string& verb, const row_stats& s, number_type type, const big& rows)
        : shift(array_of(s.shift, verb + ": stats.shift")), mass(array_of(s.mass, verb + ": stats.mass"))
    {
        of.shift = dense_of(shift, type, rows, verb + ": stats.shift");
        of.mass = dense_of(mass, type, rows, verb + ": stats.mass");
    }
};

}  // namespace

py::object attend(py::object q, py::object k, py::object v, py::object out, bool stats, py::object lengths,
                  py::object threads, py::object definition, const py::kwargs& words)
{
    const std::string verb = "attend";
    check_value(verb, k, v);
    const definition_words def(verb, definition, words);
    const operands in(verb, q, k, v, lengths);
    const auto kernel = kernel_for(verb, &element_verbs::attend, in.of, def->of());
    crew threads_of_call(verb, threads);
    const number_type computed = computed_in(in.type);
    const output result(verb, out, in.type, {in.q.size[0], in.q.size[1], in.q.size[2], in.value_dim()});

    attend_call call;
    big offsets;
    call.def = def->plain(verb, in.keys, in.q.size[2], in.q.size[3], computed, offsets);
    call.q = in.q, call.kv = in.kv, call.out = result.to;
    call.threads = threads_of_call.for_call();
    row_stats to;
    if (stats) {
        py::array made[] = {new_array(computed, in.rows(), verb), new_array(computed, in.rows(), verb),
                            new_array(computed, in.rows(), verb)};
        call.stats = {made[0].mutable_data(), made[1].mutable_data(), made[2].mutable_data()};
        to = {made[0], made[1], made[2]};
    }
    call_kernel(kernel, call);
    return stats ? py::object(py::make_tuple(result.object, to)) : result.object;
}

state_numbers partial_state::numbers_of(const std::string& what) const
{
    const big size(out.shape(), out.shape() + out.ndim());
    if (size.size() != 4) throw py::value_error(what + ": out must have four dimensions");
    const big rows(size.begin(), size.end() - 1);
    const auto at = [&](const py::array& a, const char* name, const big& n) {
        return static_cast<float*>(
            dense_of(array_of(a, what + ": " + name, true), number_type::f32, n, what + ": " + name));
    };
    state_numbers s{at(shift, "shift", rows), at(mass, "mass", rows), at(out, "out", size), {}};
    std::copy(size.begin(), size.end(), s.size);
    return s;
}

partial_state partial_state::copy() const
{
    const auto same = [](const py::array& a) { return py::cast<py::array>(a.attr("copy")()); };
    return {same(shift), same(mass), same(out), of};
}

void partial_state::merge(const partial_state& other)
{
    if (!of->same_normalizer(*other.of))
        throw py::value_error("merge: states of two normalizers, " + std::string(name_of(of->of())) + " and " +
                              name_of(other.of->of()) + ", or of two parameters of one");
    const state_numbers into = numbers_of("merge"), from = other.numbers_of("merge: other");
    outcome o;
    {
        const py::gil_scoped_release release;
        kernels_here().states->merge(into, from, o);
    }
    check(o);
}

py::object partial_state::finish(py::handle out_array, bool lse) const
{
    const state_numbers s = numbers_of("finish");
    const output result("finish", out_array, number_type::f32, {s.size[0], s.size[1], s.size[2], s.size[3]});
    py::object logs = py::none();
    float* to = nullptr;
    if (lse) {
        py::array made = new_array(number_type::f32, {s.size[0], s.size[1], s.size[2]}, "finish");
        to = static_cast<float*>(made.mutable_data());
        logs = made;
    }
    const definition d = of->normalizer_alone();
    outcome o;
    {
        const py::gil_scoped_release release;
        kernels_here().states->finish[static_cast<int>(of->of())](d, s, result.to, to, o);
    }
    check(o);
    return lse ? py::object(py::make_tuple(result.object, logs)) : result.object;
}

partial_state new_state(py::object shift, py::object mass, py::object out, const py::kwargs& words)
{
    const auto numpy = py::module_::import("numpy");
    const auto copy = [&](const py::object& a) {
        return py::cast<py::array>(numpy.attr("array")(a, py::arg("dtype") = "float32", py::arg("order") = "C"));
    };
    partial_state s{copy(shift), copy(mass), copy(out), std::make_shared<const attention>("State", words)};
    (void)s.numbers_of("State");
    return s;
}

partial_state attend_partial(py::object q, py::object k, py::object v, py::object state, std::int64_t first_key,
                             py::object total_keys, std::int64_t tile_stride, py::object lengths, py::object threads,
                             py::object definition, const py::kwargs& words)
{
    const std::string verb = "attend_partial";
    check_value(verb, k, v);
    const definition_words def(verb, definition, words);
    const operands in(verb, q, k, v, lengths);
    const auto kernel = kernel_for(verb, &element_verbs::attend_partial, in.of, def->of());
    crew threads_of_call(verb, threads);

    partial_call call;
    big offsets, keys = in.keys;
    for (std::int64_t& n : keys) n = total_keys.is_none() ? n + first_key : py::cast<std::int64_t>(total_keys);
    call.def = def->plain(verb, keys, in.q.size[2], in.q.size[3], number_type::f32, offsets);
    call.q = in.q, call.kv = in.kv;
    call.first_key = first_key, call.tile_stride = tile_stride;
    call.total_keys = total_keys.is_none() ? -1 : py::cast<std::int64_t>(total_keys);
    call.threads = threads_of_call.for_call();

    const auto run = [&](const partial_state& s) {
        call.state = s.numbers_of(verb + ": state");
        call_kernel(kernel, call);
    };
    if (!state.is_none()) {
        auto& known = py::cast<partial_state&>(state);
        if (!known.of->same_normalizer(*def))
            throw py::value_error(verb + ": the state is of another normalizer than the call");
        run(known);
        return known;
    }
    const big rows = in.rows(), size{rows[0], rows[1], rows[2], in.value_dim()};
    const partial_state made{new_array(number_type::f32, rows, verb), new_array(number_type::f32, rows, verb),
                             new_array(number_type::f32, size, verb), def.kept()};
    outcome o;
    kernels_here().states->clear[static_cast<int>(def->of())](made.numbers_of(verb), o);
    check(o);
    run(made);
    return made;
}

gradient_arrays backward(py::object q, py::object k, py::object v, py::object out, const row_stats& stats,
                         py::object dout, py::object dlse, py::object wants, py::object lengths, py::object threads,
                         py::object definition, const py::kwargs& words)
{
    const std::string verb = "backward";
    const definition_words def(verb, definition, words);
    if (py::isinstance<cache>(k)) throw py::value_error(verb + ": k is a cache; gradients are of arrays");
    if (v.is_none()) throw py::type_error(verb + ": v is missing");
    const operands in(verb, q, k, v, lengths);
    const auto kernel = kernel_for(verb, &element_verbs::backward, in.of, def->of());
    const array out_array = array_of(out, verb + ": out"), dout_array = array_of(dout, verb + ": dout");
    for (const auto& [a, name] : {std::pair<const array*, const char*>(&out_array, "out"), {&dout_array, "dout"}})
        if (a->type != in.type)
            throw py::value_error(verb + ": " + name + " is " + a->type_name + ", q is " + name_of(in.type));
    const known_stats known(verb, stats, in.type, in.rows());
    crew threads_of_call(verb, threads);

    backward_call call;
    big offsets;
    call.def = def->plain(verb, in.keys, in.q.size[2], in.q.size[3], in.type, offsets);
    call.q = in.q, call.kv = in.kv, call.stats = known.of;
    call.out = tensor_of(out_array, verb + ": out"), call.dout = tensor_of(dout_array, verb + ": dout");
    array dlse_array;
    if (!dlse.is_none()) {
        dlse_array = array_of(dlse, verb + ": dlse");
        call.dlse = dense_of(dlse_array, in.type, in.rows(), verb + ": dlse");
    }
    call.threads = threads_of_call.for_call();

    gradient_arrays to;
    const auto make = [&](tensor& into, const tensor& like) {
        const big size(like.size, like.size + 4);
        py::array made = new_array(in.type, size, verb);
        into = dense_tensor(made.mutable_data(), size);
        return py::object(made);
    };
    for (const auto& item : wants) {
        const auto name = py::cast<std::string>(item);
        if (name == "dq") to.dq = make(call.dq, in.q);
        else if (name == "dk") to.dk = make(call.dk, in.kv.k);
        else if (name == "dv") to.dv = make(call.dv, in.kv.v);
        else if (name == "dbias") {
            if (!def->has_bias()) throw py::value_error(verb + ": dbias is wanted of a definition without a bias");
            to.dbias = make(call.dbias, call.def.bias);
        } else if (name == "dsinks") {
            if (def->sinks() == 0) throw py::value_error(verb + ": dsinks is wanted of a definition without sinks");
            py::array made = new_array(in.type, {in.q.size[1]}, verb);
            call.dsinks = made.mutable_data();
            to.dsinks = made;
        } else {
            throw py::value_error(verb + ": wants '" + name + "', must be of dq, dk, dv, dbias, dsinks");
        }
    }
    call_kernel(kernel, call);
    return to;
}

namespace {

/// What observe and attention_map share: a call, and what it points to.
struct observing {
    definition_words def;
    operands in;
    void (*kernel)(const observe_call&, outcome&);
    known_stats known;
    crew threads;
    big offsets;
    observe_call call;

    observing(const std::string& verb, const py::object& q, const py::object& k, const row_stats& stats,
              const py::object& lengths, const py::object& threads_of_call, const py::object& definition,
              const py::kwargs& words)
        : def(verb, definition, words), in(verb, q, k, py::none(), lengths),
          kernel(kernel_for(verb, &element_verbs::observe, in.of, def->of())),
          known(verb, stats, computed_in(in.type), in.rows()), threads(verb, threads_of_call)
    {
        call.def = def->plain(verb, in.keys, in.q.size[2], in.q.size[3], computed_in(in.type), offsets);
        call.q = in.q, call.kv = in.kv, call.stats = known.of;
        call.threads = threads.for_call();
    }
    observing(const observing&) = delete;
    observing& operator=(const observing&) = delete;
};

struct observed_name {
    const char* name;
    float* observe_call::*number;
    std::int64_t* observe_call::*count;
};
constexpr observed_name observed[] = {
    {"max_score", &observe_call::max_score, nullptr},
    {"lse", &observe_call::lse, nullptr},
    {"entropy", &observe_call::entropy, nullptr},
    {"total", &observe_call::total, nullptr},
    {"first_token", &observe_call::first_token, nullptr},
    {"mean_distance", &observe_call::mean_distance, nullptr},
    {"attended", nullptr, &observe_call::attended},
    {"zeros", nullptr, &observe_call::zeros},
    {"small", nullptr, &observe_call::small},
};

}  // namespace

py::dict observe(py::object q, py::object k, const row_stats& stats, py::object wants, std::int64_t top_k,
                 double small_weight, py::object lengths, py::object threads, py::object definition,
                 const py::kwargs& words)
{
    const std::string verb = "observe";
    observing o(verb, q, k, stats, lengths, threads, definition, words);
    observe_call& call = o.call;
    const operands& in = o.in;
    call.small_weight = static_cast<float>(small_weight);

    py::dict to;
    for (const auto& item : wants) {
        const auto name = py::cast<std::string>(item);
        std::string all;
        bool is_known = false;
        for (const observed_name& field : observed) {
            all += std::string(all.empty() ? "" : ", ") + field.name;
            if (name != field.name) continue;
            is_known = true;
            py::array made = field.number ? new_array(number_type::f32, in.rows(), verb)
                                          : new_array(number_type::i64, in.rows(), verb);
            if (field.number) call.*field.number = static_cast<float*>(made.mutable_data());
            else call.*field.count = static_cast<std::int64_t*>(made.mutable_data());
            to[field.name] = made;
        }
        if (!is_known) throw py::value_error(verb + ": wants '" + name + "', must be of " + all);
    }
    if (top_k < 0) throw py::value_error(verb + ": top_k is " + std::to_string(top_k) + ", must be at least 0");
    if (top_k > 0) {
        big size = in.rows();
        size.push_back(top_k);
        py::array keys = new_array(number_type::i64, size, verb), weights = new_array(number_type::f32, size, verb);
        call.top_k = top_k;
        call.top_keys = static_cast<std::int64_t*>(keys.mutable_data());
        call.top_weights = static_cast<float*>(weights.mutable_data());
        to["top_keys"] = keys;
        to["top_weights"] = weights;
    }
    call_kernel(o.kernel, call);
    return to;
}

py::object attention_map(py::object q, py::object k, const row_stats& stats, std::int64_t batch, std::int64_t head,
                         std::int64_t first_row, py::object rows, py::object lengths, py::object threads,
                         py::object definition, const py::kwargs& words)
{
    const std::string verb = "attention_map";
    observing o(verb, q, k, stats, lengths, threads, definition, words);
    observe_call& call = o.call;
    const operands& in = o.in;
    call.batch = batch, call.head = head, call.first_row = first_row;
    call.rows = rows.is_none() ? std::max<std::int64_t>(in.q.size[2] - first_row, 0) : py::cast<std::int64_t>(rows);
    if (call.rows < 0) throw py::value_error(verb + ": rows is " + std::to_string(call.rows) + ", must be at least 0");
    if (call.rows > in.q.size[2])  // before memory is made for them
        throw py::value_error(verb + ": " + std::to_string(call.rows) + " rows of " + std::to_string(in.q.size[2]));
    py::array made = new_array(number_type::f32, {call.rows, in.most_keys()}, verb);
    call.map = static_cast<float*>(made.mutable_data());
    call_kernel(o.kernel, call);
    return made;
}

py::dict supported()
{
    py::dict all;
    const auto add = [&](const char* verb, auto member) {
        py::list of;
        for (int e = 0; e < element_count; ++e)
            for (int n = 0; n < normalizer_count; ++n)
                if ((verbs_of(static_cast<element>(e)).*member)[n])
                    of.append(py::make_tuple(name_of(static_cast<normalizer>(n)), name_of(static_cast<element>(e))));
        all[verb] = of;
    };
    add("attend", &element_verbs::attend);
    add("attend_partial", &element_verbs::attend_partial);
    add("backward", &element_verbs::backward);
    add("observe", &element_verbs::observe);
    return all;
}
