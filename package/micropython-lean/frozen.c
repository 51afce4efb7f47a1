// The frozen modules by their paths, in the place of MicroPython's py/frozenmod.c: each path is a string of the program
// already, and a folder with modules in it is a package.

#include <string.h>

#include "py/emitglue.h"
#include "py/frozenmod.h"

extern const mp_frozen_module_t mp_frozen_modules[]; // the last one has no path

static const mp_frozen_module_t *find(const char *path, size_t length) {
    qstr wanted = qstr_find_strn(path, length);
    const mp_frozen_module_t *module = mp_frozen_modules;
    while (module->constants.source_file != wanted && module->constants.source_file != MP_QSTRnull) {
        ++module;
    }
    return wanted != MP_QSTRnull && module->constants.source_file == wanted ? module : NULL;
}

mp_import_stat_t mp_find_frozen_module(const char *path, int *kind, void **data) {
    static const char package[] = "/__init__.py";
    size_t length = strlen(path);
    const mp_frozen_module_t *module = find(path, length);
    if (module != NULL) {
        if (kind != NULL) {
            *kind = MP_FROZEN_MPY;
            *data = (void *)module;
        }
        return MP_IMPORT_STAT_FILE;
    }
    if (kind != NULL) {
        *kind = MP_FROZEN_NONE;
    }
    char inner[MICROPY_ALLOC_PATH_MAX];
    if (length + sizeof(package) > sizeof(inner)) {
        return MP_IMPORT_STAT_NO_EXIST;
    }
    memcpy(inner, path, length);
    memcpy(inner + length, package, sizeof(package));
    return find(inner, length + sizeof(package) - 1) != NULL ? MP_IMPORT_STAT_DIR : MP_IMPORT_STAT_NO_EXIST;
}
