// Start-up of the lean runtime: memory, argv, the frozen program, exit status. No shell, no REPL, no code from files.

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "py/builtin.h"
#include "py/gc.h"
#include "py/mphal.h"
#include "py/objlist.h"
#include "py/objstr.h"
#include "py/runtime.h"
#include "py/stackctrl.h"
#include "extmod/vfs.h"
#include "extmod/vfs_posix.h"
#include "shared/runtime/gchelper.h"

#ifndef LEAN_PROGRAM
#define LEAN_PROGRAM "miniigd.__main__" // the frozen module that is the program
#endif

// The heap starts in .bss, where pages that were never touched cost nothing, and grows in areas from the kernel.
#define FIRST_AREA (192 * 1024)
// Garbage is collected when this much was allocated since the last time, or that part of the heap: a heap that grew once
// (for the longest answer) would be full of garbage before anybody looked, and all of its pages in memory.
#define COLLECT_AFTER (96 * 1024)
#define COLLECT_PART (4)
// A router must survive whatever its LAN asks for, and the kernel needs memory for that, too.
#define HEAP_LIMIT (4 * 1024 * 1024)
#define HEAP_PART (8) // of what the kernel has to give: 1.2 MB with 16 MB of RAM, of which 10 are left then
#define STACK_LIMIT (64 * 1024)

static char first_area[FIRST_AREA];
static size_t heap_size = FIRST_AREA;

static void set_threshold(void) {
    size_t part = heap_size / COLLECT_PART;
    MP_STATE_MEM(gc_alloc_threshold) = (part > COLLECT_AFTER ? part : COLLECT_AFTER) / MICROPY_BYTES_PER_GC_BLOCK;
}

// Each area begins with its own size, so that it can be given back.
#define AREA_HEADER (16)

size_t gc_get_max_new_split(void) {
    struct sysinfo info;
    size_t limit = HEAP_LIMIT;
    if (sysinfo(&info) == 0 && info.totalram / HEAP_PART < limit / info.mem_unit) {
        limit = info.totalram / HEAP_PART * info.mem_unit;
    }
    return heap_size < limit ? limit - heap_size : 0;
}

void *lean_heap_alloc(size_t size) {
    size += AREA_HEADER;
    char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) {
        return NULL;
    }
    heap_size += size;
    set_threshold();
    *(size_t *)area = size;
    return area + AREA_HEADER;
}

void lean_heap_free(void *area) {
    char *start = (char *)area - AREA_HEADER;
    size_t size = *(size_t *)start;
    heap_size -= size;
    set_threshold();
    munmap(start, size);
}

void gc_collect(void) {
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}

// The C library looks for a faster way first, in a table of symbols that the kernel gives; it is 0.6 KB as LZMA, and the
// clock is read a few times for a request.
void lean_clock(int clock, struct timespec *now) {
    #if defined(SYS_clock_gettime32) && defined(SYS_clock_gettime64)
    if (syscall(SYS_clock_gettime64, clock, now) < 0) { // a kernel before 5.1
        long parts[2] = {0, 0};
        syscall(SYS_clock_gettime32, clock, parts);
        now->tv_sec = parts[0];
        now->tv_nsec = parts[1];
    }
    #else
    clock_gettime(clock, now);
    #endif
}

mp_uint_t mp_hal_ticks_ms(void) {
    struct timespec now;
    lean_clock(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

mp_uint_t mp_hal_stdout_tx_strn(const char *text, size_t length) {
    ssize_t sent;
    MP_HAL_RETRY_SYSCALL(sent, write(STDOUT_FILENO, text, length), {});
    return sent < 0 ? 0 : sent;
}

void mp_hal_stdout_tx_strn_cooked(const char *text, size_t length) {
    mp_hal_stdout_tx_strn(text, length);
}

static void print_to_stderr(void *env, const char *text, size_t length) {
    ssize_t sent;
    MP_HAL_RETRY_SYSCALL(sent, write(STDERR_FILENO, text, length), {});
}

const mp_print_t mp_stderr_print = {NULL, print_to_stderr};

// The daemon looks up no names (that would stall it): these keep the C library's resolver out of the program, which
// MicroPython's socket module would pull in.
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
    return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *found) {
}

#ifndef __SANITIZE_ADDRESS__
// Addresses are text of its own (compat.py).
const char *inet_ntop(int family, const void *raw, char *text, socklen_t size) {
    return NULL;
}

int inet_pton(int family, const char *text, void *raw) {
    return 0;
}

// For integers of more than 31 bits; the C library's reads numbers through a stream of its own.
long long strtoll(const char *text, char **end, int base) {
    long long value = 0;
    for (;; ++text) {
        int digit = *text <= '9' ? *text - '0' : (*text | 0x20) - 'a' + 10;
        if (digit < 0 || digit >= base) {
            break;
        }
        value = value > (LLONG_MAX - digit) / base ? LLONG_MAX : value * base + digit;
    }
    *end = (char *)text;
    return value;
}
#endif

// Files are the kernel's; modules are in the program only.
mp_obj_t mp_vfs_open(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    return mp_vfs_posix_file_open(&mp_type_vfs_posix_textio, arguments[0],
        count > 1 ? arguments[1] : MP_OBJ_NEW_QSTR(MP_QSTR_r));
}
MP_DEFINE_CONST_FUN_OBJ_KW(mp_builtin_open_obj, 1, mp_vfs_open);

mp_import_stat_t mp_import_stat(const char *path) {
    return MP_IMPORT_STAT_NO_EXIST;
}

void nlr_jump_fail(void *value) {
    static const char text[] = "miniigd: exception outside of the program\n";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(70);
}

// The exit status that an uncaught exception stands for; all but SystemExit are printed.
static int exit_status(mp_obj_t exception) {
    if (!mp_obj_is_subclass_fast(MP_OBJ_FROM_PTR(mp_obj_get_type(exception)), MP_OBJ_FROM_PTR(&mp_type_SystemExit))) {
        mp_obj_print_exception(&mp_stderr_print, exception);
        return 1;
    }
    mp_obj_t value = mp_obj_exception_get_value(exception);
    mp_int_t status;
    if (value == mp_const_none) {
        return 0;
    }
    return mp_obj_get_int_maybe(value, &status) ? status & 255 : 1;
}

static int run_program(void) {
    nlr_buf_t nlr;
    if (nlr_push(&nlr) != 0) {
        return exit_status(MP_OBJ_FROM_PTR(nlr.ret_val));
    }
    mp_obj_list_append(mp_sys_path, MP_OBJ_NEW_QSTR(MP_QSTR__dot_frozen));
    // The fourth argument makes the import return the innermost module, as "import a.b as c" does.
    mp_obj_t arguments[4] = {mp_obj_new_str_from_cstr(LEAN_PROGRAM), mp_const_none, mp_const_none, mp_const_true};
    mp_builtin___import__(4, arguments);
    nlr_pop();
    return 0;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); // a write to a closed connection answers EPIPE
    mp_stack_set_top(&argc);
    mp_stack_set_limit(STACK_LIMIT);
    gc_init(first_area, first_area + sizeof(first_area));
    set_threshold();
    mp_init();
    mp_obj_list_init(MP_OBJ_TO_PTR(mp_sys_argv), 0);
    mp_sys_path = mp_obj_new_list(0, NULL);
    for (int i = 0; i < argc; i++) {
        mp_obj_list_append(mp_sys_argv, mp_obj_new_str_from_cstr(argv[i]));
    }
    return run_program();
}
