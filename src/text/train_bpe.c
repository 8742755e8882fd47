/* SPDX-License-Identifier: GPL-3.0-or-later
 * All different words stand one behind the other as lists of symbols. For each pair of neighbours there is its count
 * and where it stood (places may be out of date); a heap has the pairs by their counts (which may be out of date, but
 * never too low). A merge touches only the places of its pair. */
#include "text/train_bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "text/pairs.h"
#include "text/trained_bpe.h"
#include "text/word_counts.h"
#include "text/words.h"

enum { LONGEST_WORD = 256, FEWEST = 2 };
#define GONE UINT32_MAX

struct mr_bpe_trainer {
    struct mr_word_counts words;
    struct mr_str pending; /* of a word that was cut by the end of a piece */
    size_t size;
};

/* ---- counting words ------------------------------------------------------------------------------------ */

int mr_bpe_trainer_open(mr_bpe_trainer **out, int64_t size)
{
    *out = NULL;
    if (size < MR_BPE_SMALLEST || size > MR_BPE_LARGEST)
        return mr_fail(
            MR_EINVAL,
            "a trained tokenizer has %d to %d tokens, not %lld: they include the 256 bytes and <|endoftext|>",
            MR_BPE_SMALLEST, MR_BPE_LARGEST, (long long)size);
    mr_bpe_trainer *t = mr_alloc(1, sizeof *t);
    if (!t)
        return MR_ENOMEM;
    t->size = (size_t)size;
    *out = t;
    return 0;
}

void mr_bpe_trainer_close(mr_bpe_trainer *t)
{
    if (!t)
        return;
    mr_word_counts_free(&t->words);
    mr_str_free(&t->pending);
    free(t);
}

/* Counts the words of the bytes that are certain. A word is cut after LONGEST_WORD bytes, however the text came. */
static int count(mr_bpe_trainer *t, const char *bytes, size_t size, bool more, size_t *used)
{
    size_t at = 0, n;
    for (;; at += n) {
        size_t left = size - at;
        n = left > LONGEST_WORD ? mr_word(bytes + at, LONGEST_WORD, false) : mr_word(bytes + at, left, more);
        if (!n)
            break;
        MR_TRY(mr_word_counts_add(&t->words, bytes + at, n));
    }
    *used = at;
    return 0;
}

int mr_bpe_trainer_feed(mr_bpe_trainer *t, const char *bytes, size_t size)
{
    size_t used;
    if (!t->pending.size) {
        MR_TRY(count(t, bytes, size, true, &used));
        return mr_str_append(&t->pending, bytes + used, size - used);
    }
    MR_TRY(mr_str_append(&t->pending, bytes, size));
    MR_TRY(count(t, t->pending.text, t->pending.size, true, &used));
    t->pending.size -= used;
    memmove(t->pending.text, t->pending.text + used, t->pending.size);
    return 0;
}

int mr_bpe_trainer_finish(mr_bpe_trainer *t)
{
    size_t used;
    int err = t->pending.size ? count(t, t->pending.text, t->pending.size, false, &used) : 0;
    t->pending.size = 0;
    return err;
}

/* ---- merging ------------------------------------------------------------------------------------------- */

struct symbol {
    uint32_t id, before, after, word; /* id GONE: merged into the left neighbour */
};

struct pair {
    uint64_t key;
    int64_t count;
    uint32_t *place; /* of the left symbol; ascending */
    size_t places, capacity;
};

struct candidate {
    int64_t count;
    uint32_t pair;
};

struct merging {
    const struct mr_word_counts *words;
    struct symbol *symbol;
    struct mr_pairs index; /* to `pair` */
    struct pair *pair;
    size_t pair_count, pair_capacity;
    struct candidate *heap;
    size_t heap_size, heap_capacity;
};

/* Larger counts first, then smaller ids. */
static bool comes_first(const struct merging *m, struct candidate a, struct candidate b)
{
    return a.count != b.count ? a.count > b.count : m->pair[a.pair].key < m->pair[b.pair].key;
}

static int push(struct merging *m, struct candidate c)
{
    MR_TRY(mr_grow(&m->heap, &m->heap_capacity, m->heap_size + 1, sizeof *m->heap));
    size_t i = m->heap_size++;
    for (; i && comes_first(m, c, m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = c;
    return 0;
}

static struct candidate pop(struct merging *m)
{
    struct candidate top = m->heap[0], c = m->heap[--m->heap_size];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < m->heap_size) {
        child += child + 1 < m->heap_size && comes_first(m, m->heap[child + 1], m->heap[child]);
        if (!comes_first(m, m->heap[child], c))
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = c;
    return top;
}

static int64_t weight(const struct merging *m, uint32_t place)
{
    return (int64_t)m->words->word[m->symbol[place].word].count;
}

/* The pair of the symbol with the next one. */
static uint64_t key_at(const struct merging *m, uint32_t place)
{
    return mr_pair(m->symbol[place].id, m->symbol[m->symbol[place].after].id);
}

/* The pair stands at one more place. */
static int add_pair(struct merging *m, uint32_t place)
{
    uint64_t key = key_at(m, place);
    uint32_t n = mr_pairs_get(&m->index, key);
    if (n == MR_NO_PAIR) {
        MR_TRY(mr_grow(&m->pair, &m->pair_capacity, m->pair_count + 1, sizeof *m->pair));
        n = (uint32_t)m->pair_count++;
        m->pair[n] = (struct pair){.key = key};
        MR_TRY(mr_pairs_set(&m->index, key, n));
    }
    struct pair *p = &m->pair[n];
    MR_TRY(mr_grow(&p->place, &p->capacity, p->places + 1, sizeof *p->place));
    p->place[p->places++] = place;
    p->count += weight(m, place);
    return 0;
}

static void remove_pair(struct merging *m, uint32_t place)
{
    uint32_t n = mr_pairs_get(&m->index, key_at(m, place));
    if (n != MR_NO_PAIR)
        m->pair[n].count -= weight(m, place);
}

static int lay_out(struct merging *m)
{
    uint32_t at = 0;
    m->symbol = mr_alloc(m->words->bytes.size, sizeof *m->symbol);
    if (!m->symbol)
        return MR_ENOMEM;
    for (uint32_t w = 0; w < m->words->count; w++) {
        const struct mr_word_count *word = &m->words->word[w];
        for (uint32_t i = 0; i < word->size; i++, at++)
            m->symbol[at] = (struct symbol){(unsigned char)m->words->bytes.text[word->at + i], i ? at - 1 : GONE,
                                            i + 1 < word->size ? at + 1 : GONE, w};
    }
    for (uint32_t i = 0; i < at; i++)
        if (m->symbol[i].after != GONE)
            MR_TRY(add_pair(m, i));
    for (uint32_t n = 0; n < m->pair_count; n++)
        MR_TRY(push(m, (struct candidate){m->pair[n].count, n}));
    return 0;
}

/* Makes the pair a token wherever it stands. */
static int merge(struct merging *m, uint32_t number, uint32_t new_id)
{
    struct pair p = m->pair[number];
    struct symbol *s = m->symbol;
    size_t known = m->pair_count;
    uint32_t left_id = (uint32_t)(p.key >> 32), right_id = (uint32_t)p.key;
    int err = 0;
    m->pair[number].place = NULL; /* nothing more comes to it: its tokens meet no more */
    m->pair[number].places = m->pair[number].capacity = 0;
    for (size_t i = 0; i < p.places && !err; i++) {
        uint32_t left = p.place[i], right = s[left].after;
        if (s[left].id != left_id || right == GONE || s[right].id != right_id)
            continue;
        if (s[left].before != GONE)
            remove_pair(m, s[left].before);
        if (s[right].after != GONE)
            remove_pair(m, right);
        s[left].id = new_id;
        s[left].after = s[right].after;
        s[right].id = GONE;
        if (s[left].after != GONE) {
            s[s[left].after].before = left;
            err = add_pair(m, left);
        }
        if (s[left].before != GONE && !err)
            err = add_pair(m, s[left].before);
    }
    free(p.place);
    for (size_t n = known; n < m->pair_count && !err; n++)
        err = push(m, (struct candidate){m->pair[n].count, (uint32_t)n});
    return err;
}

int mr_bpe_trainer_tokenizer(mr_bpe_trainer *t, mr_tokenizer **out)
{
    struct merging m = {.words = &t->words};
    uint64_t *merges = mr_alloc(t->size, sizeof *merges);
    size_t count = 0;
    int err = merges ? lay_out(&m) : MR_ENOMEM;
    *out = NULL;
    while (!err && m.heap_size && count + MR_BPE_SMALLEST < t->size) {
        struct candidate c = pop(&m);
        struct pair *p = &m.pair[c.pair];
        if (p->count < FEWEST || !p->places)
            continue;
        if (p->count < c.count) { /* it has become rarer meanwhile */
            err = push(&m, (struct candidate){p->count, c.pair});
            continue;
        }
        merges[count] = p->key;
        err = merge(&m, c.pair, 256 + (uint32_t)count++);
    }
    if (!err)
        err = mr_tokenizer_from_merges(out, merges, count);
    for (size_t n = 0; n < m.pair_count; n++)
        free(m.pair[n].place);
    free(m.pair);
    free(m.symbol);
    free(m.heap);
    free(merges);
    mr_pairs_free(&m.index);
    return err;
}
