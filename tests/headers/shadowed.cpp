// A program's globals have short names. No header of heed warns that it shadows one (-Wshadow): gcc says so of the
// parameters of constructors that are no templates.
// clang-format off
extern int a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z;
extern int A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z;
extern int out, dim, size, data, key, keys, value, values, row, rows, head, heads, batch, tokens, mask, scale, shift, mass,
    first, last, begin, end, count, at, of, to, how, stats, lanes, bits, block, tile, task, worker, name, state, part, view,
    plan, result, total, offset, length, lengths, table, page, score, weight, options, def, query, channel, slope, logits;
// clang-format on

#include <heed/heed.hpp>

#include <heed/executor/threads.hpp>
#include <heed/hadamard.hpp>
#include <heed/measure/activations.hpp>
#include <heed/measure/heads.hpp>
#include <heed/observe.hpp>
#include <heed/reference.hpp>
#include <heed/reference_backward.hpp>
#include <heed/testing.hpp>
#include <heed/threshold_state.hpp>
