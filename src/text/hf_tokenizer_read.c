/* SPDX-License-Identifier: GPL-3.0-or-later
 * Reading a tokenizer.json of byte-level BPE. What changes ids and is not known here is refused by its name. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "text/hf_tokenizer.h"
#include "text/nfc.h"

static int unsupported(const char *what, const json_t *object, const char *key)
{
    char *text = json_dumps(json_object_get(object, key), JSON_COMPACT | JSON_ENCODE_ANY);
    int err = mr_fail(MR_EFILE, "%s with \"%s\": %.60s is not supported (byte-level BPE is)", what, key,
                      text ? text : "null");
    free(text);
    return err;
}

static bool is(const json_t *object, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value && !strcmp(value, text);
}

/* ---- normalizer and pre_tokenizer ---------------------------------------------------------------------- */

static int read_normalizer(struct mr_hf_tokenizer *j, const json_t *n, int depth)
{
    const json_t *list = json_object_get(n, "normalizers");
    if (!n || json_is_null(n))
        return 0;
    if (is(n, "type", "NFC") || is(n, "type", "NFKC")) {
        if (j->normal.lower)
            return mr_fail(MR_EFILE, "a normalizer %s after Lowercase is not supported",
                           json_string_value(json_object_get(n, "type")));
        j->normal.compose = true;
        j->normal.compat = j->normal.compat || is(n, "type", "NFKC");
        return 0;
    }
    if (is(n, "type", "Lowercase")) {
        j->normal.lower = true;
        return 0;
    }
    if (!is(n, "type", "Sequence") || !json_is_array(list) || depth)
        return unsupported("a normalizer", n, "type");
    for (size_t i = 0; i < json_array_size(list); i++)
        MR_TRY(read_normalizer(j, json_array_get(list, i), depth + 1));
    return 0;
}

static int add_split(struct mr_hf_tokenizer *j, const char *pattern, size_t size, bool literal, bool keep_rest)
{
    MR_TRY(mr_split_open(&j->step[j->step_count].split, pattern, size, literal, keep_rest));
    j->step_count++;
    return 0;
}

static int read_split(struct mr_hf_tokenizer *j, const json_t *p)
{
    json_t *pattern = json_object_get(p, "pattern"), *expression = json_object_get(pattern, "Regex");
    bool literal = !expression, invert;
    if (literal)
        expression = json_object_get(pattern, "String");
    if (!json_is_string(expression))
        return unsupported("a pre-tokenizer Split", p, "pattern");
    MR_TRY(mr_json_bool_or(p, "invert", false, &invert));
    if (!is(p, "behavior", "Isolated") && !(is(p, "behavior", "Removed") && invert))
        return unsupported(invert ? "an inverted pre-tokenizer Split" : "a pre-tokenizer Split", p, "behavior");
    return add_split(j, json_string_value(expression), json_string_length(expression), literal,
                     is(p, "behavior", "Isolated"));
}

static int read_pre_tokenizer(struct mr_hf_tokenizer *j, const json_t *p, int depth)
{
    const json_t *list = json_object_get(p, "pretokenizers");
    if (is(p, "type", "Sequence") && json_is_array(list) && !depth) {
        for (size_t i = 0; i < json_array_size(list); i++)
            MR_TRY(read_pre_tokenizer(j, json_array_get(list, i), depth + 1));
        return 0;
    }
    if (j->step_count == MR_JSON_STEPS)
        return mr_fail(MR_EFILE, "more than %d pre-tokenizers in a Sequence are not supported", MR_JSON_STEPS);
    if (j->step_count && !j->step[j->step_count - 1].split)
        return mr_fail(MR_EFILE, "a pre-tokenizer after ByteLevel is not supported");
    if (is(p, "type", "ByteLevel")) {
        struct mr_json_step *step = &j->step[j->step_count++];
        MR_TRY(mr_json_bool_or(p, "add_prefix_space", true, &step->prefix_space));
        return mr_json_bool_or(p, "use_regex", true, &step->words);
    }
    if (is(p, "type", "Digits")) {
        bool single;
        MR_TRY(mr_json_bool_or(p, "individual_digits", false, &single));
        return add_split(j, "\\p{N}+", single ? 5 : 6, false, true);
    }
    return is(p, "type", "Split") ? read_split(j, p) : unsupported("a pre-tokenizer", p, "type");
}

/* ---- model and added tokens ---------------------------------------------------------------------------- */

static int read_model(struct mr_hf_tokenizer *j, const json_t *m)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    double dropout;
    bool fallback, ignore_merges;
    if (!is(m, "type", "BPE") && json_object_get(m, "type"))
        return unsupported("a model", m, "type");
    for (size_t i = 0; i < sizeof affixes / sizeof *affixes; i++) {
        const json_t *affix = json_object_get(m, affixes[i]);
        if (affix && !json_is_null(affix) && !is(m, affixes[i], ""))
            return unsupported("a model", m, affixes[i]);
    }
    MR_TRY(mr_json_number_or(m, "dropout", 0, &dropout));
    MR_TRY(mr_json_bool_or(m, "byte_fallback", false, &fallback));
    MR_TRY(mr_json_bool_or(m, "ignore_merges", false, &ignore_merges));
    if (dropout != 0 || fallback)
        return unsupported("a model", m, fallback ? "byte_fallback" : "dropout");
    MR_TRY(mr_bpe_from_json(&j->bpe, json_object_get(m, "vocab"), json_object_get(m, "merges")));
    return ignore_merges ? mr_bpe_use_whole_words(&j->bpe) : 0;
}

struct added {
    int64_t id;
    const char *content;
    size_t size;
    bool special, normalised;
};

static int read_added(const json_t *token, struct added *a)
{
    static const char *const refused[] = {"single_word", "lstrip", "rstrip"};
    MR_TRY(mr_json_int(token, "id", 0, MR_LARGEST_VOCAB - 1, &a->id));
    MR_TRY(mr_json_string(token, "content", &a->content));
    a->size = strlen(a->content);
    MR_TRY(mr_json_bool_or(token, "special", false, &a->special));
    MR_TRY(mr_json_bool_or(token, "normalized", !a->special, &a->normalised));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        bool value;
        MR_TRY(mr_json_bool_or(token, refused[i], false, &value));
        if (value && !a->special)
            return unsupported("an added token", token, refused[i]);
    }
    return 0;
}

/* Adds one that is always looked for to one of two lists; `forms` holds the normal forms of their contents. */
static int add_ordinary(const struct mr_hf_tokenizer *j, const struct added *a, struct mr_trie_entry *list,
                        size_t *count, struct mr_str *form)
{
    list[*count] = (struct mr_trie_entry){a->content, a->size, (uint32_t)a->id};
    if (a->normalised && (j->normal.compose || j->normal.lower)) {
        MR_TRY(mr_normalise(&j->normal, a->content, a->size, form));
        list[*count].bytes = form->text;
        list[*count].size = form->size;
    }
    ++*count;
    return 0;
}

static int is_end(const struct added *a)
{
    static const char *const ends[] = {MR_END_OF_TEXT, "<|end_of_text|>", "</s>"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(a->content, ends[i]))
            return 3 - i;
    return 0;
}

static int read_all_added(mr_tokenizer *t, const json_t *tokens)
{
    struct mr_hf_tokenizer *j = t->data;
    size_t all = json_array_size(tokens), raw_count = 0, normalised_count = 0;
    struct mr_trie_entry *raw = mr_alloc(all, sizeof *raw), *normalised = mr_alloc(all, sizeof *normalised);
    struct mr_str *form = mr_alloc(all, sizeof *form);
    int err = raw && normalised && form ? 0 : MR_ENOMEM, best_end = 0;
    for (size_t i = 0; i < all && !err; i++) {
        struct added a;
        err = read_added(json_array_get(tokens, i), &a);
        if (!err)
            err = mr_vocab_set(&j->bpe.vocab, a.id, a.content, a.size);
        if (!err && a.special)
            err = mr_tokenizer_add_special(t, a.content, a.size, (uint32_t)a.id);
        else if (!err && a.normalised)
            err = add_ordinary(j, &a, normalised, &normalised_count, &form[i]);
        else if (!err)
            err = add_ordinary(j, &a, raw, &raw_count, &form[i]);
        if (!err && is_end(&a) > best_end) {
            best_end = is_end(&a);
            t->end = a.id;
        }
        if (err < 0)
            mr_fail_in(err, "\"added_tokens\"[%zu]", i);
    }
    if (!err)
        err = mr_trie_build(&j->raw, raw, raw_count);
    if (!err)
        err = mr_trie_build(&j->normalised, normalised, normalised_count);
    for (size_t i = 0; form && i < all; i++)
        mr_str_free(&form[i]);
    free(form);
    free(raw);
    free(normalised);
    return err;
}

/* ---- post_processor -------------------------------------------------------------------------------------- */

/* The ids of a template's special token. */
static int add_starts(mr_tokenizer *t, const json_t *template, const char *name)
{
    json_t *ids = json_object_get(json_object_get(json_object_get(template, "special_tokens"), name), "ids");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        json_int_t id = json_integer_value(json_array_get(ids, i));
        if (id < 0 || id >= MR_LARGEST_VOCAB || t->start_count == MR_STARTS)
            return mr_fail(MR_EFILE, "a template with the token \"%.60s\" is not supported", name);
        t->start[t->start_count++] = (uint32_t)id;
    }
    return json_array_size(ids) ? 0 : mr_fail(MR_EFILE, "a template's token \"%.60s\" has no ids", name);
}

/* What a template puts before a single text. What it puts behind is left out: a prompt is to be continued. */
static int read_post_processor(mr_tokenizer *t, const json_t *p, int depth)
{
    const json_t *list = json_object_get(p, is(p, "type", "Sequence") ? "processors" : "single");
    for (size_t i = 0; is(p, "type", "Sequence") && !depth && i < json_array_size(list); i++)
        MR_TRY(read_post_processor(t, json_array_get(list, i), depth + 1));
    for (size_t i = 0; is(p, "type", "TemplateProcessing") && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i), *special = json_object_get(item, "SpecialToken");
        const char *name = json_string_value(json_object_get(special, "id"));
        if (!name)
            break;
        MR_TRY(add_starts(t, p, name));
    }
    return 0;
}

/* ---- all ----------------------------------------------------------------------------------------------- */

/* What of the file decides about ids. */
static int keep(mr_tokenizer *t, const json_t *json)
{
    static const char *const keys[] = {"normalizer", "pre_tokenizer", "model", "added_tokens", "post_processor"};
    size_t count = sizeof keys / sizeof *keys - (t->start_count ? 0 : 1);
    json_t *kept = json_object();
    int err = kept ? 0 : MR_ENOMEM;
    for (size_t i = 0; i < count && !err; i++)
        if (json_object_get(json, keys[i]))
            err = mr_json_set(kept, keys[i], json_incref(json_object_get(json, keys[i])));
    if (!err)
        err = mr_tokenizer_keep_source(t, kept);
    json_decref(kept);
    return err;
}

int mr_hf_tokenizer_read(mr_tokenizer *t, const json_t *json)
{
    struct mr_hf_tokenizer *j = t->data = mr_alloc(1, sizeof *j);
    const json_t *decoder = json_object_get(json, "decoder");
    if (!j)
        return MR_ENOMEM;
    MR_TRY(read_normalizer(j, json_object_get(json, "normalizer"), 0));
    MR_TRY(read_pre_tokenizer(j, json_object_get(json, "pre_tokenizer"), 0));
    if (!j->step_count || j->step[j->step_count - 1].split)
        return mr_fail(MR_EFILE, "pre-tokenizing without ByteLevel is not supported");
    if (decoder && !json_is_null(decoder) && !is(decoder, "type", "ByteLevel"))
        return unsupported("a decoder", decoder, "type");
    int err = read_model(j, json_object_get(json, "model"));
    if (err < 0)
        return mr_fail_in(err, "\"model\"");
    MR_TRY(read_all_added(t, json_object_get(json, "added_tokens")));
    t->vocab_size = j->bpe.vocab.size;
    MR_TRY(read_post_processor(t, json_object_get(json, "post_processor"), 0));
    for (size_t i = 0; i < t->start_count; i++)
        if (t->start[i] >= t->vocab_size)
            return mr_fail(MR_EFILE, "\"post_processor\": token %u is not in the vocabulary", t->start[i]);
    return keep(t, json);
}

void mr_hf_tokenizer_close(mr_tokenizer *t)
{
    struct mr_hf_tokenizer *j = t->data;
    if (!j)
        return;
    for (int i = 0; i < j->step_count; i++)
        mr_split_close(j->step[i].split);
    mr_trie_free(&j->raw);
    mr_trie_free(&j->normalised);
    mr_bpe_free(&j->bpe);
    free(j);
}
