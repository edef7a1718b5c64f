// expect: heed: an executor has a member concurrency() and a call (n, f)
#include <heed/heed.hpp>

struct one_after_another {
    int concurrency() const { return 1; }
    template <class F>
    void operator()(std::int64_t n, F f) const
    {
        for (std::int64_t task = 0; task < n; ++task) f(task, 0);
    }
};

heed::status f(heed::view<const float> q, heed::view<float> out)
{
#ifdef VALID
    const one_after_another pool;
#else
    const auto pool = [](std::int64_t n, auto f) { one_after_another{}(n, f); };
#endif
    return heed::attend(heed::softpick{}, q, q, q, out, {pool, {}, {}});
}
