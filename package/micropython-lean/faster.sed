# What is changed of MicroPython's sources because a request takes so many fewer instructions then.

# faster.c has these.
/^const byte \*find_subbytes(/,/^}/d
/^bool mp_obj_str_equal(/,/^}/d

# A hash is made when somebody asks for it; nearly nobody does.
s/^\( *\(o\|str\)->hash = \)qstr_compute_hash(data, \(vstr->\)\?len);/\10;/

# Nearly every function has its variables on the C stack.
s/^#define VM_MAX_STATE_ON_STACK .*/#define VM_MAX_STATE_ON_STACK (sizeof(mp_uint_t) * 64)/

# The variables of a function, of which there are few.
s/^    memset(code_state_state, 0, n_state \* sizeof(\*code_state->state));/\
    for (mp_obj_t *state = code_state_state, *top = state + n_state; state < top; *state++ = MP_OBJ_NULL) {\
    }/

# Where a name was found last: faster.c has looked there. A division takes long.
s/^#define MAP_CACHE_OFFSET(index) .*/#define MAP_CACHE_OFFSET(index) ((uintptr_t)(index) \/ 8 % MICROPY_OPT_MAP_LOOKUP_CACHE_SIZE)/
/^    \/\/ Try the cache for lookup or add-if-not-found\./,/^    #endif/{
    /^    #endif/!d
}
s/^        pos = (pos + 1) % map->alloc;/        pos = pos + 1 < map->alloc ? pos + 1 : 0;/

# An object gets room for as many attributes as the last ones of its class had, at once. The number is in bits of the
# class's flags that are not used.
s/^    mp_map_init(&o->members, 0);/    mp_map_init(\&o->members, class->flags >> 11);/
/^static mp_obj_t mp_obj_instance_make_new(/,/^}/{
    s/^    return MP_OBJ_FROM_PTR(o);/\
    if (o->members.used > (size_t)self->flags >> 11) {\
        ((mp_obj_type_t *)self)->flags = (self->flags \& 0x7ff) | MIN(o->members.used, 31) << 11;\
    }\
&/
}
