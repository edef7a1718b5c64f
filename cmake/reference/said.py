# SPDX-License-Identifier: MIT
"""What build.py knows of the headers: what is private, and what is said of members of which no header says it."""

# Files of which users name nothing. engine/ is private, but for what plans inherit.
PRIVATE = ("engine/", "base/checked.hpp", "base/config.hpp", "base/isa.hpp", "base/libm.hpp", "base/mistakes.hpp",
           "base/probe.hpp", "base/process.hpp")
PUBLIC = ("engine/planned.hpp",)
# Types of namespace detail whose members public types inherit.
INHERITED = {"masked_by_table", "no_element", "per_head", "planned", "stride_unit"}

# What is said here of members whose own header says nothing.
SAID = {
    "engine/planned.hpp": {
        "planned": "What every plan has: a partition of its work, or the error that says why there is none.",
        "text": "One line, which ends with 0.",
        "status_type": "heed::status, whose name is that of a member here.",
        "status": "False where there is no plan; its message says why, with the argument, the sizes and the rule.",
        "stages": "How many stages run() has, one after the other; 0 where there is no plan.",
        "tasks": "How many tasks a stage has, which may run at the same time.",
    },
}

# The constructors that `using per_head::per_head` takes over.
CONSTRUCTORS = {
    "using per_head::per_head;": [
        ("A pointer to a number for each query head, [Hq], and how many there are.",
         "{}(const float* of_heads, std::int64_t query_heads);"),
        ("A vector, array or span of them, which outlives the policy.",
         "template <class C> explicit {}(C&& of_heads);"),
    ],
}

NAMESPACES = """/** \\namespace heed
All of it; an inline namespace inside names the version and the instruction set. */
/** \\namespace heed::mpi
Attention to keys that lie on several machines: adapt/mpi.hpp. */
/** \\namespace heed::detail
What public types inherit; not to be named. */
"""

# What the contracts of the rooms ask for, of which a policy says no more than that.
MAPS = {
    "map": "what becomes of a score s",
    "slope": "the derivative of map() in s",
    "parameter": "what kind of parameter of its own is learned",
    "parameter_slope": "the derivative of map() in that parameter",
    "changes": "false where map() gives back, bit by bit, all of these scores that no mask leaves out",
}
CHECK = {"check": "fails where a parameter, or its size, does not suit the problem"}
ASKED = {
    "normalizer": {
        "normalizer/contract.hpp": CHECK | {
            "shift": "the reference value of a row, from which its shift M follows",
            "terms": "weight and mass of a score",
            "slopes": "the derivatives of terms() in s",
            "log_offset": "the logarithm of the extra mass",
        },
        "normalizer/order.hpp": {"order": "in which keys take their shares"},
        "normalizer/threshold.hpp": {
            "threshold": "which number of the whole row is found before any weight",
            "rank": "how many scores stay",
            "row": "s.row()",
            "least_share": "of which, and below which, the weight is 0",
        },
    },
    "mask": {
        "mask/contract.hpp": CHECK | {
            "attends": "whether a query row attends a key",
            "classify": "none, partial or full; partial is always sound",
            "mark": "sets bit j where key first + j is attended, for j in [0, count)",
        },
        "mask/lists.hpp": {
            "list": "the keys that a query row attends, and no others",
            "rows_of_list": "query rows, from each multiple of it on, that share a list",
        },
        "heed::span_mask": {"span": "the keys that a query row attends"},
        "score/contract.hpp": MAPS,
    },
    "score": {"score/contract.hpp": CHECK | MAPS},
    "kv": {
        "kv/contract.hpp": {
            "key_element": "the element of K",
            "value_element": "the element of V",
            "contiguous": "whether all tokens of a head are one segment",
            "batch": "B, the number of sequences",
            "heads": "Hkv",
            "key_dim": "Dqk",
            "value_dim": "Dv",
            "held": "the tokens of a sequence that there are",
            "tokens": "the largest end of any held(); 0 for batch 0",
            "ragged": "whether held() may differ between sequences",
            "keys": "the rows of a head: f(token) is the segment that starts at a token of held()",
            "values": "the rows of a head: f(token) is the segment that starts at a token of held()",
            "check": "fails where sizes or lengths are not sound: O(batch)",
            "check_rows": "fails where a row that may be read does not exist: O(pages)",
            "check_sequence": "check() of one sequence: O(1)",
            "check_exclusive": "fails where another token shares the rows of these: O(all pages)",
            "check_last_exclusive": "check_exclusive() of the last bounds[b + 1] - bounds[b] tokens of each sequence b",
            "views": "f(name, view) for what rows lie in",
            "heads_side_by_side": "how many heads' rows of a token lie side by side: all, or 1",
            "heads_of_a_page": "how many heads' rows of a page lie behind each other: all, or 1",
            "key_scales": "rows of one float: k_j is its row times that of token j",
            "value_scales": "rows of one float: v_j is its row times that of token j",
            "key_channel_scales": "one for each channel of k",
            "key_blocks": "of(token): scales and zero points of the channels of k, and for how many tokens from there",
            "aligned_blocks": "whether the tokens of a block stand in rows one behind the other",
            "room": "the tokens of a sequence that there is room for",
            "rows_in": "the rows of a head in any view of the shape of k",
            "gone": "tokens inside held() that are lost, or an empty span",
            "as_const": "itself, of const rows, for kernels",
        },
    },
    "executor": {
        "executor/contract.hpp": {
            "concurrency": "how many workers may run at once",
            "operator()": "calls f(task, worker) for every task in [0, n)",
        },
    },
}
