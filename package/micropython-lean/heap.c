// The heap and its collector, in the place of MicroPython's py/gc.c: the same interface and the same tables (two bits for
// each block, one more for a finaliser), but read 16 blocks at a time, and the search for free blocks begins where the
// last one for as many ended. There a request took half of its time.

#include <stdint.h>
#include <string.h>

#include "py/gc.h"
#include "py/runtime.h"

#define BLOCK MICROPY_BYTES_PER_GC_BLOCK
#define PER_WORD (16) // blocks that a word of the table tells of
// A block is free (0), the head of an object (1), in its tail (2) or the head of one that is in use (3, while collecting).
#define HEAD (1)
#define TAIL (2)
#define MARK (3)
#define HEADS (0x55555555u) // a word of nothing else
#define TAILS (0xaaaaaaaau)
#define SIZES (8) // objects of up to so many blocks have a hint each
#define NONE ((size_t)-1)
#define PENDING (128) // objects, each within the one before, that are looked into at once; deeper ones are found later

typedef mp_state_mem_area_t area_t;

// In front of the table of an area: there is no free row of n blocks that begins before the word hint[n - 1]. The last
// one is for all larger objects: there may be such a row before it, but not behind the last one that was taken. A hint
// for more blocks is never less than one for fewer.
typedef struct {
    uint32_t hint[SIZES + 1];
    uint32_t table[];
} head_t;

static struct {
    void **next, **end;
} pending[PENDING];
static uintptr_t lowest, extent; // all areas are from `lowest` on, in so many bytes

static inline uint32_t *table_of(const area_t *area) {
    return (uint32_t *)area->gc_alloc_table_start;
}

static inline uint32_t *hints_of(const area_t *area) {
    return ((head_t *)(area->gc_alloc_table_start - offsetof(head_t, table)))->hint;
}

static inline size_t words_of(const area_t *area) {
    return area->gc_alloc_table_byte_len / sizeof(uint32_t);
}

// One bit for each block, 32 in a word.
static inline uint32_t *finalisers_of(const area_t *area) {
    return (uint32_t *)area->gc_finaliser_table_start;
}

static inline size_t block_of(const area_t *area, const void *ptr) {
    return ((uintptr_t)ptr - (uintptr_t)area->gc_pool_start) / BLOCK;
}

static inline void *address_of(const area_t *area, size_t block) {
    return area->gc_pool_start + block * BLOCK;
}

static inline unsigned kind_of(const uint32_t *table, size_t block) {
    return table[block / PER_WORD] >> block % PER_WORD * 2 & 3;
}

// The area that an address is in, or NULL.
static inline area_t *area_of(const void *ptr) {
    area_t *area = &MP_STATE_MEM(area);
    while (area != NULL && ((byte *)ptr < area->gc_pool_start || (byte *)ptr >= area->gc_pool_end)) {
        area = area->next;
    }
    return area;
}

// How many blocks the object has whose head this is.
static size_t length_of(const uint32_t *table, size_t block) {
    size_t count = 1;
    for (;;) {
        size_t place = (block + count) % PER_WORD;
        uint32_t others = table[(block + count) / PER_WORD] >> place * 2 ^ TAILS;
        size_t tails = others ? __builtin_ctz(others) / 2 : PER_WORD;
        count += tails;
        if (tails != PER_WORD - place) { // there is a word that is 0 behind the last one
            return count;
        }
    }
}

// Make blocks tails (TAILS) or free (0).
static void fill(uint32_t *table, size_t block, size_t count, uint32_t kind) {
    while (count) {
        size_t place = block % PER_WORD, part = MIN(count, PER_WORD - place);
        uint32_t mask = 0xffffffffu >> (PER_WORD - part) * 2 << place * 2, *word = &table[block / PER_WORD];
        *word = (*word & ~mask) | (mask & kind);
        block += part;
        count -= part;
    }
}

// Free blocks from this one on. Only sizes that the row has room for which they are in now have to look there again.
static void give_back(area_t *area, size_t block, size_t count) {
    uint32_t *table = table_of(area), *hint = hints_of(area);
    fill(table, block, count, 0);
    size_t end = block + count;
    while (block > 0 && end - block <= SIZES && kind_of(table, block - 1) == 0) {
        --block;
    }
    while (end - block <= SIZES && kind_of(table, end) == 0) { // the word behind the last one is 0, too
        ++end;
    }
    for (size_t size = MIN(end - block, SIZES + 1); size-- && hint[size] > block / PER_WORD;) {
        hint[size] = block / PER_WORD;
    }
}

static void set_up(area_t *area, void *start, void *end) {
    uintptr_t first = ((uintptr_t)start + 3) & ~(uintptr_t)3, last = (uintptr_t)end & ~(uintptr_t)(BLOCK - 1);
    // a word of the table, half a word of finalisers, and their blocks; a word more of each, and what aligning takes
    size_t words = (last - first - offsetof(head_t, table) - 2 * sizeof(uint32_t))
        / (sizeof(uint32_t) * 3 / 2 + PER_WORD * BLOCK);
    area->next = NULL;
    area->gc_alloc_table_start = (byte *)first + offsetof(head_t, table);
    area->gc_alloc_table_byte_len = words * sizeof(uint32_t);
    area->gc_finaliser_table_start = (byte *)(table_of(area) + words + 1);
    area->gc_pool_start = (byte *)last - words * PER_WORD * BLOCK;
    area->gc_pool_end = (byte *)last;
    area->gc_last_used_block = 0;
    memset((void *)first, 0, (byte *)(finalisers_of(area) + (words + 1) / 2) - (byte *)first);
}

static void note_extent(void) {
    uintptr_t highest = 0;
    lowest = UINTPTR_MAX;
    for (const area_t *area = &MP_STATE_MEM(area); area != NULL; area = area->next) {
        lowest = MIN(lowest, (uintptr_t)area->gc_pool_start);
        highest = MAX(highest, (uintptr_t)area->gc_pool_end);
    }
    extent = highest - lowest;
}

void gc_init(void *start, void *end) {
    set_up(&MP_STATE_MEM(area), start, end);
    note_extent();
    MP_STATE_THREAD(gc_lock_depth) = 0;
    MP_STATE_MEM(gc_auto_collect_enabled) = 1;
    MP_STATE_MEM(gc_alloc_threshold) = (size_t)-1;
    MP_STATE_MEM(gc_alloc_amount) = 0;
}

// Take an area from the kernel that has room for so many bytes: one as large as all others if there is that much.
static __attribute__((noinline)) bool add_area(size_t bytes) {
    size_t all = sizeof(area_t), least = bytes + bytes / 32 + 2048, available = gc_get_max_new_split();
    area_t *last = NULL;
    for (area_t *area = &MP_STATE_MEM(area); area != NULL; area = area->next) {
        all += area->gc_pool_end - (byte *)hints_of(area);
        last = area;
    }
    if (least < bytes || available < least) {
        return false;
    }
    size_t size = MIN(available, MAX(all, least));
    area_t *area = MP_PLAT_ALLOC_HEAP(size);
    if (area == NULL) {
        return false;
    }
    set_up(area, area + 1, (byte *)area + size);
    last->next = area;
    note_extent();
    return true;
}

void gc_lock(void) {
    MP_STATE_THREAD(gc_lock_depth) += 1 << GC_LOCK_DEPTH_SHIFT;
}

void gc_unlock(void) {
    MP_STATE_THREAD(gc_lock_depth) -= 1 << GC_LOCK_DEPTH_SHIFT;
}

bool gc_is_locked(void) {
    return MP_STATE_THREAD(gc_lock_depth) != 0;
}

static void collect_start(void) {
    MP_STATE_THREAD(gc_lock_depth) |= GC_COLLECT_FLAG;
    MP_STATE_MEM(gc_stack_overflow) = 0;
}

void gc_collect_start(void) {
    collect_start();
    MP_STATE_MEM(gc_alloc_amount) = 0;
    // from the first to the last one in there that is a root (py/mpstate.h)
    size_t start = offsetof(mp_state_ctx_t, thread.dict_locals), end = offsetof(mp_state_ctx_t, vm.qstr_last_chunk);
    gc_collect_root((void **)(void *)&mp_state_ctx + start / sizeof(void *), (end - start) / sizeof(void *));
}

// Mark what is in use: every object that one of these words points to, and what these point to.
__attribute__((no_sanitize_address))
void gc_collect_root(void **ptrs, size_t count) {
    const uintptr_t low = lowest, size = extent;
    size_t depth = 0;
    void **end = ptrs + count;
    for (;;) {
        while (ptrs != end) {
            void *ptr = *ptrs++;
            if ((uintptr_t)ptr - low >= size || (uintptr_t)ptr & (BLOCK - 1)) {
                continue;
            }
            area_t *area = area_of(ptr);
            if (area == NULL) { // between two of them
                continue;
            }
            size_t block = block_of(area, ptr);
            uint32_t *word = &table_of(area)[block / PER_WORD], place = block % PER_WORD * 2;
            if ((*word >> place & 3) != HEAD) {
                continue;
            }
            *word |= (uint32_t)MARK << place;
            // Go into it at once: a list of a thousand objects has no thousand of them waiting then.
            if (ptrs != end) {
                if (depth == PENDING) {
                    MP_STATE_MEM(gc_stack_overflow) = 1;
                    continue;
                }
                pending[depth].next = ptrs;
                pending[depth++].end = end;
            }
            ptrs = ptr;
            end = ptrs + length_of(table_of(area), block) * (BLOCK / sizeof(void *));
        }
        if (depth == 0) {
            return;
        }
        ptrs = pending[--depth].next;
        end = pending[depth].end;
    }
}

// Look into every marked object (again) until there was room for all that was found.
static void mark_overflown(void) {
    while (MP_STATE_MEM(gc_stack_overflow)) {
        MP_STATE_MEM(gc_stack_overflow) = 0;
        for (area_t *area = &MP_STATE_MEM(area); area != NULL; area = area->next) {
            const uint32_t *table = table_of(area);
            for (size_t word = 0; word <= area->gc_last_used_block / PER_WORD; ++word) {
                for (uint32_t marks = table[word] & table[word] >> 1 & HEADS; marks; marks &= marks - 1) {
                    size_t block = word * PER_WORD + __builtin_ctz(marks) / 2;
                    gc_collect_root(address_of(area, block), length_of(table, block) * (BLOCK / sizeof(void *)));
                }
            }
        }
    }
}

static void finalise(const area_t *area, size_t block) {
    mp_obj_base_t *object = address_of(area, block);
    mp_obj_t method[2];
    if (object->type != NULL) {
        mp_load_method_maybe(MP_OBJ_FROM_PTR(object), MP_QSTR___del__, method);
        if (method[0] != MP_OBJ_NULL) {
            mp_call_function_1_protected(method[0], method[1]);
        }
    }
}

static void run_finalisers(void) {
    for (const area_t *area = &MP_STATE_MEM(area); area != NULL; area = area->next) {
        for (size_t word = 0; word <= area->gc_last_used_block / 32; ++word) {
            for (uint32_t bits = finalisers_of(area)[word]; bits; bits &= bits - 1) {
                size_t block = word * 32 + __builtin_ctz(bits);
                if (kind_of(table_of(area), block) == HEAD) {
                    finalise(area, block);
                    finalisers_of(area)[word] &= ~(bits & -bits);
                }
            }
        }
    }
}

// Free what has no mark, take the marks away; say if anything is left.
static bool sweep(area_t *area) {
    uint32_t *table = table_of(area), is_freeing = 0;
    size_t used = NONE;
    for (size_t word = 0; word <= area->gc_last_used_block / PER_WORD; ++word) {
        uint32_t now = table[word];
        if (now == 0) {
            is_freeing = 0;
            continue;
        }
        uint32_t heads = now & ~(now >> 1) & HEADS, marks = now & now >> 1 & HEADS, tails = now >> 1 & ~now & HEADS;
        // Adding the head of what is freed to the tail behind it (of ones) makes that 0, and carries on from there.
        uint32_t ones = tails * 3, sum = ones + (heads << 2 | is_freeing);
        is_freeing = sum < ones || heads >> 30;
        now &= ~(heads | (tails & ~sum) << 1 | marks << 1);
        table[word] = now;
        if (now) {
            used = word;
        }
    }
    area->gc_last_used_block = used == NONE ? 0 : used * PER_WORD + PER_WORD - 1;
    memset(hints_of(area), 0, (SIZES + 1) * sizeof(uint32_t));
    return used != NONE;
}

void gc_sweep_all(void) {
    collect_start();
    gc_collect_end();
}

void gc_collect_end(void) {
    mark_overflown();
    run_finalisers();
    area_t *before = &MP_STATE_MEM(area), *area;
    sweep(before);
    while ((area = before->next) != NULL) {
        if (sweep(area)) {
            before = area;
        } else {
            before->next = area->next;
            MP_PLAT_FREE_HEAP(area);
        }
    }
    note_extent();
    MP_STATE_THREAD(gc_lock_depth) &= ~GC_COLLECT_FLAG;
}

void gc_info(gc_info_t *info) {
    memset(info, 0, sizeof(*info));
    for (const area_t *area = &MP_STATE_MEM(area); area != NULL; area = area->next) {
        info->total += area->gc_pool_end - area->gc_pool_start;
        for (size_t word = 0; word < words_of(area); ++word) {
            uint32_t now = table_of(area)[word];
            for (uint32_t used = (now | now >> 1) & HEADS; used; used &= used - 1) {
                info->used += BLOCK;
            }
        }
    }
    info->free = info->total - info->used;
    info->max_new_split = gc_get_max_new_split();
}

// The first of so many free blocks in a row from this word on, or NONE.
static size_t find_from(const uint32_t *table, size_t word, size_t words, size_t count) {
    for (size_t row = 0; word < words; ++word) {
        uint32_t used = (table[word] | table[word] >> 1) & HEADS;
        if (used == HEADS) {
            row = 0;
            continue;
        }
        size_t before = used ? __builtin_ctz(used) / 2 : PER_WORD;
        if (row + before >= count) {
            return word * PER_WORD - row;
        }
        if (used == 0) {
            row += PER_WORD;
            continue;
        }
        uint32_t rows = ~used & HEADS; // where rows as long begin
        for (size_t more = count - 1; rows && more; --more) {
            rows &= rows >> 2;
        }
        if (rows) {
            return word * PER_WORD + __builtin_ctz(rows) / 2;
        }
        row = __builtin_clz(used) / 2;
    }
    return NONE;
}

// The same from the hint on.
static size_t find(area_t *area, size_t count) {
    size_t size = MIN(count, SIZES + 1), words = words_of(area);
    uint32_t *hint = &hints_of(area)[size - 1];
    size_t found = find_from(table_of(area), *hint, words, count);
    if (found == NONE && size > SIZES) {
        *hint = hint[-1];
        found = find_from(table_of(area), *hint, words, count);
    }
    for (size_t word = found == NONE ? words : found / PER_WORD; size <= SIZES + 1 && *hint < word; ++size) {
        *hint++ = word;
    }
    return found;
}

void *gc_alloc(size_t bytes, unsigned int flags) {
    size_t count = (bytes + BLOCK - 1) / BLOCK;
    if (count == 0 || MP_STATE_THREAD(gc_lock_depth) > 0) {
        return NULL;
    }
    bool is_collected = !MP_STATE_MEM(gc_auto_collect_enabled), is_added = false;
    if (!is_collected && MP_STATE_MEM(gc_alloc_amount) >= MP_STATE_MEM(gc_alloc_threshold)) {
        gc_collect();
        is_collected = true;
    }
    area_t *area;
    size_t block;
    for (;;) {
        for (area = &MP_STATE_MEM(area); area != NULL; area = area->next) {
            block = find(area, count);
            if (block != NONE) {
                goto found;
            }
        }
        if (!is_collected) {
            gc_collect();
            is_collected = true;
        } else if (!is_added && add_area(bytes)) {
            is_added = true;
        } else {
            return NULL;
        }
    }
found:
    area->gc_last_used_block = MAX(area->gc_last_used_block, block + count - 1);
    table_of(area)[block / PER_WORD] |= (uint32_t)HEAD << block % PER_WORD * 2;
    if (count > 1) {
        fill(table_of(area), block + 1, count - 1, TAILS);
    }
    MP_STATE_MEM(gc_alloc_amount) += count;
    // What its owner never writes must not look like pointers to something; and MicroPython counts on zeros.
    byte *object = address_of(area, block);
    for (byte *part = object, *end = object + count * BLOCK; part < end; part += BLOCK) {
        memset(__builtin_assume_aligned(part, BLOCK), 0, BLOCK); // a few instructions, and no call
    }
    if (flags & GC_ALLOC_FLAG_HAS_FINALISER) {
        finalisers_of(area)[block / 32] |= 1u << block % 32;
    }
    return object;
}

// Finalisers, which run while collecting, may free memory, too.
void gc_free(void *ptr) {
    if (ptr == NULL || MP_STATE_THREAD(gc_lock_depth) & ~GC_COLLECT_FLAG) {
        return;
    }
    area_t *area = area_of(ptr);
    size_t block = block_of(area, ptr);
    finalisers_of(area)[block / 32] &= ~(1u << block % 32);
    give_back(area, block, length_of(table_of(area), block));
}

size_t gc_nbytes(const void *ptr) {
    area_t *area = area_of(ptr);
    if (area == NULL || (uintptr_t)ptr & (BLOCK - 1) || kind_of(table_of(area), block_of(area, ptr)) != HEAD) {
        return 0;
    }
    return length_of(table_of(area), block_of(area, ptr)) * BLOCK;
}

void *gc_realloc(void *ptr, size_t bytes, bool may_move) {
    if (ptr == NULL) {
        return gc_alloc(bytes, 0);
    }
    if (bytes == 0) {
        gc_free(ptr);
        return NULL;
    }
    if (MP_STATE_THREAD(gc_lock_depth) > 0) {
        return NULL;
    }
    area_t *area = area_of(ptr);
    uint32_t *table = table_of(area);
    size_t block = block_of(area, ptr), old = length_of(table, block), count = (bytes + BLOCK - 1) / BLOCK;
    if (count == 0) {
        return NULL; // no memory is as large
    }
    if (count <= old) {
        if (count < old) {
            give_back(area, block + count, old - count);
        }
        return ptr;
    }
    size_t end = block + old;
    while (end < block + count && end < words_of(area) * PER_WORD && kind_of(table, end) == 0) {
        ++end;
    }
    if (end == block + count) {
        fill(table, block + old, count - old, TAILS);
        area->gc_last_used_block = MAX(area->gc_last_used_block, end - 1);
        memset((byte *)ptr + old * BLOCK, 0, (count - old) * BLOCK);
        return ptr;
    }
    if (!may_move) {
        return NULL;
    }
    bool has_finaliser = finalisers_of(area)[block / 32] >> block % 32 & 1;
    void *moved = gc_alloc(bytes, has_finaliser ? GC_ALLOC_FLAG_HAS_FINALISER : 0);
    if (moved != NULL) {
        memcpy(moved, ptr, old * BLOCK);
        gc_free(ptr);
    }
    return moved;
}
