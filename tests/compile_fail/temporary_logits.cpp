// expect: heed: a view owns nothing, so what it sees outlives it and has a name
#include <heed/heed.hpp>

#include <vector>

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
#ifdef VALID
    const std::vector<float> logits{7, 9};
    const heed::softmax_sink sink{logits};
#else
    const heed::softmax_sink sink{std::vector<float>{7, 9}};
#endif
    return heed::attend(sink, q, k, v, out);
}
