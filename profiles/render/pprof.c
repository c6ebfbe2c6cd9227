/* SPDX-License-Identifier: MIT */
/* pprof.c - see pprof.h. Owns the profiles that are being written; each belongs to one task or
 * thread.
 *
 * A protobuf message may be cut into pieces: the encodings of messages, one after another, are the
 * encoding of their merger. So each sample, string, function and location is encoded as a Profile
 * with nothing else in it, and deflated at once. Only the tables stay that say what has an id
 * already.
 * Always:
 *   the id of a string is its position in the string table; all other ids count from 1
 *   a string, function or location is written when it gets its id
 *   mappings come last, because their flags depend on the locations that were found in them
 * The id of a mapping is its position in weft__maps_read + 1. Mappings without locations are not
 * written, except that of the main binary, which is the first. */
#include "profiles/render/pprof.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "profile.pb-c.h"
#include "profiles/render/calltree.h"
#include "profiles/render/output.h"
#include "profiles/table/idmap.h"
#include "profiles/walk/symbolize.h"

#include "runtime/base/utf8.h"

typedef Weft__Pprof__Profile message;

enum { PIECE = 16 * 1024 };

struct function {
    int64_t name, system_name, file, line;
};

/* Flags of a mapping: a location in it was written; one with a function; with a file; and so on. */
enum { USED = 1, FUNCTIONS = 2, FILES = 4, LINES = 8, INLINES = 16 };

/* An array that grows, with a map that finds the index of an item. */
struct table {
    struct weft__idmap ids; /* finds index + 1 */
    void *items;
    uint32_t n, room;
};

struct weft__pprof {
    ProtobufCBuffer buffer; /* the first member, since append gets the profile by its address */
    struct weft__calltree *tree; /* not NULL: it has the samples, and all else is unused */
    struct weft__out *out;       /* out->rc is the profile's rc */
    z_stream z;
    size_t n_types;
    struct table strings;   /* char * */
    struct table functions; /* struct function */
    struct table locations; /* uintptr_t */
    struct weft__mapping *maps;
    size_t n_maps;
    uint8_t *map_flags;
    uint64_t *ids; /* the location ids of the sample that is being written */
    size_t ids_room;
    size_t n_raw;
    uint8_t raw[PIECE]; /* encoded, not yet deflated */
};

static void fail(weft__pprof *p, int rc)
{
    if (p->out->rc == 0)
        p->out->rc = rc;
}

/* Deflates the encoded bytes into p->out. */
static void deflate_raw(weft__pprof *p, int flush)
{
    uint8_t piece[1024];
    int zrc;

    p->z.next_in = p->raw;
    p->z.avail_in = (uInt)p->n_raw;
    do {
        p->z.next_out = piece;
        p->z.avail_out = sizeof piece;
        zrc = deflate(&p->z, flush);
        weft__out_put(p->out, piece, sizeof piece - p->z.avail_out);
    } while (zrc == Z_OK && p->z.avail_out == 0);
    p->n_raw = 0;
}

/* protobuf-c's callback: collects encoded bytes. */
static void append(ProtobufCBuffer *buffer, size_t n, const uint8_t *data)
{
    weft__pprof *p = (weft__pprof *)(void *)buffer;

    while (n) {
        size_t part = n < PIECE - p->n_raw ? n : PIECE - p->n_raw;

        memcpy(p->raw + p->n_raw, data, part);
        p->n_raw += part;
        data += part;
        n -= part;
        if (p->n_raw == PIECE)
            deflate_raw(p, Z_NO_FLUSH);
    }
}

static void emit(weft__pprof *p, const message *m)
{
    protobuf_c_message_pack_to_buffer(&m->base, &p->buffer);
}

/* Adds an item of size bytes. Returns its index + 1; 0 if memory ran out. */
static uint32_t table_add(weft__pprof *p, struct table *t, uint64_t hash, const void *item,
                          size_t size)
{
    if (t->n == t->room) {
        uint32_t room = t->room ? t->room * 2 : 64;
        void *bigger = realloc(t->items, room * size);

        if (!bigger)
            goto fail;
        t->items = bigger;
        t->room = room;
    }
    if (!weft__idmap_add(&t->ids, hash, t->n + 1))
        goto fail;
    memcpy((char *)t->items + t->n * size, item, size);
    return ++t->n;
fail:
    fail(p, -ENOMEM);
    return 0;
}

static uint64_t hash_string(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return weft__idmap_mix(h);
}

/* Returns the id of a string that is UTF-8, and writes the string if it is new. */
static int64_t clean_string_id(weft__pprof *p, const char *s)
{
    uint64_t hash = hash_string(s);
    uint32_t id, at = weft__idmap_first(&p->strings.ids, hash);
    message m = WEFT__PPROF__PROFILE__INIT;
    char **strings = p->strings.items;
    char *copy;

    while ((id = weft__idmap_next(&p->strings.ids, hash, &at)))
        if (strcmp(strings[id - 1], s) == 0)
            return id - 1;
    copy = strdup(s);
    if (!copy) {
        fail(p, -ENOMEM);
        return 0;
    }
    id = table_add(p, &p->strings, hash, &copy, sizeof copy);
    if (!id) {
        free(copy);
        return 0;
    }
    m.n_string_table = 1;
    m.string_table = &copy;
    emit(p, &m);
    return id - 1;
}

/* Returns the id of a string, made UTF-8: many readers refuse a whole profile for one string that
 * is not. */
static int64_t string_id(weft__pprof *p, const char *s)
{
    char *clean;
    int64_t id;

    if (weft__utf8_is(s))
        return clean_string_id(p, s);
    clean = malloc(WEFT__UTF8_CLEAN_SIZE(strlen(s)));
    if (!clean) {
        fail(p, -ENOMEM);
        return 0;
    }
    weft__utf8_clean(clean, s);
    id = clean_string_id(p, clean);
    free(clean);
    return id;
}

/* Returns the id of a frame's function, and writes the function if it is new. */
static uint64_t function_id(weft__pprof *p, const struct weft__frame *frame)
{
    const struct function f = {
        .name = string_id(p, frame->function),
        .system_name = string_id(p, frame->linkage ? frame->linkage : frame->function),
        .file = string_id(p, frame->file ? frame->file : ""),
        .line = frame->start_line,
    };
    uint64_t hash = weft__idmap_mix((uint64_t)f.name << 32 ^ (uint64_t)f.file);
    Weft__Pprof__Function wire = WEFT__PPROF__FUNCTION__INIT;
    message m = WEFT__PPROF__PROFILE__INIT;
    uint32_t id, at;

    hash = weft__idmap_mix(hash ^ (uint64_t)f.system_name << 32 ^ (uint64_t)f.line);
    at = weft__idmap_first(&p->functions.ids, hash);
    while ((id = weft__idmap_next(&p->functions.ids, hash, &at))) {
        const struct function *have = (struct function *)p->functions.items + id - 1;
        if (memcmp(have, &f, sizeof f) == 0)
            return id;
    }
    id = table_add(p, &p->functions, hash, &f, sizeof f);
    if (!id)
        return 0;
    wire.id = id;
    wire.name = f.name;
    wire.system_name = f.system_name;
    wire.filename = f.file;
    wire.start_line = f.line;
    m.n_function = 1;
    m.function = &(Weft__Pprof__Function *){&wire};
    emit(p, &m);
    return id;
}

/* Returns the id of the mapping that holds addr, and adds flags to it. Returns 0 if none holds it.
 */
static uint64_t mapping_id(weft__pprof *p, uintptr_t addr, uint8_t flags)
{
    for (size_t i = 0; i < p->n_maps; i++) {
        if (addr < p->maps[i].start || addr >= p->maps[i].limit)
            continue;
        p->map_flags[i] |= flags;
        return i + 1;
    }
    return 0;
}

/* The frames and flags that an address is shown with. */
struct shown {
    const struct weft__frame *frames;
    uint32_t n;    /* 0: it has no name */
    uint8_t flags; /* of its mapping */
    struct weft__frame mark;
};

/* Finds the frames of an address, or of a mark. */
static void look_up(struct shown *to, uintptr_t addr)
{
    const struct weft__symbol *s;
    const char *name = weft__mark_name(addr + 1);

    if (name) {
        *to = (struct shown){.frames = &to->mark, .n = 1, .mark = {.function = name}};
        return;
    }
    s = weft__symbolize(addr);
    *to = (struct shown){.frames = s->frames, .n = s->found ? s->n : 0, .flags = USED};
    for (uint32_t i = 0; i < to->n; i++) {
        to->flags |= FUNCTIONS;
        to->flags |= s->frames[i].file ? FILES : 0;
        to->flags |= s->frames[i].line ? LINES : 0;
    }
    to->flags |= s->has_inlines ? INLINES : 0;
}

/* Writes a location. Writes no lines for an address without a name: then readers show the name of
 * its mapping. */
static void emit_location(weft__pprof *p, uint64_t id, uintptr_t addr)
{
    Weft__Pprof__Location wire = WEFT__PPROF__LOCATION__INIT;
    message m = WEFT__PPROF__PROFILE__INIT;
    Weft__Pprof__Line *lines, **refs;
    struct shown shown;

    look_up(&shown, addr);
    lines = calloc(shown.n + 1u, sizeof *lines);
    refs = calloc(shown.n + 1u, sizeof(Weft__Pprof__Line *));
    if (!lines || !refs) {
        fail(p, -ENOMEM);
        goto done;
    }
    for (uint32_t i = 0; i < shown.n; i++) {
        lines[i] = (Weft__Pprof__Line)WEFT__PPROF__LINE__INIT;
        lines[i].function_id = function_id(p, &shown.frames[i]);
        lines[i].line = shown.frames[i].line;
        refs[i] = &lines[i];
    }
    wire.id = id;
    wire.address = addr;
    wire.mapping_id = mapping_id(p, addr, shown.flags);
    wire.n_line = shown.n;
    wire.line = refs;
    m.n_location = 1;
    m.location = &(Weft__Pprof__Location *){&wire};
    emit(p, &m);
done:
    free(refs);
    free(lines);
}

/* Returns the id of an address's location, and writes the location if it is new. */
static uint64_t location_id(weft__pprof *p, uintptr_t addr)
{
    uint64_t hash = weft__idmap_mix(addr);
    uint32_t id, at = weft__idmap_first(&p->locations.ids, hash);
    const uintptr_t *addrs = p->locations.items;

    while ((id = weft__idmap_next(&p->locations.ids, hash, &at)))
        if (addrs[id - 1] == addr)
            return id;
    id = table_add(p, &p->locations, hash, &addr, sizeof addr);
    if (id)
        emit_location(p, id, addr);
    return id;
}

static Weft__Pprof__ValueType value_type(weft__pprof *p, const struct weft__pprof_type *t)
{
    Weft__Pprof__ValueType wire = WEFT__PPROF__VALUE_TYPE__INIT;

    wire.type = string_id(p, t->type);
    wire.unit = string_id(p, t->unit);
    return wire;
}

static void emit_head(weft__pprof *p, const struct weft__pprof_head *head)
{
    Weft__Pprof__ValueType type;
    message m = WEFT__PPROF__PROFILE__INIT;

    string_id(p, "");
    for (size_t i = 0; i < head->n_types; i++) {
        message one = WEFT__PPROF__PROFILE__INIT;

        type = value_type(p, &head->types[i]);
        one.n_sample_type = 1;
        one.sample_type = &(Weft__Pprof__ValueType *){&type};
        emit(p, &one);
    }
    for (size_t i = 0; i < head->n_comments; i++) {
        message one = WEFT__PPROF__PROFILE__INIT;

        one.n_comment = 1;
        one.comment = &(int64_t){string_id(p, head->comments[i])};
        emit(p, &one);
    }
    type = value_type(p, &head->period_type);
    m.period_type = &type;
    m.period = head->period;
    m.default_sample_type = string_id(p, head->default_type ? head->default_type : "");
    m.time_nanos = head->time;
    m.duration_nanos = head->duration;
    emit(p, &m);
}

static void dispose(weft__pprof *p)
{
    for (uint32_t i = 0; i < p->strings.n; i++)
        free(((char **)p->strings.items)[i]);
    weft__idmap_free(&p->strings.ids);
    weft__idmap_free(&p->functions.ids);
    weft__idmap_free(&p->locations.ids);
    free(p->strings.items);
    free(p->functions.items);
    free(p->locations.items);
    free(p->maps);
    free(p->map_flags);
    free(p->ids);
    free(p);
}

weft__pprof *weft__pprof_begin(const struct weft__pprof_head *head, const struct weft__sink *to)
{
    enum { GZIP = 16 };
    weft__pprof *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    if (head->form != WEFT_PROFILE_PPROF) {
        p->tree = weft__calltree_begin(head, to);
        if (p->tree)
            return p;
        free(p);
        return NULL;
    }
    p->buffer.append = append;
    p->n_types = head->n_types;
    p->maps = weft__maps_read(&p->n_maps);
    if (!p->maps)
        p->n_maps = 0; /* a profile without mappings is still of use */
    p->map_flags = calloc(p->n_maps + 1, 1);
    p->out = weft__out_new(to);
    if (!p->map_flags || !p->out)
        goto fail;
    if (deflateInit2(&p->z, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + GZIP, 8, Z_DEFAULT_STRATEGY))
        goto fail;
    emit_head(p, head);
    return p;
fail:
    free(p->out);
    dispose(p);
    return NULL;
}

static void emit_sample(weft__pprof *p, const struct weft__pprof_sample *sample,
                        Weft__Pprof__Label **labels)
{
    Weft__Pprof__Sample wire = WEFT__PPROF__SAMPLE__INIT;
    message m = WEFT__PPROF__PROFILE__INIT;

    wire.n_location_id = sample->n;
    wire.location_id = p->ids;
    wire.n_value = p->n_types;
    wire.value = (int64_t *)(uintptr_t)sample->values; /* the generated field lacks a const */
    wire.n_label = sample->n_labels;
    wire.label = labels;
    m.n_sample = 1;
    m.sample = &(Weft__Pprof__Sample *){&wire};
    emit(p, &m);
}

static void emit_labelled(weft__pprof *p, const struct weft__pprof_sample *sample)
{
    Weft__Pprof__Label *labels = calloc(sample->n_labels, sizeof *labels);
    Weft__Pprof__Label **refs = calloc(sample->n_labels, sizeof(Weft__Pprof__Label *));

    if (!labels || !refs) {
        fail(p, -ENOMEM);
        goto done;
    }
    for (size_t i = 0; i < sample->n_labels; i++) {
        const struct weft__pprof_label *l = &sample->labels[i];

        labels[i] = (Weft__Pprof__Label)WEFT__PPROF__LABEL__INIT;
        labels[i].key = string_id(p, l->key);
        labels[i].str = l->str ? string_id(p, l->str) : 0;
        labels[i].num = l->str ? 0 : l->num;
        labels[i].num_unit = !l->str && l->unit ? string_id(p, l->unit) : 0;
        refs[i] = &labels[i];
    }
    emit_sample(p, sample, refs);
done:
    free(refs);
    free(labels);
}

int weft__pprof_add(weft__pprof *p, const struct weft__pprof_sample *sample)
{
    if (p->tree)
        return weft__calltree_add(p->tree, sample);
    if (p->out->rc < 0)
        return p->out->rc;
    if (sample->n > p->ids_room) {
        uint64_t *bigger = realloc(p->ids, sample->n * sizeof *bigger);

        if (!bigger)
            return p->out->rc = -ENOMEM;
        p->ids = bigger;
        p->ids_room = sample->n;
    }
    for (size_t i = 0; i < sample->n; i++)
        p->ids[i] = location_id(p, sample->pcs[i] - !(i == 0 && sample->leaf_exact));
    if (sample->n_labels)
        emit_labelled(p, sample);
    else
        emit_sample(p, sample, NULL);
    return p->out->rc;
}

/* Writes a mapping. Readers try to find names by themselves in a mapping that lacks these flags. A
 * mapping without locations has them all, since there is nothing to find. */
static void emit_mapping(weft__pprof *p, size_t i)
{
    const struct weft__mapping *map = &p->maps[i];
    Weft__Pprof__Mapping wire = WEFT__PPROF__MAPPING__INIT;
    message m = WEFT__PPROF__PROFILE__INIT;
    uint8_t has = p->map_flags[i] ? p->map_flags[i] : UINT8_MAX;

    wire.id = i + 1;
    wire.memory_start = map->start;
    wire.memory_limit = map->limit;
    wire.file_offset = map->offset;
    wire.filename = string_id(p, map->file);
    wire.build_id = string_id(p, map->build_id);
    wire.has_functions = (has & FUNCTIONS) != 0;
    wire.has_filenames = (has & FILES) != 0;
    wire.has_line_numbers = (has & LINES) != 0;
    wire.has_inline_frames = (has & INLINES) != 0;
    m.n_mapping = 1;
    m.mapping = &(Weft__Pprof__Mapping *){&wire};
    emit(p, &m);
}

static int end_tree(weft__pprof *p, int rc)
{
    struct weft__calltree *t = p->tree;

    free(p);
    if (rc == 0 && t->out->rc == 0)
        (t->head.form == WEFT_PROFILE_HTML ? weft__flame_write : weft__folded_write)(t);
    return weft__calltree_end(t, rc);
}

int weft__pprof_end(weft__pprof *p, int rc)
{
    if (p->tree)
        return end_tree(p, rc);
    if (rc < 0)
        fail(p, rc);
    for (size_t i = 0; i < p->n_maps && p->out->rc == 0; i++)
        if (i == 0 || p->map_flags[i])
            emit_mapping(p, i);
    if (p->out->rc == 0)
        deflate_raw(p, Z_FINISH);
    deflateEnd(&p->z);
    rc = weft__out_end(p->out);
    dispose(p);
    return rc;
}
