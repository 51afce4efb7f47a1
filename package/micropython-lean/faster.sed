# What is changed of MicroPython's sources because a request takes so many fewer instructions then.

# faster.c has these.
/^const byte \*find_subbytes(/,/^}/d
/^bool mp_obj_str_equal(/,/^}/d

# A hash is made when somebody asks for it; nearly nobody does.
s/^\( *\(o\|str\)->hash = \)qstr_compute_hash(data, \(vstr->\)\?len);/\10;/

# Nearly every function has its variables on the C stack.
s/^#define VM_MAX_STATE_ON_STACK .*/#define VM_MAX_STATE_ON_STACK (sizeof(mp_uint_t) * 64)/

# An object's attributes, which are few: to look through them all is faster than to make a hash.
/^    \/\/ get hash of index, with fast path/i\
    if (lookup_kind == MP_MAP_LOOKUP \&\& compare_only_ptrs \&\& map->alloc <= 12) {\
        for (mp_map_elem_t *elem = map->table, *top = elem + map->alloc; elem < top; ++elem) {\
            if (elem->key == index) {\
                MAP_CACHE_SET(index, elem - map->table);\
                return elem;\
            }\
        }\
        return NULL;\
    }

# The variables of a function, of which there are few.
s/^    memset(code_state_state, 0, n_state \* sizeof(\*code_state->state));/\
    for (mp_obj_t *state = code_state_state, *top = state + n_state; state < top; *state++ = MP_OBJ_NULL) {\
    }/

# Where a name was found last: a string's object has its number above three bits; and a division takes long.
s/^#define MAP_CACHE_OFFSET(index) .*/#define MAP_CACHE_OFFSET(index) ((uintptr_t)(index) >> 3 \& (MICROPY_OPT_MAP_LOOKUP_CACHE_SIZE - 1))/
s/^#define MAP_CACHE_GET(map, index) .*/#define MAP_CACHE_GET(map, index) (\&(map)->table[MIN(MAP_CACHE_ENTRY(index), (map)->alloc - 1)])/
