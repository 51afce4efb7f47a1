// Importing, in the place of MicroPython's py/builtinimport.c and py/frozenmod.c: there are frozen modules and those of C,
// and nothing else. Each frozen module's path is a string of the program. MicroPython looks for files in several places and under several names, and makes a string of each name that it
// comes by; with hundreds of imports that was half of what the program's modules take to begin.

#include <string.h>

#include "py/builtin.h"
#include "py/emitglue.h"
#include "py/objmodule.h"
#include "py/objstr.h"
#include "py/runtime.h"

#define SLOTS (512) // a power of two, more than twice the modules of the largest program
#define MOST_PATH (96)

extern const mp_frozen_module_t mp_frozen_modules[]; // the last one has no path
extern const uint8_t mp_frozen_sizes[]; // how many names each has

// Where a module is found by the hash of its path, without ".py" or "/__init__.py".
static struct {
    uint8_t length; // of its path; 0: nothing is here
    uint8_t number;
    bool is_package;
} slots[SLOTS];

static const char *path_of(size_t number) {
    return qstr_str(mp_frozen_modules[number].constants.source_file);
}

static unsigned slot_of(const char *path, size_t length) {
    unsigned hash = length;
    for (size_t i = 0; i < length; i++) {
        hash = hash * 33 + (byte)path[i];
    }
    hash = (hash ^ hash >> 9) % SLOTS;
    while (slots[hash].length && (slots[hash].length != length || memcmp(path_of(slots[hash].number), path, length))) {
        hash = (hash + 1) % SLOTS;
    }
    return hash;
}

static void find_all(void) {
    static const char package[] = "/__init__";
    for (size_t number = 0; mp_frozen_modules[number].constants.source_file != MP_QSTRnull; number++) {
        const char *path = path_of(number);
        size_t whole = strlen(path), length = whole - strlen(".py");
        bool is_package = length > strlen(package) && !memcmp(path + length - strlen(package), package, strlen(package));
        length -= is_package ? strlen(package) : 0;
        unsigned slot = slot_of(path, length);
        slots[slot].length = length;
        slots[slot].number = number;
        slots[slot].is_package = is_package;
    }
}

typedef struct {
    nlr_jump_callback_node_t callback;
    mp_obj_t key;
} unfinished_t;

// A module that raised is not there: the next import tries again.
static void forget(void *unfinished) {
    mp_map_lookup(&MP_STATE_VM(mp_loaded_modules_dict).map, ((unfinished_t *)unfinished)->key, MP_MAP_LOOKUP_REMOVE_IF_FOUND);
}

static void run(mp_module_context_t *context, const mp_frozen_module_t *frozen) {
    nlr_jump_callback_node_globals_locals_t before = {.globals = mp_globals_get(), .locals = mp_locals_get()};
    mp_globals_set(context->module.globals);
    mp_locals_set(context->module.globals);
    nlr_push_jump_callback(&before.callback, mp_globals_locals_set_from_nlr_jump_callback);
    context->constants = frozen->constants;
    mp_call_function_0(mp_make_function_from_proto_fun(frozen->proto_fun, context, NULL));
    nlr_pop_jump_callback(true);
}

// Return the frozen module of a path, which is that of its name with '/' for '.'; NULL if there is none.
static mp_obj_t import_frozen(char *path, size_t length) {
    unsigned slot = slot_of(path, length);
    if (!slots[slot].length) {
        return MP_OBJ_NULL;
    }
    // Modules are known by their numbers, which need no string.
    mp_obj_t key = MP_OBJ_NEW_SMALL_INT(slots[slot].number);
    mp_map_t *loaded = &MP_STATE_VM(mp_loaded_modules_dict).map;
    mp_map_elem_t *known = mp_map_lookup(loaded, key, MP_MAP_LOOKUP);
    if (known) {
        return known->value;
    }
    size_t start = length;
    while (start && path[start - 1] != '/') {
        start--;
    }
    mp_obj_t outer = start ? import_frozen(path, start - 1) : MP_OBJ_NULL;
    known = outer != MP_OBJ_NULL ? mp_map_lookup(loaded, key, MP_MAP_LOOKUP) : NULL;
    if (known) {
        return known->value; // the package imported it itself
    }
    char name[MOST_PATH];
    for (size_t i = 0; i < length; i++) {
        name[i] = path[i] == '/' ? '.' : path[i];
    }
    mp_module_context_t *context = m_new_obj(mp_module_context_t);
    context->module.base.type = &mp_type_module;
    // At its full size at once, with some room so that what is not there is soon seen: growing costs more than the rest.
    size_t size = mp_frozen_sizes[slots[slot].number];
    context->module.globals = MP_OBJ_TO_PTR(mp_obj_new_dict(size + size / 4 + 1));
    mp_obj_t module = MP_OBJ_FROM_PTR(context), globals = MP_OBJ_FROM_PTR(context->module.globals);
    mp_obj_dict_store(globals, MP_OBJ_NEW_QSTR(MP_QSTR___name__),
        mp_obj_new_str_copy(&mp_type_str, (const byte *)name, length));
    if (slots[slot].is_package) {
        mp_obj_dict_store(globals, MP_OBJ_NEW_QSTR(MP_QSTR___path__), mp_const_true); // `from . import module` asks for it
    }
    mp_map_lookup(loaded, key, MP_MAP_LOOKUP_ADD_IF_NOT_FOUND)->value = module; // before it runs: modules import in circles
    unfinished_t unfinished = {.key = key};
    nlr_push_jump_callback(&unfinished.callback, forget);
    run(context, &mp_frozen_modules[slots[slot].number]);
    if (outer != MP_OBJ_NULL) {
        mp_store_attr(outer, qstr_from_strn(path + start, length - start), module);
    }
    nlr_pop_jump_callback(false);
    return module;
}

// The arguments are those of Python's __import__: name, globals, locals, is anything taken from the module, how many
// packages up. Of a name with dots the last module is returned if anything is taken from it, else the first.
mp_obj_t lean_import(size_t count, const mp_obj_t *arguments) {
    static bool is_ready;
    if (!is_ready) {
        find_all();
        is_ready = true;
    }
    char path[MOST_PATH];
    size_t length = 0, size;
    const char *name = mp_obj_str_get_data(arguments[0], &size);
    mp_int_t up = count > 4 ? MP_OBJ_SMALL_INT_VALUE(arguments[4]) : 0;
    if (up) {
        mp_map_t *globals = &mp_globals_get()->map;
        const char *here = mp_obj_str_get_data(
            mp_map_lookup(globals, MP_OBJ_NEW_QSTR(MP_QSTR___name__), MP_MAP_LOOKUP)->value, &length);
        memcpy(path, here, length); // it is one that was copied from such a path
        up -= mp_map_lookup(globals, MP_OBJ_NEW_QSTR(MP_QSTR___path__), MP_MAP_LOOKUP) != NULL;
        while (up && length) {
            up -= path[--length] == '.';
        }
        if (size) {
            path[length++] = '.';
        }
    }
    mp_obj_t module = MP_OBJ_NULL;
    if (length + size < MOST_PATH) {
        memcpy(path + length, name, size);
        length += size;
        for (size_t i = 0; i < length; i++) {
            path[i] = path[i] == '.' ? '/' : path[i];
        }
        module = import_frozen(path, length);
    }
    if (module == MP_OBJ_NULL) {
        qstr whole = mp_obj_str_get_qstr(arguments[0]);
        module = mp_module_get_builtin(whole, false);
        if (module == MP_OBJ_NULL) {
            module = mp_module_get_builtin(whole, true);
        }
        if (module == MP_OBJ_NULL) {
            mp_raise_msg_varg(&mp_type_ImportError, MP_ERROR_TEXT("no module named '%q'"), whole);
        }
    } else if (count < 4 || arguments[3] == mp_const_none) {
        char *dot = memchr(path, '/', length);
        if (dot) {
            module = import_frozen(path, dot - path);
        }
    }
    return module;
}

MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(mp_builtin___import___obj, 1, 5, lean_import);
