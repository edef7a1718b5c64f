// SPDX-License-Identifier: MIT
#include "box.hpp"

#include "../program/input_error.hpp"

// The assembler takes a file as it is; C++ would have it as a million numbers.
#define HEED_BOXED(symbol, file)                                                                                       \
    asm(".section .rodata." #symbol ",\"\",@\n"                                                                        \
        ".globl " #symbol "\n" #symbol ":\n"                                                                           \
        ".incbin \"" HEED_BOX "/" file "\"\n"                                                                          \
        ".globl " #symbol "_end\n" #symbol "_end:\n"                                                                   \
        ".int8 0\n"                                                                                                    \
        ".size " #symbol ", " #symbol "_end-" #symbol "\n"                                                             \
        ".size " #symbol "_end, 1\n");                                                                                 \
    extern "C" const char symbol[], symbol##_end[]

HEED_BOXED(box_softmax_bin, "softmax.bin");
HEED_BOXED(box_softmax_heed, "softmax.heed");
HEED_BOXED(box_softpick_bin, "softpick.bin");
HEED_BOXED(box_softpick_heed, "softpick.heed");
HEED_BOXED(box_tokenizer_bin, "tokenizer.bin");

namespace page {

std::vector<char> boxed_file(const std::string& name)
{
    const struct {
        const char *name, *first, *last;
    } files[] = {
        {"softmax.bin", box_softmax_bin, box_softmax_bin_end},
        {"softmax.heed", box_softmax_heed, box_softmax_heed_end},
        {"softpick.bin", box_softpick_bin, box_softpick_bin_end},
        {"softpick.heed", box_softpick_heed, box_softpick_heed_end},
        {"tokenizer.bin", box_tokenizer_bin, box_tokenizer_bin_end},
    };
    for (const auto& f : files)
        if (name == f.name) return {f.first, f.last};
    throw llama2c::input_error(name + ": is not in the box");
}

}  // namespace page
