// expect: heed: attend takes views, of vectors, arrays and pointers too: heed::bhsd
#include <heed/heed.hpp>

#include <vector>

heed::status call(const std::vector<float>& rows, heed::view<const float> k, heed::view<float> out)
{
#ifdef VALID
    return heed::attend(heed::bhsd(rows.data(), out.size), k, k, out);
#else
    return heed::attend(rows, k, k, out);
#endif
}
