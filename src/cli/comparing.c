/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/comparing.h"

#include <stdio.h>

enum { SHOWN = 10 };

static void print_text(const json_t *out)
{
    const json_t *list = json_object_get(out, "tensors"), *t;
    size_t i;
    FILE *to = stdout;
    fprintf(to, "largest difference of %lld logits of %lld tokens: %.3g, of the largest logit %.3g (tolerance %.3g)\n",
            (long long)json_integer_value(json_object_get(out, "logits")),
            (long long)json_integer_value(json_object_get(out, "tokens")),
            json_real_value(json_object_get(out, "difference")), json_real_value(json_object_get(out, "relative")),
            json_real_value(json_object_get(out, "tolerance")));
    if (!list)
        return;
    fprintf(to, json_array_size(list) ? "%zu tensors differ\n" : "all tensors are equal\n", json_array_size(list));
    json_array_foreach(list, i, t)
        if (i < SHOWN)
            fprintf(to, "  %s: %lld of %lld numbers, by %.3g at most\n", json_string_value(json_object_get(t, "name")),
                    (long long)json_integer_value(json_object_get(t, "count")),
                    (long long)json_integer_value(json_object_get(t, "of")),
                    json_real_value(json_object_get(t, "largest")));
    if (json_array_size(list) > SHOWN)
        fprintf(to, "  and %zu more (--json lists them)\n", json_array_size(list) - SHOWN);
}

static double number(const json_t *result, const char *key)
{
    return json_number_value(json_object_get(result, key));
}

int mr_print_comparison(const struct mr_comparing *how, const struct mr_common *common)
{
    mr_runtime *rt = NULL;
    json_t *result = NULL;
    MR_TRY(mr_common_open(common, &rt));
    int err = mr_compare_models(rt, how, &result);
    mr_common_close(common, rt);
    if (err)
        return err;
    double relative = number(result, "relative"), tolerance = number(result, "tolerance");
    if (common->json) {
        MR_TRY(mr_print_json(result));
    } else {
        print_text(result);
        json_decref(result);
    }
    return relative > tolerance
               ? mr_fail(MR_EFILE, "%s and %s differ by %.3g of the largest logit, and %.3g is the tolerance",
                         how->path[0], how->path[1], relative, tolerance)
               : 0;
}
