// expect: spell causal as heed::causal{}
#include <heed/heed.hpp>

#ifdef VALID
heed::attention def{heed::softmax{}, heed::causal{}};
#else
heed::attention def{heed::softmax{}, true};
#endif
