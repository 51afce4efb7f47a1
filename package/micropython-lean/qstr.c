// Strings by number (qstr), in the place of MicroPython's py/qstr.c: those of the program are known when it is built.
//
// freeze.py numbers them: names that only bytecode knows first (the frequent ones), then all that have a text, then the
// other names that only bytecode knows. These need no text: nobody can ask for them by one. Where one is shown (in a
// traceback) it is "#" and its number, which is also its hash. The texts are in the order of their lengths, and sorted
// where these are equal: so where one is follows from its number and a short table, which has an entry for each length,
// where MicroPython has a pointer and a length (and, for speed, a hash) for each text.
//
// Strings that the running program adds are in pools on the heap, as MicroPython has them.

#include <stdio.h>
#include <string.h>

#include "py/gc.h"
#include "py/mpstate.h"
#include "py/qstr.h"
#include "py/runtime.h"

// The texts with numbers from `first` on (to the next entry's) have this length each, and begin at `place`. The last
// entry only ends the others. There are two such orders: that of the frequent strings, and behind it all others'.
typedef struct {
    uint16_t first, length;
    uint32_t place;
} texts_t;

#include "strings.generated.h" // texts, table, STRINGS_FIRST, STRINGS_END

#define POOL_STRINGS (20) // that a pool has room for
#define SHOWN (4) // names without a text that can be looked at together

size_t qstr_compute_hash(const byte *data, size_t length) {
    size_t hash = 5381; // djb2, as MicroPython's
    for (const byte *end = data + length; data < end; data++) {
        hash = (hash * 33) ^ *data;
    }
    hash &= 0xffff;
    return hash ? hash : 1; // 0 stands for one that was not computed
}

// For each length and both orders, which entry of the table it has, from 1 on; 0: none. Nearly every new text is looked for,
// and the table is long.
static uint8_t entries[2][256];

void qstr_init(void) {
    _Static_assert(sizeof(table) / sizeof(*table) <= 256, "an entry's number is a byte");
    for (size_t at = 0, order = 0; table[at].first < STRINGS_END; ++at) {
        order |= at > 0 && table[at].length <= table[at - 1].length;
        entries[order][table[at].length] = at + 1;
    }
    MP_STATE_VM(last_pool) = NULL;
    MP_STATE_VM(qstr_last_chunk) = NULL;
}

// Make the text of a name that has none.
static const byte *numbered(qstr q, size_t *length) {
    static char shown[SHOWN][8];
    static unsigned next;
    char *end = shown[next++ % SHOWN] + sizeof(shown[0]) - 1, *text = end; // behind it there is always a zero
    do {
        *--text = '0' + q % 10;
    } while ((q /= 10) != 0);
    *--text = '#';
    *length = end - text;
    return (byte *)text;
}

const byte *qstr_data(qstr q, size_t *length) {
    if (q < MP_QSTRnumber_of) {
        if (q < STRINGS_FIRST || q >= STRINGS_END) {
            return numbered(q, length);
        }
        size_t low = 0, high = sizeof(table) / sizeof(*table) - 1;
        while (high - low > 1) {
            size_t middle = (low + high) / 2;
            if (table[middle].first <= q) {
                low = middle;
            } else {
                high = middle;
            }
        }
        const texts_t *entry = &table[low];
        *length = entry->length;
        return (byte *)texts + entry->place + (q - entry->first) * (entry->length + 1);
    }
    const qstr_pool_t *pool = MP_STATE_VM(last_pool);
    while (q < pool->total_prev_len) {
        pool = pool->prev;
    }
    q -= pool->total_prev_len;
    *length = pool->lengths[q];
    return (byte *)pool->qstrs[q];
}

size_t qstr_len(qstr q) {
    size_t length;
    qstr_data(q, &length);
    return length;
}

const char *qstr_str(qstr q) {
    size_t length;
    return (const char *)qstr_data(q, &length);
}

mp_uint_t qstr_hash(qstr q) {
    if (q < STRINGS_FIRST || (q >= STRINGS_END && q < MP_QSTRnumber_of)) {
        return q;
    }
    size_t length;
    const byte *data = qstr_data(q, &length);
    return qstr_compute_hash(data, length);
}

qstr qstr_find_strn(const char *text, size_t length) {
    if (length == 0) {
        return MP_QSTR_;
    }
    for (const qstr_pool_t *pool = MP_STATE_VM(last_pool); pool != NULL; pool = pool->prev) {
        for (size_t at = 0; at < pool->len; at++) {
            if (pool->lengths[at] == length && memcmp(pool->qstrs[at], text, length) == 0) {
                return pool->total_prev_len + at;
            }
        }
    }
    for (size_t order = 0; order < 2 && length < sizeof(entries[0]); ++order) {
        size_t at = entries[order][length];
        if (at == 0) {
            continue;
        }
        const texts_t *entry = &table[at - 1];
        size_t low = entry->first, high = entry[1].first;
        while (low < high) {
            size_t middle = (low + high) / 2;
            const char *other = texts + entry->place + (middle - entry->first) * (length + 1);
            int difference = (byte)*other - (byte)*text;
            if (difference == 0) {
                difference = memcmp(other, text, length);
            }
            if (difference == 0) {
                return middle;
            }
            if (difference < 0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
    }
    return MP_QSTRnull;
}

qstr qstr_from_str(const char *text) {
    return qstr_from_strn(text, strlen(text));
}

qstr qstr_from_strn(const char *text, size_t length) {
    qstr q = qstr_find_strn(text, length);
    if (q != MP_QSTRnull) {
        return q;
    }
    if (length >= 1 << (8 * MICROPY_QSTR_BYTES_IN_LEN)) {
        mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT("name too long"));
    }
    char *copy = m_new(char, length + 1);
    memcpy(copy, text, length);
    copy[length] = 0;
    qstr_pool_t *pool = MP_STATE_VM(last_pool);
    if (pool == NULL || pool->len == POOL_STRINGS) {
        qstr_pool_t *new = m_malloc(sizeof(qstr_pool_t) + POOL_STRINGS * (sizeof(const char *) + sizeof(qstr_len_t)));
        new->prev = pool;
        new->total_prev_len = pool != NULL ? pool->total_prev_len + POOL_STRINGS : MP_QSTRnumber_of;
        new->len = 0;
        new->lengths = (qstr_len_t *)(new->qstrs + POOL_STRINGS);
        MP_STATE_VM(last_pool) = pool = new;
    }
    pool->lengths[pool->len] = length;
    pool->qstrs[pool->len] = copy;
    return pool->total_prev_len + pool->len++;
}
