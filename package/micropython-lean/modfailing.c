// For the tests alone: lets an allocation fail as if the heap were full. Linked with --wrap=gc_alloc,gc_realloc.
//
//     failing.arm(n)       the n-th allocation from now fails; 0: none
//     failing.disarm()     returns how many were left, 0 when it has failed

#include "py/gc.h"
#include "py/obj.h"
#include "py/runtime.h"

static size_t left;

void *__real_gc_alloc(size_t size, unsigned int flags);
void *__real_gc_realloc(void *area, size_t size, bool may_move);

void *__wrap_gc_alloc(size_t size, unsigned int flags) {
    return left && --left == 0 ? NULL : __real_gc_alloc(size, flags);
}

void *__wrap_gc_realloc(void *area, size_t size, bool may_move) {
    bool is_growing = size > (area ? gc_nbytes(area) : 0);
    return is_growing && left && --left == 0 ? NULL : __real_gc_realloc(area, size, may_move);
}

static mp_obj_t failing_arm(mp_obj_t count) {
    left = mp_obj_get_int(count);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(failing_arm_obj, failing_arm);

static mp_obj_t failing_disarm(void) {
    size_t before = left;
    left = 0;
    return MP_OBJ_NEW_SMALL_INT(before);
}
static MP_DEFINE_CONST_FUN_OBJ_0(failing_disarm_obj, failing_disarm);

static const mp_rom_map_elem_t failing_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_failing) },
    { MP_ROM_QSTR(MP_QSTR_arm), MP_ROM_PTR(&failing_arm_obj) },
    { MP_ROM_QSTR(MP_QSTR_disarm), MP_ROM_PTR(&failing_disarm_obj) },
};
static MP_DEFINE_CONST_DICT(failing_globals, failing_globals_table);

const mp_obj_module_t failing_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&failing_globals,
};
MP_REGISTER_MODULE(MP_QSTR_failing, failing_module);
