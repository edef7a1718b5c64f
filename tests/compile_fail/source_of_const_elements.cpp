// expect: heed: key_element and value_element of a kv source are not const, even where its rows are
#include <heed/heed.hpp>

struct source : heed::dense_kv<const float, const float> {
#ifndef VALID
    using key_element = const float;
#endif
};

heed::status call(heed::view<const float> q, const source& kv, heed::view<float> out)
{
    return heed::attend(heed::softmax{}, q, kv, out);
}
