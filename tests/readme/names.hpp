// What the README's blocks of code take for granted.
#include <heed/executor/threads.hpp>
#include <heed/heed.hpp>
#include <heed/observe.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

extern const heed::view<const float> Q, K, V, dO;
extern const heed::view<float> O, dQ, dK, dV;
extern heed::thread_pool pool;
extern std::vector<std::byte> scratch;
extern float *shift, *mass, *entropy, *first, *map;
extern std::int64_t* zeros;
extern const heed::attention<heed::softpick, heed::causal> def;

