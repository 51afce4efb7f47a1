// The module `host`: what a daemon needs of the kernel and MicroPython's own modules do not offer.
//
//     fd = host.signal_fd()     readable once SIGTERM, SIGINT, SIGHUP or SIGUSR1 came
//     host.read_signal()        number of the next signal that came, 0 for none
//     host.SIGTERM ...          the numbers of those four signals here
//     host.monotonic_ms()       milliseconds since the machine started; never wraps, never jumps
//     host.wall_seconds()       seconds since 1970, on the clock that jumps
//     host.rename(from, to)     rename(2); raises OSError
//     host.file_mark(path)      (inode, bytes, second of the last change) of a file of our own, None where there is none
//     host.create(path)         make an empty file that nobody else may read, in the place of whatever is there; raises
//                               OSError
//     host.ignore_sender(fd, other)  a netlink socket hears no reports of what the other one changed
//     host.shutdown(fd, how)    shutdown(2): 0 reading, 1 writing, 2 both; raises OSError
//     host.getsockopt(fd, level, option, buffer)
//                               getsockopt(2) into a bytearray, whose bytes the kernel sees; raises OSError
//     host.remove(path)         unlink(2); raises OSError
//     host.chmod(path, mode)    chmod(2); raises OSError
//     host.accept(fd, target)   take a connection of a local (AF_UNIX) listener in the place of the socket `target`;
//                               the user id of who made it; raises OSError
//     host.receive_into(fd, buffer)
//                               recv(2) into a bytearray; how many bytes came; raises OSError
//     host.run(argv, input)     run a program, without any shell; (exit status, its standard output and error)
//     host.keep_capabilities(mask)
//                               give up all capabilities(7) but those of a bit mask, for good; what the kernel refused:
//                               1 our own sets, 2 the bounding set, 4 no_new_privs

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "py/mphal.h"
#include "py/obj.h"
#include "py/runtime.h"

static int signal_pipe[2] = {-1, -1};

static void on_signal(int number) {
    int saved = errno;
    unsigned char byte = number;
    (void)!write(signal_pipe[1], &byte, 1); // a full pipe wakes the loop just as well
    errno = saved;
}

static mp_obj_t host_signal_fd(void) {
    if (signal_pipe[0] < 0) {
        static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
        if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
            mp_raise_OSError(errno);
        }
        struct sigaction action = {.sa_handler = on_signal};
        for (size_t i = 0; i < MP_ARRAY_SIZE(numbers); i++) {
            sigaction(numbers[i], &action, NULL);
        }
    }
    return MP_OBJ_NEW_SMALL_INT(signal_pipe[0]);
}
static MP_DEFINE_CONST_FUN_OBJ_0(host_signal_fd_obj, host_signal_fd);

static mp_obj_t host_read_signal(void) {
    unsigned char byte;
    ssize_t got;
    MP_HAL_RETRY_SYSCALL(got, read(signal_pipe[0], &byte, 1), {});
    return MP_OBJ_NEW_SMALL_INT(got == 1 ? byte : 0);
}
static MP_DEFINE_CONST_FUN_OBJ_0(host_read_signal_obj, host_read_signal);

static mp_obj_t host_monotonic_ms(void) {
    struct timespec now;
    lean_clock(CLOCK_MONOTONIC, &now);
    return mp_obj_new_int_from_ll((long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
}
static MP_DEFINE_CONST_FUN_OBJ_0(host_monotonic_ms_obj, host_monotonic_ms);

static mp_obj_t host_wall_seconds(void) {
    struct timespec now;
    lean_clock(CLOCK_REALTIME, &now);
    return mp_obj_new_int_from_ll(now.tv_sec);
}
static MP_DEFINE_CONST_FUN_OBJ_0(host_wall_seconds_obj, host_wall_seconds);

// Reports name who made the change; a filter in the kernel spares us waking up for our own. (What is taken from the
// kernel's headers is written out here: a C library comes without them.)
static mp_obj_t host_ignore_sender(mp_obj_t fd, mp_obj_t other) {
    struct {
        uint16_t family, padding;
        uint32_t port, groups;
    } address; // sockaddr_nl
    socklen_t length = sizeof(address);
    if (getsockname(mp_obj_get_int(other), (struct sockaddr *)&address, &length) < 0) {
        mp_raise_OSError(errno);
    }
    struct {
        uint16_t code;
        uint8_t if_true, if_false;
        uint32_t operand;
    } code[] = { // sock_filter
        {0x20, 0, 0, 12}, // load nlmsg_pid, in network order
        {0x15, 0, 1, htonl(address.port)}, // is it the other one's?
        {0x06, 0, 0, 0}, // drop it
        {0x06, 0, 0, 0xffffffff}, // keep it whole
    };
    struct {
        unsigned short length;
        void *code;
    } program = {MP_ARRAY_SIZE(code), code}; // sock_fprog
    if (setsockopt(mp_obj_get_int(fd), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0) {
        mp_raise_OSError(errno);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(host_ignore_sender_obj, host_ignore_sender);

static mp_obj_t host_rename(mp_obj_t from, mp_obj_t to) {
    if (rename(mp_obj_str_get_str(from), mp_obj_str_get_str(to)) < 0) {
        mp_raise_OSError(errno);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(host_rename_obj, host_rename);

static mp_obj_t host_remove(mp_obj_t path) {
    if (unlink(mp_obj_str_get_str(path)) < 0) {
        mp_raise_OSError(errno);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(host_remove_obj, host_remove);

static mp_obj_t host_chmod(mp_obj_t path, mp_obj_t mode) {
    if (chmod(mp_obj_str_get_str(path), mp_obj_get_int(mode)) < 0) {
        mp_raise_OSError(errno);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(host_chmod_obj, host_chmod);

static mp_obj_t host_create(mp_obj_t path_in) {
    const char *path = mp_obj_str_get_str(path_in);
    unlink(path);
    // O_EXCL follows no link either; an umask can only take more of the mode away.
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0) {
        mp_raise_OSError(errno);
    }
    close(fd);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(host_create_obj, host_create);

// MicroPython's own accept keeps the peer's address in 32 bytes and then reads as many as the kernel says it has, which
// a local peer decides (up to 110). Nobody needs that address. And a socket object cannot be made from a descriptor, so
// the caller makes one, and the connection takes its descriptor over.
static mp_obj_t host_accept(mp_obj_t listener, mp_obj_t target) {
    int fd;
    MP_HAL_RETRY_SYSCALL(fd, accept4(mp_obj_get_int(listener), NULL, NULL, SOCK_CLOEXEC), mp_raise_OSError(err));
    struct ucred peer;
    socklen_t length = sizeof(peer);
    int failure = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0
        || dup3(fd, mp_obj_get_int(target), O_CLOEXEC) < 0 ? errno : 0;
    close(fd);
    if (failure) {
        mp_raise_OSError(failure);
    }
    return mp_obj_new_int_from_uint(peer.uid);
}
static MP_DEFINE_CONST_FUN_OBJ_2(host_accept_obj, host_accept);

// MicroPython's own recv takes new memory each time, and its readinto waits until the buffer is full.
static mp_obj_t host_receive_into(mp_obj_t fd, mp_obj_t target) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(target, &buffer, MP_BUFFER_WRITE);
    ssize_t length;
    MP_HAL_RETRY_SYSCALL(length, recv(mp_obj_get_int(fd), buffer.buf, buffer.len, 0), mp_raise_OSError(err));
    return MP_OBJ_NEW_SMALL_INT(length);
}
static MP_DEFINE_CONST_FUN_OBJ_2(host_receive_into_obj, host_receive_into);

// A link, or a file that somebody else made or linked there, is as good as none: the daemon neither trusts what is in it
// nor writes to it.
static mp_obj_t host_file_mark(mp_obj_t path) {
    struct stat found;
    if (lstat(mp_obj_str_get_str(path), &found) < 0 || S_ISLNK(found.st_mode) || found.st_uid != geteuid()
        || found.st_nlink != 1) {
        return mp_const_none;
    }
    mp_obj_t items[3] = {
        mp_obj_new_int_from_ull(found.st_ino),
        mp_obj_new_int_from_ll(found.st_size),
        mp_obj_new_int_from_ll(found.st_mtime),
    };
    return mp_obj_new_tuple(3, items);
}
static MP_DEFINE_CONST_FUN_OBJ_1(host_file_mark_obj, host_file_mark);

static mp_obj_t host_shutdown(mp_obj_t fd, mp_obj_t how) {
    int result;
    MP_HAL_RETRY_SYSCALL(result, shutdown(mp_obj_get_int(fd), mp_obj_get_int(how)), mp_raise_OSError(err));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(host_shutdown_obj, host_shutdown);

static mp_obj_t host_getsockopt(size_t count, const mp_obj_t *arguments) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(arguments[3], &buffer, MP_BUFFER_RW);
    socklen_t length = buffer.len;
    int result;
    MP_HAL_RETRY_SYSCALL(result, getsockopt(mp_obj_get_int(arguments[0]), mp_obj_get_int(arguments[1]),
        mp_obj_get_int(arguments[2]), buffer.buf, &length), mp_raise_OSError(err));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(host_getsockopt_obj, 4, 4, host_getsockopt);

// What the daemon runs needs a fraction of a second, or waits a few for a lock. Meanwhile nobody on the LAN is served.
#define RUN_MS (10000)
// More than a program of ours prints, which is a chain of some hundred rules at most; what comes after is dropped.
#define RUN_OUTPUT (16384)

static int run_status(pid_t pid, mp_uint_t started) {
    int status;
    pid_t ended;
    // A program may close its output and go on: then look until its time is over.
    while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && mp_hal_ticks_ms() - started < RUN_MS) {
        poll(NULL, 0, 1);
    }
    if (ended == 0) {
        kill(pid, SIGKILL);
        while ((ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR) {
        }
    }
    if (ended < 0) {
        return 127;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What the process that is to be the program needs; it has our memory until then (as with vfork), and its own stack.
struct start {
    char **argv;
    int in, out;
    sigset_t mask;
};

static int start_program(void *data) {
    struct start *start = data;
    struct sigaction action = {.sa_handler = SIG_DFL}; // SIGPIPE, which we ignore, and whatever our own parent ignored
    for (int number = 1; number < _NSIG; number++) {
        sigaction(number, &action, NULL);
    }
    if (dup2(start->in, STDIN_FILENO) >= 0 && dup2(start->out, STDOUT_FILENO) >= 0
        && dup2(start->out, STDERR_FILENO) >= 0) {
        sigprocmask(SIG_SETMASK, &start->mask, NULL);
        const char *name = start->argv[0], *folders = getenv("PATH");
        const char *folder = strchr(name, '/') ? "" : folders != NULL ? folders : "/usr/sbin:/usr/bin:/sbin:/bin";
        while (folder != NULL) {
            const char *end = strchr(folder, ':');
            size_t length = end != NULL ? (size_t)(end - folder) : strlen(folder);
            char path[256];
            if (length + strlen(name) + 2 <= sizeof(path)) {
                memcpy(path, folder, length);
                path[length] = '/';
                strcpy(path + length + (length != 0), name);
                execve(path, start->argv, environ);
            }
            folder = end != NULL ? end + 1 : NULL;
        }
    }
    _exit(127);
}

static mp_obj_t host_run(mp_obj_t argv_in, mp_obj_t input_in) {
    static char output[RUN_OUTPUT]; // pages that no output reaches cost nothing
    size_t argc, sent = 0, got = 0;
    mp_obj_t *words;
    mp_obj_get_array(argv_in, &argc, &words);
    char *argv[argc + 1];
    for (size_t i = 0; i < argc; i++) {
        argv[i] = (char *)mp_obj_str_get_str(words[i]);
    }
    argv[argc] = NULL;
    mp_buffer_info_t input;
    mp_get_buffer_raise(input_in, &input, MP_BUFFER_READ);

    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0) {
        mp_raise_OSError(errno);
    }
    if (pipe2(out, O_CLOEXEC) < 0) {
        int number = errno;
        close(in[0]);
        close(in[1]);
        mp_raise_OSError(number);
    }
    fcntl(in[1], F_SETFL, O_NONBLOCK);
    struct start start = {.argv = argv, .in = in[0], .out = out[1]};
    char stack[4096] __attribute__((aligned(16)));
    sigset_t all; // a handler of ours must not run in the other process
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &start.mask);
    pid_t pid = clone(start_program, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
    int failure = pid < 0;
    sigprocmask(SIG_SETMASK, &start.mask, NULL);
    close(in[0]);
    close(out[1]);

    mp_uint_t started = mp_hal_ticks_ms(), passed;
    struct pollfd watched[2] = {{.fd = out[0], .events = POLLIN}, {.fd = in[1], .events = POLLOUT}};
    while (!failure && (passed = mp_hal_ticks_ms() - started) < RUN_MS) {
        if (sent == input.len && watched[1].fd >= 0) {
            close(in[1]);
            watched[1].fd = -1;
        }
        if (poll(watched, 2, RUN_MS - passed) <= 0) {
            continue; // a signal for us, or the time is over
        }
        if (watched[1].fd >= 0 && watched[1].revents) {
            ssize_t count = write(in[1], (char *)input.buf + sent, input.len - sent);
            if (count >= 0) {
                sent += count;
            } else if (errno != EAGAIN && errno != EINTR) {
                sent = input.len; // it wants no more
            }
        }
        if (watched[0].revents) {
            char dropped[256];
            size_t room = RUN_OUTPUT - got;
            ssize_t count = read(out[0], room ? output + got : dropped, room ? room : sizeof(dropped));
            if (count == 0 || (count < 0 && errno != EINTR)) {
                break;
            }
            got += room && count > 0 ? count : 0;
        }
    }
    if (watched[1].fd >= 0) {
        close(in[1]);
    }
    close(out[0]);
    mp_obj_t result[2] = {MP_OBJ_NEW_SMALL_INT(failure ? 127 : run_status(pid, started)), mp_obj_new_bytes(
        (byte *)output, got)};
    return mp_obj_new_tuple(2, result);
}
static MP_DEFINE_CONST_FUN_OBJ_2(host_run_obj, host_run);

static int control(unsigned long option, unsigned long argument) {
    return syscall(SYS_prctl, option, argument, 0ul, 0ul, 0ul);
}

// What a program that root starts gets is what the bounding set (Linux 2.6.25) leaves, and with no_new_privs (3.5) never
// more than its parent had. (The numbers are the kernel's; a C library comes without its headers.)
static mp_obj_t host_keep_capabilities(mp_obj_t mask_in) {
    uint32_t mask = mp_obj_get_int(mask_in);
    int refused = 2, bound;
    for (int one = 0; (bound = control(23, one)) >= 0; ++one) { // PR_CAPBSET_READ, up to the last one that there is
        refused = one ? refused : 0;
        if (bound && (one > 31 || !(mask >> one & 1)) && control(24, one) < 0) { // PR_CAPBSET_DROP
            refused = 2;
        }
    }
    struct {
        uint32_t version;
        int pid;
    } header = {0x20080522, 0};
    struct {
        uint32_t effective, permitted, inheritable;
    } sets[2] = {{0}}; // the second: capabilities from 32, which are all given up
    if (syscall(SYS_capget, &header, sets) < 0) {
        syscall(SYS_capget, &header, sets); // an older kernel has written the version that it knows
    }
    sets[0].effective = sets[0].permitted &= mask;
    sets[1].effective = sets[1].permitted = sets[1].inheritable = sets[0].inheritable = 0;
    if (syscall(SYS_capset, &header, sets) < 0) {
        refused |= 1;
    }
    if (control(38, 1) < 0) { // PR_SET_NO_NEW_PRIVS
        refused |= 4;
    }
    return MP_OBJ_NEW_SMALL_INT(refused);
}
static MP_DEFINE_CONST_FUN_OBJ_1(host_keep_capabilities_obj, host_keep_capabilities);

static const mp_rom_map_elem_t host_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_host) },
    { MP_ROM_QSTR(MP_QSTR_signal_fd), MP_ROM_PTR(&host_signal_fd_obj) },
    { MP_ROM_QSTR(MP_QSTR_read_signal), MP_ROM_PTR(&host_read_signal_obj) },
    { MP_ROM_QSTR(MP_QSTR_monotonic_ms), MP_ROM_PTR(&host_monotonic_ms_obj) },
    { MP_ROM_QSTR(MP_QSTR_wall_seconds), MP_ROM_PTR(&host_wall_seconds_obj) },
    { MP_ROM_QSTR(MP_QSTR_ignore_sender), MP_ROM_PTR(&host_ignore_sender_obj) },
    { MP_ROM_QSTR(MP_QSTR_rename), MP_ROM_PTR(&host_rename_obj) },
    { MP_ROM_QSTR(MP_QSTR_file_mark), MP_ROM_PTR(&host_file_mark_obj) },
    { MP_ROM_QSTR(MP_QSTR_remove), MP_ROM_PTR(&host_remove_obj) },
    { MP_ROM_QSTR(MP_QSTR_chmod), MP_ROM_PTR(&host_chmod_obj) },
    { MP_ROM_QSTR(MP_QSTR_accept), MP_ROM_PTR(&host_accept_obj) },
    { MP_ROM_QSTR(MP_QSTR_receive_into), MP_ROM_PTR(&host_receive_into_obj) },
    { MP_ROM_QSTR(MP_QSTR_create), MP_ROM_PTR(&host_create_obj) },
    { MP_ROM_QSTR(MP_QSTR_keep_capabilities), MP_ROM_PTR(&host_keep_capabilities_obj) },
    { MP_ROM_QSTR(MP_QSTR_SIGHUP), MP_ROM_INT(SIGHUP) },
    { MP_ROM_QSTR(MP_QSTR_SIGINT), MP_ROM_INT(SIGINT) },
    { MP_ROM_QSTR(MP_QSTR_SIGTERM), MP_ROM_INT(SIGTERM) },
    { MP_ROM_QSTR(MP_QSTR_SIGUSR1), MP_ROM_INT(SIGUSR1) }, // 16 on MIPS, 10 elsewhere
    { MP_ROM_QSTR(MP_QSTR_SO_RCVBUF), MP_ROM_INT(SO_RCVBUF) }, // these two as well
    { MP_ROM_QSTR(MP_QSTR_SO_SNDBUF), MP_ROM_INT(SO_SNDBUF) },
    { MP_ROM_QSTR(MP_QSTR_shutdown), MP_ROM_PTR(&host_shutdown_obj) },
    { MP_ROM_QSTR(MP_QSTR_getsockopt), MP_ROM_PTR(&host_getsockopt_obj) },
    { MP_ROM_QSTR(MP_QSTR_run), MP_ROM_PTR(&host_run_obj) },
};
static MP_DEFINE_CONST_DICT(host_globals, host_globals_table);

const mp_obj_module_t host_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&host_globals,
};
MP_REGISTER_MODULE(MP_QSTR_host, host_module);
