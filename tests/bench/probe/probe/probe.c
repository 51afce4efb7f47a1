// Where the time of the runtime goes, by bytecode function: the linker puts these functions around MicroPython's and
// the C library's (--wrap), nothing of either is changed. Every instruction is counted to exactly one name: the
// bytecode function that runs, with all the C code that it calls, or one of the wrapped functions: memory allocation,
// garbage collection, system calls. For the emulated router with -icount, where the processor's cycle counter goes on
// with the instructions; read by tests/bench/profile.py from the file that stays mapped.

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "py/bc.h"
#include "py/objfun.h"
#include "py/runtime.h"

#define FILE_NAME "/tmp/probe"
#define ENTRIES (700) // functions of the whole daemon: 900, but few runs meet more than half of them
#define NAME (48)

typedef struct {
    char name[NAME];
    uint32_t calls;
    uint32_t allocated; // bytes asked for
    uint64_t ticks;
} entry_t;

typedef struct {
    uint32_t used, entry_size;
    uint64_t calibration_ticks, calibration_ns;
    uint64_t collections, longest_collection; // count, ticks
    entry_t entries[ENTRIES];
} table_t;

static table_t *table;
static const byte *keys[ENTRIES]; // the bytecode of each entry
static uint16_t slots[2048];      // hash of the bytecode's address -> index + 1
static entry_t *current;
static uint32_t last;

int __real_open(const char *path, int flags, ...);

static inline uint32_t ticks(void) {
    uint32_t now;
    __asm__ volatile (".set push\n.set mips32r2\nrdhwr %0, $2\n.set pop" : "=r"(now));
    return now;
}

static uint64_t nanoseconds(void) {
    int32_t now[2];
    syscall(SYS_clock_gettime32, CLOCK_MONOTONIC, now);
    return now[0] * 1000000000ULL + now[1];
}

static entry_t *new_entry(const char *name) {
    entry_t *entry = &table->entries[table->used < ENTRIES - 1 ? table->used++ : ENTRIES - 1];
    strncpy(entry->name, name, NAME - 1);
    return entry;
}

static void begin(void) {
    int file = __real_open(FILE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof(table_t))) {
        _exit(71);
    }
    table = mmap(NULL, sizeof(table_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    table->entry_size = sizeof(entry_t);
    uint64_t start = nanoseconds();
    uint32_t first = ticks();
    for (volatile int i = 0; i < 200000; i++) {
    }
    table->calibration_ns = nanoseconds() - start;
    table->calibration_ticks = ticks() - first;
    current = new_entry("(start)");
    last = ticks();
}

// From now on instructions count to `entry`; return whom they counted to.
static inline entry_t *enter(entry_t *entry) {
    entry_t *before = current;
    uint32_t now = ticks();
    before->ticks += now - last;
    last = now;
    current = entry;
    return before;
}

static entry_t *entry_of(const mp_obj_fun_bc_t *function) {
    const byte *key = function->bytecode;
    uint32_t slot = ((uintptr_t)key * 2654435761u) >> 21;
    while (slots[slot]) {
        if (keys[slots[slot] - 1] == key) {
            return &table->entries[slots[slot] - 1];
        }
        slot = (slot + 1) & 2047;
    }
    char name[NAME];
    snprintf(name, NAME, "@%u", (unsigned)(key - mp_frozen_code)); // names.txt beside the program says whose that is
    entry_t *entry = new_entry(name);
    size_t index = entry - table->entries;
    if (index < ENTRIES - 1) {
        keys[index] = key;
        slots[slot] = index + 1;
    }
    return entry;
}

mp_vm_return_kind_t __real_mp_execute_bytecode(mp_code_state_t *state, volatile mp_obj_t inject);

mp_vm_return_kind_t __wrap_mp_execute_bytecode(mp_code_state_t *state, volatile mp_obj_t inject) {
    if (!table) {
        begin();
    }
    entry_t *entry = entry_of(state->fun_bc);
    entry->calls++;
    entry_t *before = enter(entry);
    mp_vm_return_kind_t kind = __real_mp_execute_bytecode(state, inject);
    enter(before);
    return kind;
}

// A function of C under a name of its own.
#define COUNTED(title) \
    static entry_t *entry; \
    if (!table) { \
        begin(); \
    } \
    if (!entry) { \
        entry = new_entry(title); \
    } \
    entry->calls++; \
    entry_t *before = enter(entry)

#define WRAP(type, function, parameters, arguments) \
    type __real_##function parameters; \
    type __wrap_##function parameters { \
        COUNTED("(" #function ")"); \
        type result = __real_##function arguments; \
        enter(before); \
        return result; \
    }

WRAP(int, poll, (struct pollfd *watched, nfds_t count, int timeout), (watched, count, timeout))
WRAP(int, accept, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size))
WRAP(int, close, (int fd), (fd))
WRAP(int, shutdown, (int fd, int how), (fd, how))
WRAP(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t size), (fd, level, name, value, size))
WRAP(ssize_t, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
WRAP(ssize_t, recvfrom, (int fd, void *data, size_t size, int flags, struct sockaddr *address, socklen_t *length),
     (fd, data, size, flags, address, length))
WRAP(ssize_t, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags))
WRAP(ssize_t, sendto, (int fd, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length),
     (fd, data, size, flags, address, length))
WRAP(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
WRAP(int, rename, (const char *from, const char *to), (from, to))

// Those whose last argument is not declared.
#define WRAP_VARIADIC(name, first, last) \
    int __real_##name(first where, int what, ...); \
    int __wrap_##name(first where, int what, ...) { \
        va_list more; \
        va_start(more, what); \
        last argument = va_arg(more, last); \
        va_end(more); \
        COUNTED("(" #name ")"); \
        int result = __real_##name(where, what, argument); \
        enter(before); \
        return result; \
    }
WRAP_VARIADIC(open, const char *, int)
WRAP_VARIADIC(fcntl, int, long)

void *__real_gc_alloc(size_t size, unsigned int flags);

void *__wrap_gc_alloc(size_t size, unsigned int flags) {
    COUNTED("(gc_alloc)");
    entry->allocated += size;
    if (before != entry) {
        before->allocated += size;
    }
    void *result = __real_gc_alloc(size, flags);
    enter(before);
    return result;
}

void __real_gc_collect(void);

void __wrap_gc_collect(void) {
    COUNTED("(gc_collect)");
    uint64_t already = entry->ticks;
    __real_gc_collect();
    enter(before);
    table->collections++;
    if (entry->ticks - already > table->longest_collection) {
        table->longest_collection = entry->ticks - already;
    }
}
