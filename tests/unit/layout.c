/* SPDX-License-Identifier: GPL-3.0-or-later
 * Names of other programs, and the forms that they store tensors in. */
#include "unit_test.h"

#include <math.h>

#include "base/philox.h"
#include "io/safetensors.h"
#include "model/model.h"
#include "formats/recipe.h"
#include "model/sizes.h"

static const struct mr_config rwkv4 = {.family = MR_RWKV4}, rwkv7 = {.family = MR_RWKV7};

static void expect_place(const struct mr_name_rule *rules, const char *ours, const char *theirs, int change)
{
    struct mr_place place;
    assert_true(mr_layout_place(rules, ours, 0, &place));
    assert_string_equal(place.name, theirs);
    assert_int_equal(place.change, change);
}

static void test_blocks_and_rests_are_carried_over(void **state)
{
    (void)state;
    const struct mr_name_rule *hf = mr_layout_rules(MR_LAYOUT_HF_RWKV, &rwkv4);
    expect_place(hf, "emb.weight", "rwkv.embeddings.weight", MR_SAME);
    expect_place(hf, "blocks.0.ln0.bias", "rwkv.blocks.0.pre_ln.bias", MR_SAME);
    expect_place(hf, "blocks.12.att.time_mix_k", "rwkv.blocks.12.attention.time_mix_key", MR_SAME);
    expect_place(hf, "blocks.103.ffn.time_mix_r", "rwkv.blocks.103.feed_forward.time_mix_receptance", MR_SAME);
    expect_place(hf, "blocks.3.att.key.weight", "rwkv.blocks.3.attention.key.weight", MR_SAME);
    expect_place(hf, "blocks.3.ln1.weight", "rwkv.blocks.3.ln1.weight", MR_SAME);
    expect_place(hf, "head.weight", "head.weight", MR_SAME);
}

static void test_transformed_tensors_are_known(void **state)
{
    (void)state;
    const struct mr_name_rule *gpt2 = mr_layout_rules(MR_LAYOUT_GPT2, &rwkv4),
                              *bin4 = mr_layout_rules(MR_LAYOUT_BIN, &rwkv4);
    struct mr_place place;
    expect_place(gpt2, "transformer.h.7.attn.c_attn.weight", "h.7.attn.c_attn.weight", MR_TRANSPOSED);
    expect_place(gpt2, "transformer.h.7.attn.c_attn.bias", "h.7.attn.c_attn.bias", MR_SAME);
    expect_place(gpt2, "transformer.wte.weight", "wte.weight", MR_SAME);
    expect_place(bin4, "blocks.0.att.time_decay", "blocks.0.att.time_decay", MR_NEGATIVE_EXP);
    expect_place(bin4, "blocks.0.att.time_first", "blocks.0.att.time_first", MR_SAME);
    assert_true(mr_layout_place(mr_layout_rules(MR_LAYOUT_BIN, &rwkv7), "blocks.5.att.x_v", 0, &place));
    assert_string_equal(place.name, "blocks.5.att.x_rwkvag");
    assert_int_equal(place.change, MR_JOINED);
    assert_int_equal(place.part, 3);
    assert_int_equal(place.parts, 6);
}

static void test_readers_get_later_rules_too(void **state)
{
    (void)state;
    const struct mr_name_rule *hf = mr_layout_rules(MR_LAYOUT_HF_RWKV, &rwkv4);
    struct mr_place place;
    assert_true(mr_layout_place(hf, "blocks.1.att.time_mix_k", 1, &place));
    assert_string_equal(place.name, "rwkv.blocks.1.attention.time_mix_k");
    assert_false(mr_layout_place(hf, "transformer.wte.weight", 0, &place));
    assert_false(mr_layout_place(hf, "blocks.x.att.key.weight", 0, &place));
}

/* Every parameter of a model has a place, and no two the same one (but for parts). */
static void expect_all_named(const char *model, int layout)
{
    struct mr_config cfg;
    struct mr_params params = {0};
    assert_ok(mr_config_by_name(&cfg, model, NULL));
    cfg.n_layer = 2;
    assert_ok(mr_model_declare(&params, &cfg));
    const struct mr_name_rule *rules = mr_layout_rules(layout, &cfg);
    struct mr_place *places = calloc((size_t)params.count, sizeof *places);
    for (int i = 0; i < params.count; i++) {
        if (!mr_layout_place(rules, params.list[i]->name, 0, &places[i]))
            fail_msg("layout %d has no name for %s", layout, params.list[i]->name);
        for (int k = 0; k < i; k++)
            if (strcmp(places[i].name, places[k].name) == 0 &&
                (places[i].change != MR_JOINED || places[i].part == places[k].part))
                fail_msg("%s and %s are both %s", params.list[i]->name, params.list[k]->name, places[i].name);
    }
    free(places);
    mr_params_free(&params);
}

static void test_layouts_name_all_parameters_once(void **state)
{
    (void)state;
    for (int layout = MR_LAYOUT_OWN; layout <= MR_LAYOUT_BARE; layout++)
        if (layout != MR_LAYOUT_HF_RWKV)
            expect_all_named("gpt2", layout);
    static const char *const rwkvs[] = {"rwkv4", "rwkv5", "rwkv6"};
    for (size_t i = 0; i < COUNT(rwkvs); i++) {
        expect_all_named(rwkvs[i], MR_LAYOUT_OWN);
        expect_all_named(rwkvs[i], MR_LAYOUT_HF_RWKV);
        expect_all_named(rwkvs[i], MR_LAYOUT_BIN);
    }
    expect_all_named("rwkv7", MR_LAYOUT_OWN);
    expect_all_named("rwkv7", MR_LAYOUT_BIN);
}

/* ---- recipes ----------------------------------------------------------------------------------------------------- */

struct gathered {
    float values[1 << 16];
    size_t count;
};

static int gather(void *context, const void *bytes, size_t count)
{
    struct gathered *g = context;
    assert_true(g->count + count <= COUNT(g->values));
    memcpy(g->values + g->count, bytes, count * sizeof(float));
    g->count += count;
    return 0;
}

/* A file of one tensor of these numbers. */
static mr_tensor_file *file_of(const float *values, size_t count, int ndim, const int64_t *shape, enum mr_dtype dtype)
{
    struct mr_file_tensor t = {.name = (char[]){"x"}, .ndim = ndim, .dtype = dtype, .shares = -1};
    memcpy(t.shape, shape, (size_t)ndim * sizeof *shape);
    mr_tensor_writer *w;
    mr_tensor_file *file;
    assert_ok(mr_safetensors_begin(&w, test_path("x.safetensors"), &t, 1, NULL));
    assert_ok(mr_tensor_writer_append_f32(w, values, count));
    assert_ok(mr_tensor_writer_finish(w));
    assert_ok(mr_safetensors_open(&file, test_path("x.safetensors")));
    return file;
}

static struct mr_param parameter(const char *name, size_t a, size_t b, size_t c)
{
    struct mr_param p = {.ndim = c ? 3 : b ? 2 : 1, .shape = {a, b, c}, .count = a * (b ? b : 1) * (c ? c : 1)};
    snprintf(p.name, sizeof p.name, "%s", name);
    return p;
}

static void fill(float *values, size_t count)
{
    struct mr_philox draws = {.seed = 5};
    for (size_t i = 0; i < count; i++)
        values[i] = (float)mr_philox_normal(&draws, i);
}

static void test_matrices_come_out_transposed(void **state)
{
    (void)state;
    static const size_t sizes[][3] = {{1, 1, 1},   {1, 7, 5},  {1, 17, 33}, {3, 16, 31},
                                      {5, 33, 16}, {1, 1, 50}, {1, 200, 3}};
    static float values[1 << 14];
    static struct gathered got;
    fill(values, COUNT(values));
    for (size_t s = 0; s < COUNT(sizes); s++) {
        size_t n = sizes[s][0], rows = sizes[s][1], columns = sizes[s][2];
        struct mr_param p = n > 1 ? parameter("w", n, columns, rows) : parameter("w", columns, rows, 0);
        int64_t shape[] = {(int64_t)n, (int64_t)rows, (int64_t)columns};
        mr_tensor_file *file = file_of(values, p.count, n > 1 ? 3 : 2, n > 1 ? shape : shape + 1, MR_DTYPE_F32);
        struct mr_recipe recipe;
        struct mr_place place = {.change = MR_TRANSPOSED};
        assert_ok(mr_recipe_of(&recipe, file, 0, &place, &p));
        for (int raw = 0; raw < 2; raw++) {
            got.count = 0;
            assert_ok(mr_recipe_run(file, &recipe, raw, gather, &got));
            assert_int_equal(got.count, p.count);
            for (size_t m = 0; m < n; m++)
                for (size_t r = 0; r < rows; r++)
                    for (size_t c = 0; c < columns; c++)
                        if (got.values[(m * columns + c) * rows + r] != values[(m * rows + r) * columns + c])
                            fail_msg("matrix %zu of %zu x %zu, row %zu, column %zu", m, rows, columns, r, c);
        }
        mr_tensor_file_close(file);
    }
}

static void expect_undone(int change, const float *stored, const float *wanted, size_t count)
{
    static struct gathered got;
    int64_t shape[] = {(int64_t)count};
    mr_tensor_file *file = file_of(stored, count, 1, shape, MR_DTYPE_F32);
    struct mr_param p = parameter("blocks.0.att.time_decay", count, 0, 0);
    struct mr_place place = {.change = change};
    struct mr_recipe recipe;
    assert_ok(mr_recipe_of(&recipe, file, 0, &place, &p));
    got.count = 0;
    assert_ok(mr_recipe_run(file, &recipe, false, gather, &got));
    for (size_t i = 0; i < count; i++)
        if (fabsf(got.values[i] - wanted[i]) > 1e-5f * fmaxf(1, fabsf(wanted[i])))
            fail_msg("change %d: %g gives %g instead of %g", change, (double)stored[i], (double)got.values[i],
                     (double)wanted[i]);
    mr_tensor_file_close(file);
}

static void test_exponentials_are_undone(void **state)
{
    (void)state;
    enum { N = 5 };
    const float x[N] = {-6, -2.5f, -0.1f, 0.4f, 1.5f};
    float e[N], negative[N], twice[N];
    for (int i = 0; i < N; i++) {
        e[i] = (float)exp((double)x[i]);
        negative[i] = -e[i];
        twice[i] = (float)exp(-exp((double)x[i]));
    }
    expect_undone(MR_EXP, e, x, N);
    expect_undone(MR_NEGATIVE_EXP, negative, x, N);
    expect_undone(MR_EXP_NEGATIVE_EXP, twice + 1, x + 1, N - 1);
}

/* A decay that was rounded to 0 or 1 has no finite logarithm: what comes out gives the same 0 or 1. */
static void test_limits_stay_finite(void **state)
{
    (void)state;
    static struct gathered got;
    const float stored[] = {0, 1};
    const int64_t shape[] = {2};
    mr_tensor_file *file = file_of(stored, 2, 1, shape, MR_DTYPE_F32);
    struct mr_param p = parameter("blocks.0.att.time_decay", 2, 0, 0);
    struct mr_place place = {.change = MR_EXP_NEGATIVE_EXP};
    struct mr_recipe recipe;
    assert_ok(mr_recipe_of(&recipe, file, 0, &place, &p));
    got.count = 0;
    assert_ok(mr_recipe_run(file, &recipe, false, gather, &got));
    assert_true(isfinite(got.values[0]) && isfinite(got.values[1]));
    assert_true((float)exp(-exp((double)got.values[0])) == 0 && (float)exp(-exp((double)got.values[1])) == 1);
    mr_tensor_file_close(file);
}

static void test_parts_are_cut_out(void **state)
{
    (void)state;
    static struct gathered got;
    float values[6 * 11];
    const int64_t shape[] = {6, 1, 11};
    fill(values, COUNT(values));
    mr_tensor_file *file = file_of(values, COUNT(values), 3, shape, MR_DTYPE_F32);
    struct mr_param p = parameter("blocks.0.att.x_v", 1, 1, 11);
    struct mr_place place = {.change = MR_JOINED, .part = 3, .parts = 6};
    struct mr_recipe recipe;
    assert_ok(mr_recipe_of(&recipe, file, 0, &place, &p));
    got.count = 0;
    assert_ok(mr_recipe_run(file, &recipe, false, gather, &got));
    assert_int_equal(got.count, 11);
    assert_memory_equal(got.values, values + 33, 11 * sizeof(float));
    mr_tensor_file_close(file);
}

static void test_shapes_must_agree_but_for_ones(void **state)
{
    (void)state;
    float values[32] = {0};
    const int64_t shape[] = {4, 8};
    mr_tensor_file *file = file_of(values, 32, 2, shape, MR_DTYPE_F32);
    struct mr_place same = {.change = MR_SAME};
    struct mr_recipe recipe;
    const struct {
        const char *name;
        size_t a, b, c;
        bool fits;
    } cases[] = {{"w", 4, 8, 0, true},
                 {"w", 1, 4, 8, true},
                 {"w", 4, 1, 8, true},
                 {"w", 8, 4, 0, false},
                 {"w", 32, 0, 0, false},
                 {"w", 4, 7, 0, false},
                 {"blocks.0.att.time_decay", 1, 1, 32, true}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mr_param p = parameter(cases[i].name, cases[i].a, cases[i].b, cases[i].c);
        if (cases[i].fits)
            assert_ok(mr_recipe_of(&recipe, file, 0, &same, &p));
        else
            assert_fails(MR_EFILE, "(4,8)", mr_recipe_of(&recipe, file, 0, &same, &p));
    }
    mr_tensor_file_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_and_rests_are_carried_over),
        cmocka_unit_test(test_transformed_tensors_are_known),
        cmocka_unit_test(test_readers_get_later_rules_too),
        cmocka_unit_test(test_layouts_name_all_parameters_once),
        cmocka_unit_test(test_matrices_come_out_transposed),
        cmocka_unit_test(test_exponentials_are_undone),
        cmocka_unit_test(test_limits_stay_finite),
        cmocka_unit_test(test_parts_are_cut_out),
        cmocka_unit_test(test_shapes_must_agree_but_for_ones),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, test_cleanup);
}
