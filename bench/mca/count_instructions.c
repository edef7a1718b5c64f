// SPDX-License-Identifier: MIT
// A plugin for qemu-user: prints, when the program ends, how many instructions it executed. Debian ships no header of
// the plugin interface, so the few functions of it are declared here (version 1, qemu 6.0 and newer).
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb*, int operation, void* to, uint64_t operand);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void*), void*);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
void qemu_plugin_outs(const char*);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;

enum { add_operand = 0 };
static uint64_t executed;

static void translated(plugin_id id, struct qemu_plugin_tb* block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, add_operand, &executed, qemu_plugin_tb_n_insns(block));
}
static void ended(plugin_id id, void* nothing)
{
    char line[64];
    (void)id, (void)nothing;
    snprintf(line, sizeof(line), "executed %" PRIu64 "\n", executed);
    qemu_plugin_outs(line);
}
EXPORTED int qemu_plugin_install(plugin_id id, const void* info, int argc, char** argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
