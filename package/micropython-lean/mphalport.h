// What MicroPython's own sources ask of a port's hardware layer: here the kernel.

#include <errno.h>
#include <unistd.h>

// System calls interrupted by a signal are made again (PEP 475). The signal itself is seen through the descriptor of
// the module `host`, so nothing is lost by it.
#define MP_HAL_RETRY_SYSCALL(ret, syscall, raise) \
    do { \
        while ((ret = (syscall)) == -1 && errno == EINTR) { \
        } \
        if (ret == -1) { \
            int err = errno; \
            (void)err; \
            raise; \
        } \
    } while (0)

#define RAISE_ERRNO(err_flag, error_val) { if (err_flag == -1) { mp_raise_OSError(error_val); } }

#define mp_hal_stdio_poll unused
#define MICROPY_INTERNAL_WFE(timeout_ms) usleep(500)
#define mp_hal_ticks_cpu() 0
static inline void mp_hal_delay_us(mp_uint_t us) {
    usleep(us);
}
void mp_hal_set_interrupt_char(char c);
struct timespec;
void lean_clock(int clock, struct timespec *now);
