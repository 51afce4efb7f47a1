// Division of 64-bit integers, in the place of the compiler's functions for 32-bit machines: four copies of one algorithm
// there, which is 1 KB as LZMA. Nearly all numbers have 32 bits, which the processor divides itself.

#include <stdint.h>

#if UINTPTR_MAX == UINT32_MAX

static uint64_t divide(uint64_t number, uint64_t divisor, uint64_t *rest) {
    if (((number | divisor) >> 32) == 0 && divisor != 0) {
        *rest = (uint32_t)number % (uint32_t)divisor;
        return (uint32_t)number / (uint32_t)divisor;
    }
    uint64_t quotient = 0, left = 0;
    for (int bit = 63; bit >= 0; bit--) {
        int carry = left >> 63;
        left = left << 1 | (number >> bit & 1);
        if (carry || left >= divisor) {
            left -= divisor;
            quotient |= (uint64_t)1 << bit;
        }
    }
    *rest = left;
    return quotient;
}

uint64_t __udivdi3(uint64_t number, uint64_t divisor) {
    uint64_t rest;
    return divide(number, divisor, &rest);
}

uint64_t __umoddi3(uint64_t number, uint64_t divisor) {
    uint64_t rest;
    divide(number, divisor, &rest);
    return rest;
}

static uint64_t absolute(int64_t number) {
    return number < 0 ? -(uint64_t)number : (uint64_t)number;
}

int64_t __divdi3(int64_t number, int64_t divisor) {
    uint64_t rest, quotient = divide(absolute(number), absolute(divisor), &rest);
    return (number < 0) != (divisor < 0) ? -quotient : quotient;
}

int64_t __moddi3(int64_t number, int64_t divisor) {
    uint64_t rest;
    divide(absolute(number), absolute(divisor), &rest);
    return number < 0 ? -rest : rest;
}

#endif
