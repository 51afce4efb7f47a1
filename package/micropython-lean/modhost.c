// The module `host`: what a daemon needs of the kernel and MicroPython's own modules do not offer.
//
//     fd = host.signal_fd()     readable once SIGTERM, SIGINT, SIGHUP or SIGUSR1 came
//     host.read_signal()        number of the next signal that came, 0 for none
//     host.SIGTERM ...          the numbers of those four signals here
//     host.monotonic_ms()       milliseconds since the machine started; never wraps, never jumps
//     host.wall_seconds()       seconds since 1970, on the clock that jumps
//     host.rename(from, to)     rename(2); raises OSError
//     host.file_mark(path)      (inode, bytes, second of the last change) of a file, None where there is none
//     host.ignore_sender(fd, other)  a netlink socket hears no reports of what the other one changed
//     host.shutdown(fd, how)    shutdown(2): 0 reading, 1 writing, 2 both; raises OSError

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
    clock_gettime(CLOCK_MONOTONIC, &now);
    return mp_obj_new_int_from_ll((long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
}
static MP_DEFINE_CONST_FUN_OBJ_0(host_monotonic_ms_obj, host_monotonic_ms);

static mp_obj_t host_wall_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
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

static mp_obj_t host_file_mark(mp_obj_t path) {
    struct stat found;
    if (stat(mp_obj_str_get_str(path), &found) < 0) {
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

static const mp_rom_map_elem_t host_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_host) },
    { MP_ROM_QSTR(MP_QSTR_signal_fd), MP_ROM_PTR(&host_signal_fd_obj) },
    { MP_ROM_QSTR(MP_QSTR_read_signal), MP_ROM_PTR(&host_read_signal_obj) },
    { MP_ROM_QSTR(MP_QSTR_monotonic_ms), MP_ROM_PTR(&host_monotonic_ms_obj) },
    { MP_ROM_QSTR(MP_QSTR_wall_seconds), MP_ROM_PTR(&host_wall_seconds_obj) },
    { MP_ROM_QSTR(MP_QSTR_ignore_sender), MP_ROM_PTR(&host_ignore_sender_obj) },
    { MP_ROM_QSTR(MP_QSTR_rename), MP_ROM_PTR(&host_rename_obj) },
    { MP_ROM_QSTR(MP_QSTR_file_mark), MP_ROM_PTR(&host_file_mark_obj) },
    { MP_ROM_QSTR(MP_QSTR_SIGHUP), MP_ROM_INT(SIGHUP) },
    { MP_ROM_QSTR(MP_QSTR_SIGINT), MP_ROM_INT(SIGINT) },
    { MP_ROM_QSTR(MP_QSTR_SIGTERM), MP_ROM_INT(SIGTERM) },
    { MP_ROM_QSTR(MP_QSTR_SIGUSR1), MP_ROM_INT(SIGUSR1) }, // 16 on MIPS, 10 elsewhere
    { MP_ROM_QSTR(MP_QSTR_shutdown), MP_ROM_PTR(&host_shutdown_obj) },
};
static MP_DEFINE_CONST_DICT(host_globals, host_globals_table);

const mp_obj_module_t host_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&host_globals,
};
MP_REGISTER_MODULE(MP_QSTR_host, host_module);
