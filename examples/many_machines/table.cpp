// SPDX-License-Identifier: MIT
// What the bytes of a call mean on machines and networks of some speeds.
#include "world.hpp"

#include <heed/base/place.hpp>

#include <cmath>
#include <cstdio>
#include <string>

namespace many_machines {
namespace {

/// A model's layer, in float: 32 query heads and 8 kv heads of 128 channels.
constexpr double heads = 32, kv_heads = 8, dim = 128;
constexpr double state_bytes = heads * (dim + 2) * 4;   // {M, l, o} of a token
constexpr double token_bytes = kv_heads * dim * 2 * 4;  // its key and its value

/// A machine, and the network between two of them. What is assumed is printed with the table.
constexpr double memory = 38e9;  // bytes/s of a cache that is read
constexpr double flops = 2e12;   // of a prefill
struct network {
    const char* name;
    double bytes_per_second, message;  // seconds that a message takes beside its bytes
};
constexpr network networks[] = {{"10 Gbit/s", 1.25e9, 20e-6}, {"100 Gbit/s", 12.5e9, 5e-6}};

double steps_of(double machines) { return std::ceil(std::log2(machines)); }
double seconds_of(const network& n, double bytes) { return n.message + bytes / n.bytes_per_second; }

/// Seconds of a decode step of one layer over keys of that many tokens.
double alone(double tokens) { return tokens * token_bytes / memory; }
double all_told(const network& n, double machines) { return 2 * steps_of(machines) * seconds_of(n, 168); }  // sizes
double to_all(const network& n, double machines) { return steps_of(machines) * seconds_of(n, state_bytes); }
double in_order(const network& n, double tokens, double machines)
{
    constexpr double turns = 8;  // a state goes on in as many messages
    const double tiles = std::ceil(tokens / heed::key_tile / machines);
    const double fold = tiles * state_bytes / memory;
    return alone(tokens) / machines + all_told(n, machines) +
           (machines - 1 + turns - 1) * (seconds_of(n, state_bytes / turns) + fold / turns) + to_all(n, machines);
}
double as_tree(const network& n, double tokens, double machines)
{
    return alone(tokens) / machines + all_told(n, machines) + 2 * to_all(n, machines);
}

void decode_table(double tokens)
{
    const double one = alone(tokens);
    std::printf("\nDecode, one token over %.0f tokens: %.2f ms a layer on one machine; times as fast on\n", tokens,
                1e3 * one);
    std::printf("%10s  %22s  %22s\n", "", networks[0].name, networks[1].name);
    std::printf("%10s  %11s %10s  %11s %10s\n", "machines", "in order", "as a tree", "in order", "as a tree");
    for (double machines = 2; machines <= 64; machines *= 2) {
        std::printf("%10.0f", machines);
        for (const network& n : networks)
            std::printf("  %11.1f %10.1f", one / in_order(n, tokens, machines), one / as_tree(n, tokens, machines));
        std::printf("\n");
    }
}

void prefill_table(double tokens)
{
    const double one = 2 * tokens * tokens * heads * dim / flops;  // two products of half of all pairs
    std::printf("\nPrefill, causal, of %.0f tokens: %.3g s a layer on one machine\n", tokens, one);
    std::printf("%10s  %13s  %13s %13s  %s\n", "machines", "computing, s", "at 10 Gbit/s", "at 100 Gbit/s",
                "hidden behind computing");
    for (double machines = 2; machines <= 64; machines *= 2) {
        // the busiest rank receives, and another sends, all parts but its own
        const double bytes = tokens * token_bytes * (machines - 1) / machines, computing = one / machines;
        const double slow = bytes / networks[0].bytes_per_second, quick = bytes / networks[1].bytes_per_second;
        std::printf("%10.0f  %13.3g  %13.3g %13.3g  %s\n", machines, computing, slow, quick,
                    slow <= computing    ? "on both"
                    : quick <= computing ? "at 100 Gbit/s"
                                         : "on neither");
    }
}

}  // namespace

void print_table()
{
    std::printf(
        "A layer of %.0f query heads and %.0f kv heads of %.0f channels, in float: a state of a token is %.0f "
        "bytes,\na token of the cache %.0f bytes. Assumed: a machine reads its cache at %.0f GB/s and prefills at "
        "%.0f TFLOP/s;\na message takes %.0f us at 10 Gbit/s and %.0f us at 100 Gbit/s, and its bytes.\n",
        heads, kv_heads, dim, state_bytes, token_bytes, memory / 1e9, flops / 1e12, networks[0].message * 1e6,
        networks[1].message * 1e6);
    decode_table(131072);
    decode_table(8192);
    prefill_table(131072);
    prefill_table(8192);
}

}  // namespace many_machines
