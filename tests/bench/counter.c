// A plugin of QEMU's that counts the router's instructions by address, into a file that stays mapped: what is the
// program's own, what the kernel's, and in which function. Read by tests/bench/counting.py.
//
// QEMU's header of its plugin interface (version 1) comes with no package: what is used of it is declared here.

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t plugin_id_t;
struct qemu_plugin_tb;
struct qemu_info;
enum { INLINE_ADD_U64 = 0 };
typedef void (*translated_t)(plugin_id_t id, struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id_t id, translated_t call);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation, void *counter, uint64_t by);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

// Addresses of programs from 0x400000 are counted by words; of the kernel the whole, and its first page, where the
// handler of TLB misses is.
#define TEXT (0x400000)
#define TEXT_SIZE (0x100000)

static struct {
    uint64_t program, kernel, misses;
    uint64_t text[TEXT_SIZE / 4];
} *counts;

static void translated(plugin_id_t id, struct qemu_plugin_tb *block) {
    uint64_t length = qemu_plugin_tb_n_insns(block);
    uint32_t address = qemu_plugin_tb_vaddr(block);
    if (address < 0x80000000u) {
        qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &counts->program, length);
        if (address >= TEXT && address < TEXT + TEXT_SIZE) {
            qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &counts->text[(address - TEXT) / 4], length);
        }
    } else {
        qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &counts->kernel, length);
        if ((address & 0xfff) < 0x100 && address < 0x80100000u) {
            qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &counts->misses, length);
        }
    }
}

EXPORT int qemu_plugin_install(plugin_id_t id, const struct qemu_info *info, int count, char **words) {
    int file = count == 1 && !strncmp(words[0], "to=", 3) ? open(words[0] + 3, O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;
    if (file < 0 || ftruncate(file, sizeof(*counts))) {
        return -1;
    }
    counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counts == MAP_FAILED) {
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
