/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/stored.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/error.h"

struct mr_stored_tokenizer {
    json_t *json;
};

void mr_stored_tokenizer_free(mr_stored_tokenizer *stored)
{
    if (stored)
        json_decref(stored->json);
    free(stored);
}

int mr_stored_tokenizer_from_json(mr_stored_tokenizer **stored, json_t *json)
{
    mr_stored_tokenizer *s = mr_alloc(1, sizeof *s);
    *stored = s;
    if (!s)
        return MR_ENOMEM;
    s->json = json_incref(json);
    return 0;
}

json_t *mr_stored_tokenizer_json(const mr_stored_tokenizer *stored)
{
    return stored->json;
}

int mr_stored_tokenizer_copy(mr_stored_tokenizer **to, const mr_stored_tokenizer *from)
{
    *to = NULL;
    return from ? mr_stored_tokenizer_from_json(to, from->json) : 0;
}

bool mr_stored_tokenizer_equal(const mr_stored_tokenizer *a, const mr_stored_tokenizer *b)
{
    return json_equal(a->json, b->json);
}

int mr_tokenizer_store(const mr_tokenizer *t, mr_stored_tokenizer **stored)
{
    json_t *json = mr_tokenizer_to_json(t);
    *stored = NULL;
    if (!json)
        return MR_ENOMEM;
    int err = mr_stored_tokenizer_from_json(stored, json);
    json_decref(json);
    return err;
}

int mr_tokenizer_open_stored(mr_tokenizer **t, const mr_stored_tokenizer *stored)
{
    return mr_tokenizer_open_json(t, stored->json);
}
