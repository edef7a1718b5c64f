// SPDX-License-Identifier: MIT
// One attention layer of a small trained GPT, as PyTorch computed it: q, k, v and what it made of them.
#include "../skip.hpp"
#include "../tensors.hpp"

#include <heed/reference.hpp>

#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>

namespace {

using test::int64;

struct stored_tensor {
    std::vector<int64> shape;
    std::vector<float> values;
};

/// Reads the tensors {"shape": [...], "data": "base64"} of a JSON object; everything else is passed over.
class tensor_reader {
public:
    explicit tensor_reader(const std::string& text) : at_(text.data()), end_(text.data() + text.size()) { object(""); }

    const stored_tensor& operator[](const std::string& name) const { return tensors_.at(name); }

private:
    char next()
    {
        while (at_ != end_ && std::string(" \t\r\n,:").find(*at_) != std::string::npos) ++at_;
        if (at_ == end_) throw std::runtime_error("json: the text ends early");
        return *at_;
    }
    std::string string()
    {
        const char* begin = ++at_;  // no escapes in these files
        while (at_ != end_ && *at_ != '"') ++at_;
        if (at_ == end_) throw std::runtime_error("json: a string does not end");
        return {begin, at_++};
    }
    void object(const std::string& name)
    {
        if (next() != '{') throw std::runtime_error("json: no object at " + name);
        for (++at_; next() != '}';) {
            const std::string key = string();
            if (next() == '{') object(key);
            else if (*at_ == '[') tensors_[name].shape = numbers();
            else if (*at_ == '"' && key == "data") tensors_[name].values = decoded(string());
            else if (*at_ == '"') string();
            else word();
        }
        ++at_;
    }
    std::vector<int64> numbers()
    {
        std::vector<int64> result;
        for (++at_; next() != ']';) result.push_back(std::stoll(word()));
        ++at_;
        return result;
    }
    std::string word()
    {
        const char* begin = at_;
        while (at_ != end_ && std::string(",]} \t\r\n").find(*at_) == std::string::npos) ++at_;
        return {begin, at_};
    }
    static std::vector<float> decoded(const std::string& base64)
    {
        static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        std::vector<unsigned char> bytes;
        std::uint32_t bits = 0;
        int count = 0;
        for (const char c : base64) {
            const std::size_t digit = digits.find(c);
            if (digit == std::string::npos) break;  // '='
            bits = bits << 6 | static_cast<std::uint32_t>(digit);
            count += 6;
            if (count >= 8) {
                count -= 8;
                bytes.push_back(static_cast<unsigned char>(bits >> count & 255u));
            }
        }
        std::vector<float> values(bytes.size() / sizeof(float));
        if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
        return values;
    }

    const char* at_;
    const char* end_;
    std::map<std::string, stored_tensor> tensors_;
};

heed::view<const float> viewed(const stored_tensor& t)
{
    REQUIRE(t.shape.size() == 4);
    REQUIRE(static_cast<int64>(t.values.size()) == t.shape[0] * t.shape[1] * t.shape[2] * t.shape[3]);
    return heed::bhsd(t.values.data(), {t.shape[0], t.shape[1], t.shape[2], t.shape[3]});
}

template <class T>
double largest_difference(const std::vector<T>& got, const std::vector<float>& expected)
{
    REQUIRE(got.size() == expected.size());
    double largest = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double d = std::fabs(static_cast<double>(got[i]) - static_cast<double>(expected[i]));
        if (!(d <= largest)) largest = d;
    }
    return largest;
}

}  // namespace

TEST_CASE("a layer of a trained GPT gives what PyTorch gave", "[gpt_nano]")
{
    const std::string path = HEED_TEST_DATA "/gpt_nano/partials.json";
    if (!test::has_data(path)) return;
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const tensor_reader stored(text);
    const auto q = viewed(stored["q"]), k = viewed(stored["k"]), v = viewed(stored["v"]);
    const heed::attention def{heed::softmax{}, heed::causal{}};

    std::vector<float> y(stored["y"].values.size(), -7.f);
    const heed::status status = heed::attend(def, q, k, v, heed::bshd(y.data(), q.size));
    INFO(status.message());
    REQUIRE(status);
    CHECK(largest_difference(y, stored["y"].values) <= 1e-6);

    std::vector<double> weights(stored["attSm"].values.size()), out(y.size());
    heed::reference_dump<double> dump;
    dump.weights = weights.data();
    heed::or_throw(heed::reference(def, q, k, v, heed::bshd(out.data(), q.size), &dump));
    CHECK(largest_difference(out, stored["y"].values) <= 1e-6);
    CHECK(largest_difference(weights, stored["attSm"].values) <= 1e-6);
}
