/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/torch_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "base/utf8.h"

/* Values may be shared or contain themselves: an honest walk visits each byte's worth of values a few times.
 */
struct walk {
    struct mr_torch_tree *tree; /* NULL: tensors are errors */
    const char *path;
    struct mr_str name; /* of the present value: keys joined by dots */
    size_t steps, text; /* values and bytes of text that may still come */
    int depth;
    char others[400]; /* names of the objects that nobody looks into */
    int odd_keys;     /* entries that are left out because of their keys */
};

static int visit(struct walk *w, const struct mr_pickled *v, json_t **json);

int mr_torch_tree_entries(struct mr_torch_tree *tree, size_t entries)
{
    if (!(tree->first_of_entry = mr_alloc(entries, sizeof *tree->first_of_entry)))
        return MR_ENOMEM;
    for (size_t i = 0; i < entries; i++)
        tree->first_of_entry[i] = -1;
    return 0;
}

void mr_torch_tree_free(struct mr_torch_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++)
        free(tree->views[i].name);
    free(tree->views);
    free(tree->first_of_entry);
    mr_pickle_free(&tree->pickle);
}

static int spend(struct walk *w, size_t values, size_t text)
{
    if (values > w->steps || text > w->text)
        return mr_fail(MR_EFILE, "%s: its values repeat without end", w->path);
    w->steps -= values;
    w->text -= text;
    return 0;
}

static int add_view(struct walk *w, const struct mr_pickled_tensor *tensor)
{
    struct mr_torch_tree *t = w->tree;
    if (!t)
        return mr_fail(MR_EFILE, "%s holds a tensor where plain data is needed", w->path);
    if (t->count == t->capacity) {
        size_t capacity = t->capacity ? t->capacity * 2 : 64;
        struct mr_torch_view *views = mr_realloc(t->views, capacity, sizeof *views);
        if (!views)
            return MR_ENOMEM;
        t->views = views;
        t->capacity = capacity;
    }
    t->views[t->count] = (struct mr_torch_view){.tensor = tensor, .depth = w->depth, .entry = -1};
    if (!(t->views[t->count].name = mr_strdup(w->name.text ? w->name.text : "")))
        return MR_ENOMEM;
    t->count++;
    return 0;
}

/* Enters the name of an object's class into the list. */
static void note(struct walk *w, const struct mr_pickled_object *object)
{
    char full[256];
    size_t used = strlen(w->others);
    mr_pickle_full_name(object->module, object->name, full);
    if (!strstr(w->others, full) && used + strlen(full) + 3 <= sizeof w->others)
        snprintf(w->others + used, sizeof w->others - used, "%s%s", used ? ", " : "", full);
}

/* What a torch.nn.Module keeps its parts in: their names are not in those of a state dictionary either. */
static bool is_part(const struct mr_pickled *key)
{
    static const char *const parts[] = {"_modules", "_parameters", "_buffers"};
    for (int i = 0; key->kind == MR_PICKLED_TEXT && i < 3; i++)
        if (key->size == strlen(parts[i]) && !memcmp(key->text, parts[i], key->size))
            return true;
    return false;
}

/* A dictionary's key as text: texts, whole numbers, and what Python prints for the other simple ones. */
static int key_text(struct walk *w, const struct mr_pickled *key, struct mr_str *text)
{
    switch (key->kind) {
    case MR_PICKLED_TEXT:
        if (memchr(key->text, 0, key->size))
            break;
        return mr_str_append(text, key->text, key->size);
    case MR_PICKLED_INT:
        return mr_str_printf(text, "%lld", (long long)key->integer);
    case MR_PICKLED_BOOL:
        return mr_str_printf(text, "%s", key->truth ? "True" : "False");
    case MR_PICKLED_REAL:
        return mr_str_printf(text, "%.17g", key->real);
    case MR_PICKLED_NONE:
        return mr_str_printf(text, "None");
    default:
        break;
    }
    return mr_fail(MR_EFILE, "%s: a key below \"%s\" is not a simple one", w->path, w->name.text ? w->name.text : "");
}

/* One item, under the key that was appended to the name from `from` on. */
static int visit_item(struct walk *w, const struct mr_pickled *item, size_t from, json_t *into)
{
    json_t *json = NULL;
    w->depth++;
    int err = visit(w, item, &json);
    w->depth--;
    if (err || !json)
        return err;
    if (json_is_array(into))
        return mr_json_append(into, json);
    if (mr_utf8_valid(w->name.text + from, w->name.size - from) < w->name.size - from) {
        json_decref(json);
        w->odd_keys++;
        return 0;
    }
    return json_object_setn_new(into, w->name.text + from, w->name.size - from, json)
               ? mr_fail(MR_ENOMEM, "%s: out of memory", w->path)
               : 0;
}

static int visit_items(struct walk *w, const struct mr_pickled *v, bool object, json_t **json)
{
    bool dict = v->kind == MR_PICKLED_DICT;
    size_t before = w->name.size;
    json_t *into = dict ? json_object() : json_array();
    int err = into ? 0 : MR_ENOMEM;
    for (uint32_t i = 0; i < v->count && !err; i += dict ? 2 : 1) {
        const struct mr_pickled *item = v->items[dict ? i + 1 : i];
        bool part = object && dict && is_part(v->items[i]);
        w->name.size = before;
        if (dict && (v->items[i]->kind == MR_PICKLED_TUPLE || v->items[i]->kind == MR_PICKLED_OBJECT ||
                     v->items[i]->kind == MR_PICKLED_BYTES)) {
            w->odd_keys++;
            continue;
        }
        if (before && !part)
            err = mr_str_append(&w->name, ".", 1);
        size_t from = w->name.size;
        if (!err && dict && v->items[i]->kind == MR_PICKLED_TEXT)
            err = spend(w, 0, v->items[i]->size);
        if (!err && !part)
            err = dict ? key_text(w, v->items[i], &w->name) : mr_str_printf(&w->name, "%u", i);
        if (!err && w->name.size == from)
            err = mr_str_append(&w->name, "", 0); /* an empty key: the text must still end */
        if (!err)
            err = visit_item(w, item, from, into);
    }
    w->name.size = before;
    if (w->name.text)
        w->name.text[before] = 0;
    /* what held nothing but tensors leaves nothing behind; what was empty stays */
    bool nothing = v->count && (dict ? json_object_size(into) : json_array_size(into)) == 0;
    if (err || (nothing && w->depth)) {
        json_decref(into);
        return err;
    }
    *json = into;
    return 0;
}

/* torch.float16 and torch.device("cuda", 0) as texts. */
static json_t *torch_word(const struct mr_pickled *v)
{
    const struct mr_pickled *args = v->object->args;
    if (mr_pickled_dtype(v) >= 0)
        return json_sprintf("torch.%.*s", (int)v->object->name->size, v->object->name->text);
    if (!args || !args->count || args->items[0]->kind != MR_PICKLED_TEXT || !mr_pickled_is(v, "torch", "device"))
        return NULL;
    json_t *kind = mr_json_repaired(args->items[0]->text, args->items[0]->size);
    if (!kind || args->count < 2 || args->items[1]->kind != MR_PICKLED_INT)
        return kind;
    json_t *word = json_sprintf("%s:%lld", json_string_value(kind), (long long)args->items[1]->integer);
    json_decref(kind);
    return word;
}

/* An object without members. A tensor that is left out would only be missed later. */
static int visit_object(struct walk *w, const struct mr_pickled *v, json_t **json)
{
    if (v->object->args && mr_pickled_is(v, "torch._utils", "_rebuild_sparse_tensor"))
        return mr_fail(MR_EFILE, "%s: tensor \"%s\" is sparse; save it again as .to_dense()", w->path,
                       w->name.text ? w->name.text : "");
    if (!(*json = torch_word(v))) {
        note(w, v->object);
        *json = json_null();
    }
    return *json ? 0 : mr_fail(MR_ENOMEM, "%s: out of memory", w->path);
}

/* The value's JSON, or NULL where only tensors are. */
static int visit(struct walk *w, const struct mr_pickled *v, json_t **json)
{
    if (w->depth > MR_PICKLE_DEPTH)
        return mr_fail(MR_EFILE, "%s: its values are nested more than %d deep", w->path, MR_PICKLE_DEPTH);
    const struct mr_pickled *whole = v;
    v = mr_pickled_plain(v);
    MR_TRY(spend(w, 1, v->kind == MR_PICKLED_TEXT ? v->size : v->kind == MR_PICKLED_TENSOR ? w->name.size : 0));
    switch (v->kind) {
    case MR_PICKLED_NONE:
    case MR_PICKLED_BYTES:
        *json = json_null();
        break;
    case MR_PICKLED_BOOL:
        *json = json_boolean(v->truth);
        break;
    case MR_PICKLED_INT:
        *json = json_integer(v->integer);
        break;
    case MR_PICKLED_REAL:
        *json = mr_json_real(v->real);
        break;
    case MR_PICKLED_TEXT:
        *json = mr_json_repaired(v->text, v->size);
        break;
    case MR_PICKLED_LIST:
    case MR_PICKLED_TUPLE:
    case MR_PICKLED_DICT:
        return visit_items(w, v, whole != v, json);
    case MR_PICKLED_TENSOR:
        MR_TRY(add_view(w, v->tensor));
        if (w->depth > 1 || v->tensor->ndim)
            return 0;
        *json = json_null(); /* its place among the others; the reader sets the number */
        break;
    case MR_PICKLED_OBJECT:
        return visit_object(w, v, json);
    case MR_PICKLED_NAME:
    case MR_PICKLED_STORAGE:
        *json = json_null();
        break;
    default:
        return mr_fail(MR_EFILE, "%s: the value at \"%s\" is neither plain data nor a tensor", w->path,
                       w->name.text ? w->name.text : "");
    }
    return *json ? 0 : mr_fail(MR_ENOMEM, "%s: out of memory", w->path);
}

static struct walk begin(struct mr_torch_tree *tree, const struct mr_pickle *pickle, const char *path)
{
    return (struct walk){.tree = tree, .path = path, .steps = pickle->size + 1000, .text = 4 * pickle->size + 65536};
}

int mr_torch_tree_read(struct mr_torch_tree *tree, const uint8_t *bytes, size_t size, const char *path,
                       json_t *metadata)
{
    json_t *json = NULL;
    MR_TRY(mr_pickle_read(&tree->pickle, bytes, size, path));
    bool object = tree->pickle.root->kind == MR_PICKLED_OBJECT; /* a whole model: what it says is not ours */
    if (mr_pickled_plain(tree->pickle.root)->kind != MR_PICKLED_DICT)
        return mr_fail(MR_EFILE, "%s does not hold a dictionary, as checkpoints do", path);
    struct walk w = begin(tree, &tree->pickle, path);
    int err = visit(&w, tree->pickle.root, &json);
    if (!err && !object && json_object_update(metadata, json))
        err = mr_fail(MR_ENOMEM, "%s: out of memory", path);
    if (!err && *w.others)
        mr_log(MR_LOG_WARNING, "%s: objects of these kinds are left out, and nothing was run: %s", path, w.others);
    if (!err && w.odd_keys)
        mr_log(MR_LOG_WARNING, "%s: %d entries are skipped, as their keys are not text", path, w.odd_keys);
    json_decref(json);
    mr_str_free(&w.name);
    return err;
}

json_t *mr_pickled_json(const struct mr_pickle *pickle, const struct mr_pickled *value, const char *what)
{
    json_t *json = NULL;
    struct walk w = begin(NULL, pickle, what);
    int err = visit(&w, value, &json);
    mr_str_free(&w.name);
    if (err) {
        json_decref(json);
        return NULL;
    }
    return json;
}
