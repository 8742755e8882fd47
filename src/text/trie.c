/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

#define NO_ENTRY UINT32_MAX
enum { FEW_CHILDREN = 8 };

static int by_bytes(const void *a, const void *b)
{
    const struct mr_trie_entry *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, x->size < y->size ? x->size : y->size);
    return order ? order : x->size < y->size ? -1 : x->size > y->size;
}

/* A node under construction: the entries that go through it. */
struct range {
    size_t from, to, depth;
};

static int add_node(struct mr_trie *t, struct range **ranges, size_t *capacity, struct range range, uint8_t byte)
{
    if (t->count + 1 >= *capacity) {
        size_t more = *capacity ? *capacity * 2 : 1024;
        void *grown;
        if (more > UINT32_MAX)
            return mr_fail(MR_EFILE, "the tokens are too long in total");
        if (!(grown = mr_realloc(t->byte, more, sizeof *t->byte)))
            return MR_ENOMEM;
        t->byte = grown;
        if (!(grown = mr_realloc(t->first, more, sizeof *t->first)))
            return MR_ENOMEM;
        t->first = grown;
        if (!(grown = mr_realloc(t->label, more, sizeof *t->label)))
            return MR_ENOMEM;
        t->label = grown;
        if (!(grown = mr_realloc(t->id, more, sizeof *t->id)))
            return MR_ENOMEM;
        t->id = grown;
        if (!(grown = mr_realloc(*ranges, more, sizeof **ranges)))
            return MR_ENOMEM;
        *ranges = grown;
        *capacity = more;
    }
    t->byte[t->count] = byte;
    t->label[t->count] = (struct mr_trie_label){0, 0};
    t->id[t->count] = NO_ENTRY;
    (*ranges)[t->count++] = range;
    return 0;
}

/* What all entries of the node have in common, which are sorted. */
static int add_label(struct mr_trie *t, const struct mr_trie_entry *entries, struct range *r, size_t node)
{
    const struct mr_trie_entry *a = &entries[r->from], *b = &entries[r->to - 1];
    size_t most = a->size < b->size ? a->size : b->size, same = r->depth;
    while (same < most && a->bytes[same] == b->bytes[same])
        same++;
    if (t->labels.size + (same - r->depth) > UINT32_MAX)
        return mr_fail(MR_EFILE, "the tokens are too long in total");
    t->label[node] = (struct mr_trie_label){(uint32_t)t->labels.size, (uint32_t)(same - r->depth)};
    MR_TRY(mr_str_append(&t->labels, a->bytes + r->depth, same - r->depth));
    r->depth = same;
    return 0;
}

static int add_children(struct mr_trie *t, const struct mr_trie_entry *entries, struct range **ranges, size_t *capacity,
                        size_t node)
{
    struct range r = (*ranges)[node];
    t->first[node] = (uint32_t)t->count;
    if (r.depth) /* the root's children are found by their first byte */
        MR_TRY(add_label(t, entries, &r, node));
    if (r.from < r.to && entries[r.from].size == r.depth) {
        t->id[node] = entries[r.from++].id;
        if (r.from < r.to && entries[r.from].size == r.depth)
            return mr_fail(MR_EFILE, "ids %u and %u have the same text \"%.*s\"", t->id[node], entries[r.from].id,
                           (int)(r.depth < 40 ? r.depth : 40), entries[r.from].bytes);
    }
    while (r.from < r.to) {
        char byte = entries[r.from].bytes[r.depth];
        struct range child = {r.from, r.from, r.depth + 1};
        while (child.to < r.to && entries[child.to].bytes[r.depth] == byte)
            child.to++;
        MR_TRY(add_node(t, ranges, capacity, child, (uint8_t)byte));
        r.from = child.to;
    }
    return 0;
}

int mr_trie_build(struct mr_trie *t, struct mr_trie_entry *entries, size_t count)
{
    struct range *ranges = NULL;
    size_t capacity = 0;
    *t = (struct mr_trie){0};
    if (!count)
        return 0;
    qsort(entries, count, sizeof *entries, by_bytes);
    int err = entries[0].size ? 0 : mr_fail(MR_EFILE, "the text of token %u is empty", entries[0].id);
    if (!err)
        err = add_node(t, &ranges, &capacity, (struct range){0, count, 0}, 0);
    for (size_t node = 0; node < t->count && !err; node++)
        err = add_children(t, entries, &ranges, &capacity, node);
    free(ranges);
    if (err) {
        mr_trie_free(t);
        return err;
    }
    t->first[t->count] = (uint32_t)t->count;
    for (uint32_t child = t->first[0]; child < t->first[1]; child++)
        t->root[t->byte[child]] = child;
    return 0;
}

void mr_trie_free(struct mr_trie *t)
{
    free(t->byte);
    free(t->label);
    mr_str_free(&t->labels);
    free(t->first);
    free(t->id);
    *t = (struct mr_trie){0};
}

/* The child that the byte leads to, or 0. */
static uint32_t child_of(const struct mr_trie *t, uint32_t node, uint8_t byte)
{
    uint32_t low = t->first[node], high = t->first[node + 1];
    while (high - low > FEW_CHILDREN) {
        uint32_t middle = low + (high - low) / 2;
        if (t->byte[middle] <= byte)
            low = middle;
        else
            high = middle;
    }
    for (; low < high; low++)
        if (t->byte[low] == byte)
            return low;
    return 0;
}

size_t mr_trie_longest(const struct mr_trie *t, const char *bytes, size_t size, uint32_t *id, bool *open)
{
    size_t longest = 0, depth = 0;
    uint32_t node = size ? t->root[(uint8_t)bytes[0]] : 0;
    *open = size == 0;
    while (node) {
        const struct mr_trie_label *label = &t->label[node];
        depth++;
        if (label->size) {
            size_t there = label->size < size - depth ? label->size : size - depth;
            if (memcmp(bytes + depth, t->labels.text + label->at, there))
                break;
            *open = there < label->size;
            if (*open)
                break;
            depth += there;
        }
        if (t->id[node] != NO_ENTRY) {
            longest = depth;
            *id = t->id[node];
        }
        if (depth == size) {
            *open = t->first[node] < t->first[node + 1];
            break;
        }
        node = child_of(t, node, (uint8_t)bytes[depth]);
    }
    return longest;
}

int mr_trie_cut(const struct mr_trie *t, const char *bytes, size_t size, bool more, mr_between *between, void *context,
                struct mr_ids *ids, size_t *used)
{
    size_t start = 0, at = 0, step = 0; /* start: of the stretch between entries */
    while (at < size && t->count) {
        uint32_t id;
        bool open = false;
        size_t found = 0;
        if (t->root[(uint8_t)bytes[at]])
            found = mr_trie_longest(t, bytes + at, size - at, &id, &open);
        if (open && more)
            break;
        if (!found) {
            at++;
            continue;
        }
        MR_TRY(between(context, bytes + start, at - start, false, ids, &step));
        MR_TRY(mr_ids_append(ids, id));
        start = at += found;
    }
    if (!t->count)
        at = size;
    step = 0;
    MR_TRY(between(context, bytes + start, at - start, more, ids, &step));
    *used = more ? start + step : size;
    return 0;
}
