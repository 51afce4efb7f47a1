// What the daemon needs of a C library, for 32-bit MIPS on Linux (the ABI o32): system calls, start and end, memory.
//
// musl's have ways around threads, cancellation and newer times in each of them: 12.8 KB, 5.2 of a compressed flash. In
// this ABI the kernel takes a call's arguments from where C puts them, so that most calls are a number and a jump. On
// other machines (the build host) the C library's own are taken.

#if defined(__mips__) && defined(_ABIO32) && _MIPS_SIM == _ABIO32 && !defined(__SANITIZE_ADDRESS__)

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

// There are no threads. The name is known to the assembler below.
__attribute__((used)) int kernel_error;

int *__errno_location(void) {
    return &kernel_error;
}

int *___errno_location(void) __attribute__((const, alias("__errno_location"))); // the C library's own name for it

#define EXACTLY(number) #number
#define TEXT(number) EXACTLY(number)
#define CALL_AS(name, number) ".globl " #name "\n" #name ": b kernel_call\n li $3, " TEXT(number) "\n"
#define CALL(name) CALL_AS(name, SYS_##name)

// The kernel answers with the result in $2; or, if $7 says so, with an error's number. Kernels before 2.6.37 that begin a
// call anew which was interrupted go back two instructions: what is in front of `syscall` has to set $2, and nothing else.
__asm__(
    ".section .text.kernel_calls, \"ax\", @progbits\n.align 2\n.set push\n.set noreorder\n"
    CALL(accept) CALL(bind) CALL(chmod) CALL(close) CALL(connect) CALL(dup2) CALL(execve) CALL_AS(fcntl, SYS_fcntl64)
    CALL(fsync) CALL(geteuid) CALL(getsockname) CALL(getsockopt) CALL(kill) CALL(listen) CALL(munmap) CALL(open)
    CALL(poll) CALL(read) CALL(recv) CALL(recvfrom) CALL(rename) CALL(send) CALL(sendto)
    CALL(shutdown) CALL(sysinfo) CALL(unlink) CALL(waitpid) CALL(write) CALL_AS(_exit, SYS_exit_group)
    CALL_AS(kernel_accept4, SYS_accept4) CALL_AS(kernel_dup3, SYS_dup3) CALL_AS(kernel_llseek, SYS__llseek)
    CALL_AS(kernel_lstat64, SYS_lstat64) CALL_AS(kernel_mmap2, SYS_mmap2) CALL_AS(kernel_pipe2, SYS_pipe2)
    CALL_AS(kernel_sigaction, SYS_rt_sigaction) CALL_AS(kernel_sigprocmask, SYS_rt_sigprocmask)
    CALL_AS(kernel_setsockopt, SYS_setsockopt) CALL_AS(kernel_socket, SYS_socket)
    // syscall(number, up to five arguments)
    ".globl syscall\n"
    "syscall: lw $8, 20($29)\n move $3, $4\n move $4, $5\n move $5, $6\n move $6, $7\n lw $7, 16($29)\n sw $8, 16($29)\n"
    "kernel_call: move $2, $3\n syscall\n"
    "kernel_result: beqz $7, 1f\n lui $3, %hi(kernel_error)\n sw $2, %lo(kernel_error)($3)\n li $2, -1\n"
    "1: jr $31\n nop\n"
    // pipe(2) has two results
    ".globl kernel_pipe\n"
    "kernel_pipe: li $2, " TEXT(SYS_pipe) "\n syscall\n bnez $7, kernel_result\n nop\n"
    " sw $2, 0($4)\n sw $3, 4($4)\n jr $31\n move $2, $0\n"
    // clone(a function that does not return, its stack, flags, its argument)
    ".globl clone\n"
    "clone: addiu $5, $5, -16\n sw $4, 0($5)\n sw $7, 4($5)\n move $4, $6\n li $2, " TEXT(SYS_clone) "\n syscall\n"
    " bnez $7, kernel_result\n nop\n bnez $2, 1b\n lw $25, 0($29)\n jr $25\n lw $4, 4($29)\n"
    ".set pop\n.previous\n");

int kernel_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int kernel_dup3(int from, int to, int flags);
int kernel_llseek(int fd, unsigned high, unsigned low, long long *result, int whence);
int kernel_lstat64(const char *path, struct stat *found);
void *kernel_mmap2(void *start, size_t length, int protection, int flags, int fd, unsigned page);
int kernel_pipe(int fds[2]);
int kernel_pipe2(int fds[2], int flags);
int kernel_sigaction(int number, const void *action, void *old, size_t size);
int kernel_sigprocmask(int how, const sigset_t *set, sigset_t *old, size_t size);
int kernel_setsockopt(int fd, int level, int option, const void *value, socklen_t length);
int kernel_socket(int family, int type, int protocol);

extern char **environ;

int __libc_start_main(int (*program)(int, char **, char **), int argc, char **argv) {
    environ = argv + argc + 1;
    _exit(program(argc, argv, environ));
}

char *getenv(const char *name) {
    size_t length = strlen(name);
    for (char **each = environ; *each != NULL; each++) {
        if (strncmp(*each, name, length) == 0 && (*each)[length] == '=') {
            return *each + length + 1;
        }
    }
    return NULL;
}

// Kernels before 2.6.28 have no flags for new descriptors.
static int with_flags(int fd, int flags) {
    if (fd >= 0 && flags & O_CLOEXEC) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    if (fd >= 0 && flags & O_NONBLOCK) {
        fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    return fd;
}

int socket(int family, int type, int protocol) {
    int flags = type & (SOCK_CLOEXEC | SOCK_NONBLOCK); // the same bits as those of open(2)
    int fd = kernel_socket(family, type, protocol);
    if (fd < 0 && flags && (errno == EINVAL || errno == EPROTONOSUPPORT)) {
        fd = with_flags(kernel_socket(family, type & ~flags, protocol), flags);
    }
    return fd;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length) {
    if (level == SOL_SOCKET && (option == SO_RCVTIMEO || option == SO_SNDTIMEO)) {
        // The C library's times have 64 bits, which kernels know from 5.1 on; the older options have 32.
        const struct timeval *timeout = value;
        long parts[2] = {timeout->tv_sec, timeout->tv_usec};
        return kernel_setsockopt(fd, level, option == SO_RCVTIMEO ? 0x1006 : 0x1005, parts, sizeof(parts));
    }
    return kernel_setsockopt(fd, level, option, value, length);
}

int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags) {
    int fd = kernel_accept4(listener, address, length, flags);
    return fd < 0 && errno == ENOSYS ? with_flags(accept(listener, address, length), flags) : fd;
}

int dup3(int from, int to, int flags) {
    int fd = kernel_dup3(from, to, flags);
    return fd < 0 && errno == ENOSYS ? with_flags(dup2(from, to), flags) : fd;
}

int pipe2(int fds[2], int flags) {
    int result = kernel_pipe2(fds, flags);
    if (result < 0 && errno == ENOSYS && (result = kernel_pipe(fds)) == 0) {
        with_flags(fds[0], flags);
        with_flags(fds[1], flags);
    }
    return result;
}

off_t lseek(int fd, off_t offset, int whence) {
    off_t result;
    return kernel_llseek(fd, offset >> 32, offset, &result, whence) < 0 ? -1 : result;
}

int lstat(const char *path, struct stat *found) {
    int result = kernel_lstat64(path, found); // which the C library's struct begins with
    found->st_mtim.tv_sec = found->__st_mtim32.tv_sec;
    return result;
}

void *mmap(void *start, size_t length, int protection, int flags, int fd, off_t offset) {
    return kernel_mmap2(start, length, protection, flags, fd, offset >> 12);
}

#define SIGNAL_BYTES (16) // of a set of signals in the kernel

int sigaction(int number, const struct sigaction *action, struct sigaction *old) {
    struct {
        unsigned flags;
        void (*handler)(int);
        unsigned char mask[SIGNAL_BYTES];
    } new = {.flags = action->sa_flags, .handler = action->sa_handler};
    return kernel_sigaction(number, &new, NULL, SIGNAL_BYTES); // nobody asks for the old one, or masks others
}

void (*signal(int number, void (*handler)(int)))(int) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    return sigaction(number, &action, NULL) < 0 ? SIG_ERR : SIG_DFL;
}

int sigfillset(sigset_t *set) {
    memset(set, 255, sizeof(*set));
    return 0;
}

int sigprocmask(int how, const sigset_t *set, sigset_t *old) {
    return kernel_sigprocmask(how, set, old, SIGNAL_BYTES);
}

// A word anywhere (two instructions, lwl and lwr) and one at a multiple of its size.
typedef struct __attribute__((packed, may_alias)) {
    uint32_t value;
} any_word;
typedef uint32_t __attribute__((may_alias)) word;

void *memcpy(void *to, const void *from, size_t length) {
    unsigned char *target = to;
    const unsigned char *source = from;
    if (length >= 8) {
        for (; (uintptr_t)target & 3; --length) {
            *target++ = *source++;
        }
        if ((uintptr_t)source & 3) {
            for (; length >= 8; length -= 8, target += 8, source += 8) {
                uint32_t first = ((any_word *)source)[0].value, second = ((any_word *)source)[1].value;
                ((word *)target)[0] = first;
                ((word *)target)[1] = second;
            }
        }
        else {
            for (; length >= 16; length -= 16, target += 16, source += 16) {
                uint32_t a = ((word *)source)[0], b = ((word *)source)[1], c = ((word *)source)[2], d = ((word *)source)[3];
                ((word *)target)[0] = a;
                ((word *)target)[1] = b;
                ((word *)target)[2] = c;
                ((word *)target)[3] = d;
            }
            for (; length >= 4; length -= 4, target += 4, source += 4) {
                *(word *)target = *(word *)source;
            }
        }
    }
    while (length--) {
        *target++ = *source++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t length) {
    if ((uintptr_t)to - (uintptr_t)from >= length) {
        return memcpy(to, from, length); // from the start on; it reads each piece before it writes one
    }
    unsigned char *target = (unsigned char *)to + length;
    const unsigned char *source = (const unsigned char *)from + length;
    if ((((uintptr_t)target | (uintptr_t)source) & 3) == 0) {
        for (; length >= 4; length -= 4) {
            target -= 4;
            source -= 4;
            *(word *)target = *(word *)source;
        }
    }
    while (length--) {
        *--target = *--source;
    }
    return to;
}

void *memset(void *to, int value, size_t length) {
    unsigned char *target = to;
    if (length >= 8) {
        uint32_t four = (value & 255) * 0x01010101u;
        for (; (uintptr_t)target & 3; --length) {
            *target++ = value;
        }
        for (; length >= 16; length -= 16, target += 16) {
            ((word *)target)[0] = four;
            ((word *)target)[1] = four;
            ((word *)target)[2] = four;
            ((word *)target)[3] = four;
        }
    }
    while (length--) {
        *target++ = value;
    }
    return to;
}

char *strchr(const char *text, int wanted) {
    for (; *text != (char)wanted; ++text) {
        if (*text == 0) {
            return NULL;
        }
    }
    return (char *)text;
}

char *strcpy(char *to, const char *from) {
    return memcpy(to, from, strlen(from) + 1);
}

#endif
