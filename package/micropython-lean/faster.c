// Functions of MicroPython again that take fewer instructions; faster.sed takes its own out.

#include <string.h>

#include "py/objstr.h"
#include "py/runtime.h"

#define FEW (12) // keys that are looked through faster than a hash is made

const byte *find_subbytes(const byte *text, size_t length, const byte *part, size_t part_length, int direction) {
    if (part_length > length) {
        return NULL;
    }
    const byte *first = text, *last = text + (length - part_length);
    if (part_length == 0) {
        return direction > 0 ? first : last;
    }
    const byte start = *part;
    if (direction > 0) {
        for (; first <= last; ++first) {
            if (*first == start && memcmp(first, part, part_length) == 0) {
                return first;
            }
        }
    } else {
        for (; last >= first; --last) {
            if (*last == start && memcmp(last, part, part_length) == 0) {
                return last;
            }
        }
    }
    return NULL;
}

bool mp_obj_str_equal(mp_obj_t one, mp_obj_t other) {
    if (mp_obj_is_qstr(one) && mp_obj_is_qstr(other)) {
        return one == other;
    }
    GET_STR_DATA_LEN(one, data, length);
    GET_STR_DATA_LEN(other, other_data, other_length);
    return length == other_length && memcmp(data, other_data, length) == 0;
}

// MicroPython's mp_map_lookup under another name (mpconfigport.h).
mp_map_elem_t *lean_map_lookup(mp_map_t *map, mp_obj_t key, mp_map_lookup_kind_t kind);

// Most of them end here: what the cache has, and names in maps of few or without a hash.
mp_map_elem_t *mp_map_lookup(mp_map_t *map, mp_obj_t key, mp_map_lookup_kind_t kind) {
    if (kind != MP_MAP_LOOKUP_REMOVE_IF_FOUND && map->alloc) {
        byte *cached = &MP_STATE_VM(map_lookup_cache)[(uintptr_t)key / 8 % MICROPY_OPT_MAP_LOOKUP_CACHE_SIZE];
        mp_map_elem_t *one = map->table + MIN(*cached, map->alloc - 1);
        if (one->key == key) {
            return one;
        }
        if (kind == MP_MAP_LOOKUP && map->all_keys_are_qstrs && (map->is_ordered || map->alloc <= FEW) && mp_obj_is_qstr(key)) {
            one = map->table;
            for (size_t left = map->alloc; left; --left, ++one) {
                if (one->key == key) {
                    *cached = one - map->table;
                    return one;
                }
            }
            return NULL;
        }
    }
    return lean_map_lookup(map, key, kind);
}
