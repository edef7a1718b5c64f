#include <heed/heed.hpp>
