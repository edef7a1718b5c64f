// SPDX-License-Identifier: MIT
// The file: a line that says what it is; the settings, a line each; "state", and numbers in the machine's own form,
// all of eight bytes or floats; a hash of everything before it.
#include "training_state.hpp"

#include "../program/arguments.hpp"
#include "files.hpp"

#include <algorithm>

namespace twins {
namespace {

const std::string first_line = "twins training state 2\n", older_line = "twins training state 1\n";

class writer {
public:
    void text(const std::string& s) { bytes_.insert(bytes_.end(), s.begin(), s.end()); }
    template <class T>
    void numbers(const T* p, std::size_t count)
    {
        const char* const c = reinterpret_cast<const char*>(p);
        bytes_.insert(bytes_.end(), c, c + count * sizeof(T));
    }
    template <class T>
    void counted(const std::vector<T>& v)
    {
        const auto count = static_cast<std::uint64_t>(v.size());
        numbers(&count, 1);
        numbers(v.data(), v.size());
    }
    std::vector<char>& bytes() { return bytes_; }

private:
    std::vector<char> bytes_;
};

class reader {
public:
    reader(const std::vector<char>& bytes, std::size_t from, const std::string& name)
        : bytes_(bytes), at_(from), name_(name)
    {}
    template <class T>
    void numbers(T* p, std::size_t count)
    {
        if (count > (bytes_.size() - at_) / sizeof(T)) throw input_error(name_ + ": ends too early");
        std::copy_n(bytes_.data() + at_, count * sizeof(T), reinterpret_cast<char*>(p));  // of 0, p may be null
        at_ += count * sizeof(T);
    }
    template <class T>
    std::vector<T> counted(std::size_t limit)
    {
        std::uint64_t count;
        numbers(&count, 1);
        if (count > limit)
            throw input_error(name_ + ": holds " + std::to_string(count) + " numbers where at most " +
                              std::to_string(limit) + " can be");
        std::vector<T> v(static_cast<std::size_t>(count));
        numbers(v.data(), v.size());
        return v;
    }
    bool at_end() const { return at_ == bytes_.size(); }

private:
    const std::vector<char>& bytes_;
    std::size_t at_;
    const std::string& name_;
};

}  // namespace

void write_training_state(const training_state& s, const settings& of, const std::string& path)
{
    writer w;
    w.text(first_line);
    for (const auto& [name, value] : of.entries()) w.text(name + " " + value + "\n");
    w.text("state\n");
    w.numbers(&s.step, 1);
    w.numbers(&s.recent_loss, 1);
    for (const auto* curve : {&s.curve.step, &s.curve.training, &s.curve.validation}) w.counted(*curve);
    for (const auto* array : {&s.parameters, &s.moment1, &s.moment2}) w.counted(*array);
    const std::uint64_t hash = hash_of(w.bytes().data(), w.bytes().size());
    w.numbers(&hash, 1);
    write_whole(path, w.bytes());
}

training_state read_training_state(const settings& of, const layout& at, const std::string& path)
{
    std::vector<char> bytes = llama2c::read_file(path);
    if (bytes.size() >= older_line.size() && std::memcmp(bytes.data(), older_line.data(), older_line.size()) == 0)
        throw input_error(path + ": was made by an older twins, which alone can go on with it");
    if (bytes.size() < first_line.size() || std::memcmp(bytes.data(), first_line.data(), first_line.size()) != 0)
        throw input_error(path + ": is no training state of twins");
    std::uint64_t hash = 0;
    if (bytes.size() >= first_line.size() + sizeof(hash)) {
        std::memcpy(&hash, bytes.data() + bytes.size() - sizeof(hash), sizeof(hash));
        bytes.resize(bytes.size() - sizeof(hash));
    }
    if (hash != hash_of(bytes.data(), bytes.size()))
        throw input_error(path + ": is damaged: its bytes do not match their hash");

    std::size_t from = first_line.size();
    const auto line = [&] {
        const auto start = bytes.begin() + static_cast<std::ptrdiff_t>(from), end = std::find(start, bytes.end(), '\n');
        from = static_cast<std::size_t>(end - bytes.begin()) + (end != bytes.end());
        return std::string(start, end);
    };
    settings fresh = of;  // a run goes on from one that is alike but for fewer steps of extension
    fresh.extend = 0;
    for (const auto& [name, value] : fresh.entries()) {
        const std::string found = line();
        if (found != name + " " + value)
            throw input_error(path + ": was made with " + found + ", this run has " + name + " " + value);
    }
    std::string last = line();
    if (const std::string name = "extend "; last.rfind(name, 0) == 0) {
        const int64 extend = llama2c::whole_number(path + ": extend", last.substr(name.size()), 1, int64{1} << 40);
        if (extend > of.extend)
            throw input_error(path + ": was made with " + last + ", this run has " +
                              (of.extend ? name + std::to_string(of.extend) : "none"));
        fresh.extend = extend;
        last = line();
    }
    if (last != "state") throw input_error(path + ": has settings that this program does not know");

    training_state s;
    reader r(bytes, from, path);
    r.numbers(&s.step, 1);
    r.numbers(&s.recent_loss, 1);
    const auto points = static_cast<std::size_t>(fresh.all_steps()), size = static_cast<std::size_t>(at.size());
    for (auto* curve : {&s.curve.step, &s.curve.training, &s.curve.validation}) *curve = r.counted<double>(points);
    for (auto* array : {&s.parameters, &s.moment1, &s.moment2}) {
        *array = r.counted<float>(size);
        if (array->size() != size)
            throw input_error(path + ": holds " + std::to_string(array->size()) + " parameters, the model has " +
                              std::to_string(size));
    }
    if (!r.at_end() || s.step < 0 || s.step > fresh.all_steps() || s.curve.step.size() != s.curve.training.size() ||
        s.curve.step.size() != s.curve.validation.size())
        throw input_error(path + ": its numbers do not fit together");
    return s;
}

}  // namespace twins
