// expect: heed: attention{...} takes one normalizer
#include <heed/heed.hpp>

#ifdef VALID
heed::attention def{heed::softpick{}};
#else
heed::attention def{heed::softmax{}, heed::softpick{}};
#endif
