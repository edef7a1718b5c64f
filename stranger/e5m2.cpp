// fp8 E5M2 in a program of one's own: is include/ needed at all?
#include <heed/heed.hpp>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>
struct e5m2 {
    std::uint8_t bits;
    e5m2() = default;
    explicit e5m2(float x)
    {
        const heed::f16 h(x);  // for a sketch: rounded twice
        const unsigned up = h.bits + 0x7fu + ((h.bits >> 8) & 1);
        bits = static_cast<std::uint8_t>((h.bits & 0x7fff) > 0x7c00 ? (h.bits >> 8 | 2) : up >> 8);
    }
    operator float() const
    {
        heed::f16 h;
        h.bits = static_cast<std::uint16_t>(bits << 8);
        return h;
    }
};
template <>
struct heed::element_traits<e5m2> : heed::detail::quantised_number<e5m2> {
    static float scale_for(const heed::detail::extremes& e) { return e.largest() / 57344; }
    static e5m2 encode(float x, float scale) { return e5m2(x / scale); }
};
int main()
{
    const std::int64_t G = 2, H = 4, Skv = 1100;
    std::mt19937 gen(3);
    std::normal_distribution<float> normal;
    int bad = 0;
    for (const std::int64_t Sq : {1, 3, 50})
        for (const std::int64_t D : {24, 64}) {
            std::vector<float> q(std::size_t(H * Sq * D)), k(std::size_t(G * Skv * D)), kf(k.size()), vf(k.size()), a(q.size()), b(q.size());
            for (float& x : q) x = normal(gen);
            for (float& x : k) x = normal(gen);
            std::vector<e5m2> ke(k.size()), ve(k.size());
            const heed::extents e{1, G, Skv, D}, o{1, H, Sq, D};
            const heed::dense_kv cache{heed::bhsd(ke, e), heed::bhsd(ve, e)};
            heed::or_throw(heed::append(cache, 0, 0, heed::bhsd(k, e), heed::bhsd(k, e)));
            heed::or_throw(heed::fetch(cache, 0, 0, heed::bhsd(kf, e), heed::bhsd(vf, e)));
            heed::or_throw(heed::attend(heed::softmax{}, heed::bhsd(q, o), cache, heed::bhsd(a, o)));
            heed::or_throw(heed::attend(heed::softmax{}, heed::bhsd(q, o), heed::dense_kv{heed::bhsd(kf, e), heed::bhsd(vf, e)}, heed::bhsd(b, o)));
            if (std::memcmp(a.data(), b.data(), a.size() * 4)) ++bad, std::printf("differ at %d %d\n", int(Sq), int(D));
        }
    std::printf("%d bad\n", bad);
    return bad;
}
