// What the lean runtime has and has not. Everything starts off (ROM level "minimum"); each option that is switched on
// is here because the daemon uses it.

#include <unistd.h>
#include <alloca.h>
#include <limits.h>
#include <stdint.h>

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_MINIMUM)

// Bytecode is frozen in at build time: no compiler, no REPL, no loading of foreign code.
#define MICROPY_ENABLE_COMPILER (0)
#define MICROPY_PERSISTENT_CODE_LOAD (0)
#undef MICROPY_MODULE_FROZEN_STR // forced on by the makefile; it would link the lexer in
#define MICROPY_MODULE_FROZEN_STR (0)
#undef MICROPY_QSTR_EXTRA_POOL // freeze.py puts all strings into one
#define MICROPY_EMIT_BYTECODE_USES_QSTR_TABLE (0)
#define MICROPY_ENABLE_EXTERNAL_IMPORT (1) // of a package's modules too,
#define mp_builtin___import__ lean_import // by import.c
#define MICROPY_MODULE_BUILTIN_INIT (0)
#define MICROPY_OPT_COMPUTED_GOTO (1)
#define MICROPY_OPT_LOAD_ATTR_FAST_PATH (1)
#define MICROPY_OPT_MAP_LOOKUP_CACHE (1)
#define MICROPY_OPT_MAP_LOOKUP_CACHE_SIZE (512) // a byte each
#define MICROPY_WRAP_MP_MAP_LOOKUP(name) lean_map_lookup // faster.c has one in front of it

// Memory: a first area in .bss, more from the kernel when it is full (main.c holds the limit).
#define MICROPY_ENABLE_GC (1)
#define MICROPY_GC_SPLIT_HEAP (1)
#define MICROPY_GC_SPLIT_HEAP_AUTO (1)
#define MICROPY_GC_ALLOC_THRESHOLD (1) // main.c says when
#define MICROPY_ENABLE_FINALISER (1)
#define MICROPY_ALLOC_GC_STACK_SIZE (1) // heap.c has its own
#define MICROPY_STACK_CHECK (1)
#define MICROPY_GCREGS_SETJMP (1)
#define MICROPY_ALLOC_PATH_MAX (256)
void *lean_heap_alloc(size_t size);
void lean_heap_free(void *area);
#define MP_PLAT_ALLOC_HEAP(size) lean_heap_alloc(size)
#define MP_PLAT_FREE_HEAP(ptr) lean_heap_free(ptr)

// 64-bit integers are enough: the largest numbers are byte counters. The daemon checks the length of a number
// before it converts one.
#define MICROPY_LONGINT_IMPL (MICROPY_LONGINT_IMPL_LONGLONG)
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_NONE)

// Errors: full texts, not packed by MicroPython: flash packs them better. Tracebacks of unexpected exceptions name the
// place in the frozen bytecode for a line (freeze.py lists them); the lines are only in the test programs, they would take
// 9 KB of flash.
#define MICROPY_ERROR_REPORTING (MICROPY_ERROR_REPORTING_NORMAL)
#define MICROPY_ENABLE_SOURCE_LINE (1)
extern const unsigned char mp_frozen_code[];
#ifdef LEAN_LINES // of some modules
#define LEAN_LINE(table, end, at, ip) \
    ((table) < (end) ? mp_bytecode_get_source_line(table, end, at) : (size_t)((ip) - mp_frozen_code))
#else
#define LEAN_LINE(table, end, at, ip) ((void)(table), (void)(end), (void)(at), (ip) - mp_frozen_code)
#endif
#define MICROPY_WARNINGS (0)
#define MICROPY_USE_INTERNAL_ERRNO (0)
extern const struct _mp_print_t mp_stderr_print;
#define MICROPY_ERROR_PRINTER (&mp_stderr_print)
#define MICROPY_DEBUG_PRINTER (&mp_stderr_print)
#define MICROPY_USE_INTERNAL_PRINTF (1)

// The language and its built-in types.
#define MICROPY_CPYTHON_COMPAT (1)
#define MICROPY_FULL_CHECKS (1)
#define MICROPY_PY_ASYNC_AWAIT (0)
#define MICROPY_PY_BUILTINS_BYTEARRAY (1)
#define MICROPY_PY_BUILTINS_MEMORYVIEW (1)
#define MICROPY_PY_BUILTINS_SLICE (1)
#define MICROPY_PY_BUILTINS_SET (1)
#define MICROPY_PY_BUILTINS_PROPERTY (1)
#define MICROPY_PY_BUILTINS_ENUMERATE (1)
#define MICROPY_PY_BUILTINS_REVERSED (1)
#define MICROPY_PY_BUILTINS_MIN_MAX (1)
#define MICROPY_PY_BUILTINS_STR_UNICODE (1)
#define MICROPY_PY_BUILTINS_STR_OP_MODULO (1)
#define MICROPY_PY_BUILTINS_STR_PARTITION (1)
#define MICROPY_PY_BUILTINS_STR_COUNT (1)
#define MICROPY_PY___FILE__ (0)
#define MICROPY_PY_GENERATOR_PEND_THROW (0)
#define MICROPY_PY_ARRAY (0)
#define MICROPY_PY_ARRAY_SLICE_ASSIGN (1)
#define MICROPY_PY_COLLECTIONS (0)
#define MICROPY_PY_MATH (0)
#define MICROPY_PY_CMATH (0)

// The standard modules.
#define MICROPY_PY_ERRNO (1)
#define MICROPY_PY_ERRNO_ERRORCODE (0)
#define MICROPY_PY_ERRNO_LIST \
    X(EPERM) X(ENOENT) X(EINTR) X(EIO) X(EBADF) X(EAGAIN) X(ENOMEM) X(EACCES) X(EBUSY) X(EEXIST) X(ENODEV) \
    X(EINVAL) X(EPIPE) X(EADDRINUSE) X(EADDRNOTAVAIL) X(ENETDOWN) X(ENETUNREACH) X(ECONNABORTED) X(ECONNRESET) \
    X(ENOBUFS) X(ENOTCONN) X(ETIMEDOUT) X(ECONNREFUSED) X(EHOSTUNREACH) X(EINPROGRESS) X(EOPNOTSUPP)
// names that MicroPython's own list lacks
#include <errno.h>
#define MP_EADDRNOTAVAIL EADDRNOTAVAIL
#define MP_ENETDOWN ENETDOWN
#define MP_ENETUNREACH ENETUNREACH
#define MICROPY_PY_GC (1)
#define MICROPY_PY_IO (1)
#define MICROPY_PY_MICROPYTHON (0)
#define MICROPY_PY_SELECT (1)
#define MICROPY_PY_SELECT_POSIX_OPTIMISATIONS (1)
#define MICROPY_PY_SELECT_SELECT (0)
#define MICROPY_PY_SOCKET (1)
#define MICROPY_PY_SOCKET_LISTEN_BACKLOG_DEFAULT (16)
#define MICROPY_PY_STRUCT (1)
#define MICROPY_PY_SYS (1)
#define MICROPY_PY_SYS_EXIT (1)
#define MICROPY_PY_SYS_STDFILES (1)
#define MICROPY_PY_SYS_PATH (1)
#define MICROPY_PY_SYS_ARGV (1)
#define MICROPY_PY_SYS_PATH_ARGV_DEFAULTS (0)
#define MICROPY_PY_SYS_MODULES (0)
#define MICROPY_PY_SYS_PLATFORM "linux"
#define MICROPY_PY_ATTRTUPLE (1) // sys.implementation.name

// Files, through the kernel's own file systems (main.c opens them).
#define MICROPY_VFS (0)
#define MICROPY_VFS_POSIX (1)
#define MICROPY_READER_POSIX (0)
#define MICROPY_READER_VFS (0)
#define MICROPY_PY_VFS (0)
#define MICROPY_PY_OS (0)

#define MICROPY_EPOCH_IS_1970 (1)
#define MP_STATE_PORT MP_STATE_VM
#define _DIRENT_HAVE_D_TYPE (1)
#define _DIRENT_HAVE_D_INO (1)

#ifdef __LP64__
typedef long mp_int_t; // pointer size
typedef unsigned long mp_uint_t;
#else
typedef int mp_int_t;
typedef unsigned int mp_uint_t;
#endif
typedef long long mp_off_t;
