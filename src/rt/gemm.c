/* SPDX-License-Identifier: GPL-3.0-or-later
 * The door of all matrix products: checks, chooses, and is the only file that knows CLBlast. */
#include "rt/gemm.h"

#include <clblast_c.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rt/gemm_own.h"
#include "rt/internal.h"
#include "rt/products.h"

/* MICRORWKV_GEMM: 'o', 'c', or 0 for the table's choice. */
static int read_override(int *override)
{
    const char *wish = getenv("MICRORWKV_GEMM");
    if (wish && *wish && strcmp(wish, "own") && strcmp(wish, "clblast"))
        return mr_fail(MR_ENODEV, "MICRORWKV_GEMM: there is no provider '%s'; write own or clblast", wish);
    *override = wish ? wish[0] : 0;
    return 0;
}

int mr_gemm_open(mr_runtime *rt)
{
    const char *name;
    rt->gemm = mr_alloc(1, sizeof *rt->gemm);
    if (!rt->gemm)
        return MR_ENOMEM;
    MR_TRY(read_override(&rt->gemm->override));
    return mr_gemm_table_find(&rt->gemm->table, &rt->info, &name);
}

int mr_gemm_of_device(const struct mr_device_info *info, const char **provider, const char **table_name)
{
    struct mr_gemm_table table;
    int override;
    MR_TRY(read_override(&override));
    MR_TRY(mr_gemm_table_find(&table, info, table_name));
    bool clblast = override == 'c';
    for (int i = 0; i < table.count; i++)
        clblast = clblast || (table.rules[i].clblast && override != 'o');
    *provider = clblast ? "clblast" : "own";
    mr_gemm_table_free(&table);
    return 0;
}

void mr_gemm_close(mr_runtime *rt)
{
    if (!rt->gemm)
        return;
    mr_tensor_free(rt, &rt->gemm->scratch);
    mr_tensor_free(rt, &rt->gemm->widened);
    mr_gemm_table_free(&rt->gemm->table);
    free(rt->gemm);
    rt->gemm = NULL;
}

int mr_gemm_set_table(mr_runtime *rt, const char *name, const char *text)
{
    struct mr_gemm_table table;
    MR_TRY(mr_gemm_table_parse(&table, name, text, rt->info.vec));
    mr_gemm_table_free(&rt->gemm->table);
    rt->gemm->table = table;
    return 0;
}

const struct mr_gemm_table *mr_gemm_table_of(const mr_runtime *rt)
{
    return &rt->gemm->table;
}

uint64_t mr_gemm_table_hash(const mr_runtime *rt)
{
    return rt->gemm->table.hash ^ (uint64_t)rt->gemm->override << 56;
}

/* ---- checks -------------------------------------------------------------------------------------------- */

/* A stored matrix of the product: op, size, place. */
static int check_matrix(const char *name, int rows, int columns, int ld, size_t offset, size_t stride, int batch,
                        const mr_tensor *t)
{
    if (!t || !t->mem || t->dtype != MR_F32)
        return mr_fail(MR_EINVAL, "gemm: %s has no memory of floats", name);
    if (ld < columns)
        return mr_fail(MR_EINVAL, "gemm: %s is %d x %d, but its rows lie only %d apart", name, rows, columns, ld);
    size_t last = (size_t)(rows - 1) * (size_t)ld + (size_t)columns, apart;
    if (!mr_mul(stride, (size_t)(batch - 1), &apart) || !mr_add(last, apart, &last) || !mr_add(last, offset, &last) ||
        last > t->count)
        return mr_fail(MR_EINVAL, "gemm: %s, %d of %d x %d from element %zu on, does not fit a tensor of %zu", name,
                       batch, rows, columns, offset, t->count);
    return 0;
}

/* With leading dimensions and batch filled in. */
static int complete(const struct mr_gemm *given, struct mr_gemm *g)
{
    *g = *given;
    if (g->m < 1 || g->n < 1 || g->k < 1 || g->batch < 0)
        return mr_fail(MR_EINVAL, "gemm: %d x %d x %d, batch %d: sizes must be positive", g->m, g->n, g->k, g->batch);
    if (g->beta != 0 && g->beta != 1)
        return mr_fail(MR_EINVAL, "gemm: beta is %g; allowed are 0 and 1", (double)g->beta);
    g->lda = g->lda ? g->lda : g->trans_a ? g->m : g->k;
    g->ldb = g->ldb ? g->ldb : g->trans_b ? g->k : g->n;
    g->ldc = g->ldc ? g->ldc : g->n;
    g->batch = g->batch ? g->batch : 1;
    if (g->bias && !g->bias->mem)
        g->bias = NULL;
    if (g->bias && (g->bias->dtype != MR_F32 || g->bias->count < (size_t)g->n))
        return mr_fail(MR_EINVAL, "gemm: the bias holds %zu elements, %d columns need one each", g->bias->count, g->n);
    return 0;
}

static int check_weights(const struct mr_gemm *g, const mr_tensor *b)
{
    size_t n = (size_t)g->n, k = (size_t)g->k, together = k * MR_ROWS_TOGETHER;
    if (g->batch > 1 || g->ldb != (g->trans_b ? g->k : g->n))
        return mr_fail(MR_EINVAL, "gemm: B in %s must be a single tight matrix", mr_element_name(b->dtype));
    if (!g->trans_b && (n % mr_element_block(b->dtype) || b->count % n || g->offset_b || k * n > b->count))
        return mr_fail(MR_EINVAL, "gemm: B is not the first %d rows of %d of a tensor of %zu in %s", g->k, g->n,
                       b->count, mr_element_name(b->dtype));
    if (!g->trans_b)
        return 0;
    if (k % mr_element_block(b->dtype) || b->count % k || g->offset_b % together || g->offset_b + n * k > b->count)
        return mr_fail(MR_EINVAL, "gemm: B, %d rows of %d from element %zu on, is no part of a tensor of %zu in %s",
                       g->n, g->k, g->offset_b, b->count, mr_element_name(b->dtype));
    return 0;
}

static int check(const struct mr_gemm *g, const mr_tensor *a, const mr_tensor *b, const mr_tensor *c)
{
    MR_TRY(check_matrix("A", g->trans_a ? g->k : g->m, g->trans_a ? g->m : g->k, g->lda, g->offset_a, g->stride_a,
                        g->batch, a));
    if (mr_is_weights(g->format))
        MR_TRY(check_weights(g, b));
    else
        MR_TRY(check_matrix("B", g->trans_b ? g->n : g->k, g->trans_b ? g->k : g->n, g->ldb, g->offset_b, g->stride_b,
                            g->batch, b));
    return check_matrix("C", g->m, g->n, g->ldc, g->offset_c, g->stride_c, g->batch, c);
}

/* ---- CLBlast ------------------------------------------------------------------------------------------- */

/* CLBlast has no parameters for most CPUs and is several times slower with its defaults; these were found by
 * measurement on AVX-512 (opencl: 2 cores, 1024^3). Per device and process, before the first call. */
static bool prepare_clblast(mr_runtime *rt)
{
    static const char *names[] = {"GEMMK", "KREG", "KWG", "KWI", "MDIMA", "MDIMC", "MWG", "NDIMB",
                                  "NDIMC", "NWG",  "SA",  "SB",  "STRM",  "STRN",  "VWM", "VWN"};
    static const size_t values[] = {0, 1, 16, 2, 16, 8, 128, 32, 16, 128, 0, 0, 1, 1, 8, 4};
    static const char *indirect[] = {"XGEMM_MIN_INDIRECT_SIZE"};
    static const size_t least[] = {64};
    if (rt->gemm->ready || !rt->info.is_cpu || rt->info.is_gpu)
        return true;
    rt->gemm->ready = true;
    return CLBlastOverrideParameters(rt->device, "Xgemm", CLBlastPrecisionSingle, sizeof values / sizeof *values, names,
                                     values) == CLBlastSuccess &&
           CLBlastOverrideParameters(rt->device, "GemmRoutine", CLBlastPrecisionSingle, 1, indirect, least) ==
               CLBlastSuccess;
}

static CLBlastTranspose transposed(bool yes)
{
    return yes ? CLBlastTransposeYes : CLBlastTransposeNo;
}

static CLBlastStatusCode clblast_scratch(mr_runtime *rt, const struct mr_gemm *g, size_t *bytes)
{
    *bytes = 0;
    if (g->batch > 1)
        return CLBlastSuccess; /* the batched form allocates by itself */
    return CLBlastSGemmTempBufferSize(CLBlastLayoutRowMajor, transposed(g->trans_a), transposed(g->trans_b),
                                      (size_t)g->m, (size_t)g->n, (size_t)g->k, g->offset_a, (size_t)g->lda,
                                      g->offset_b, (size_t)g->ldb, g->offset_c, (size_t)g->ldc, &rt->queue, bytes);
}

static CLBlastStatusCode clblast_product(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *a,
                                         const mr_tensor *b, const mr_tensor *c, cl_event *event)
{
    size_t m = (size_t)g->m, n = (size_t)g->n, k = (size_t)g->k;
    size_t lda = (size_t)g->lda, ldb = (size_t)g->ldb, ldc = (size_t)g->ldc;
    CLBlastTranspose trans_a = transposed(g->trans_a), trans_b = transposed(g->trans_b);
    if (g->batch > 1)
        return CLBlastSgemmStridedBatched(CLBlastLayoutRowMajor, trans_a, trans_b, m, n, k, 1, a->mem, g->offset_a, lda,
                                          g->stride_a, b->mem, g->offset_b, ldb, g->stride_b, g->beta, c->mem,
                                          g->offset_c, ldc, g->stride_c, (size_t)g->batch, &rt->queue, event);
    return CLBlastSgemmWithTempBuffer(CLBlastLayoutRowMajor, trans_a, trans_b, m, n, k, 1, a->mem, g->offset_a, lda,
                                      b->mem, g->offset_b, ldb, g->beta, c->mem, g->offset_c, ldc, &rt->queue, event,
                                      rt->gemm->scratch.mem);
}

static int need_scratch(mr_runtime *rt, mr_tensor *scratch, size_t count)
{
    if (count <= scratch->count)
        return 0;
    mr_tensor_free(rt, scratch); /* OpenCL keeps it until the commands that use it are done */
    return mr_tensor_alloc(rt, scratch, MR_F32, count);
}

/* 1: done; 0: CLBlast cannot, nothing was changed; negative: failed. */
static int try_clblast(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *a, const mr_tensor *b,
                       const mr_tensor *c)
{
    size_t bytes = 0;
    cl_event event = NULL;
    CLBlastStatusCode status = CLBlastUnknownError;
    if (prepare_clblast(rt))
        status = clblast_scratch(rt, g, &bytes);
    if (status == CLBlastSuccess) {
        MR_TRY(need_scratch(rt, &rt->gemm->scratch, (bytes + 3) / 4));
        status = clblast_product(rt, g, a, b, c, mr_profile_slot(rt, &event));
    }
    if (status != CLBlastSuccess) {
        mr_log(MR_LOG_WARNING, "CLBlast fails on '%s' with status %d: its products are computed by our own kernels",
               rt->info.name, (int)status);
        rt->gemm->failed = true;
        return 0;
    }
    double m = g->m, n = g->n, k = g->k, batch = g->batch;
    mr_profile_note(rt, 4 * batch * (m * k + k * n + (g->beta != 0 ? 2 : 1) * m * n), 2 * batch * m * n * k);
    MR_TRY(mr_queued(rt, "gemm_clblast", event, -1));
    if (g->bias)
        MR_TRY(mr_gemm_add_bias(rt, g, c));
    return 1;
}

/* Weights that are widened at a time: rows of W, of which there are `all`, of `width` numbers. */
static int rows_at_a_time(int all, int width)
{
    enum { FLOATS = 1 << 23 };
    int rows = FLOATS / width / MR_ROWS_TOGETHER * MR_ROWS_TOGETHER;
    return rows < MR_ROWS_TOGETHER ? MR_ROWS_TOGETHER : rows < all ? rows : all;
}

static int widened_rows(const struct mr_gemm *g)
{
    return g->trans_b ? rows_at_a_time(g->n, g->k) : rows_at_a_time(g->k, g->n);
}

/* The same for B in a format of weights: some of its rows at a time become floats. */
static int try_clblast_widened(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *a, const mr_tensor *b,
                               const mr_tensor *c)
{
    int most = widened_rows(g);
    mr_tensor *widened = &rt->gemm->widened;
    MR_TRY(need_scratch(rt, widened, (size_t)most * (size_t)g->k));
    for (int j = 0; j < g->n; j += most) {
        struct mr_gemm part = *g;
        part.n = g->n - j < most ? g->n - j : most;
        part.bias = NULL;
        part.offset_b = 0;
        part.offset_c = g->offset_c + (size_t)j;
        MR_TRY(mr_gemm_widen(rt, b, g->k, g->offset_b / (size_t)g->k + (size_t)j, part.n, widened));
        int done = try_clblast(rt, &part, a, widened, c);
        if (done <= 0)
            return j > 0 && !done ? mr_fail(MR_EDEVICE, "gemm: CLBlast stops amid a product") : done;
    }
    if (g->bias)
        MR_TRY(mr_gemm_add_bias(rt, g, c));
    return 1;
}

/* C = A B with B in a format of weights: a sum over parts of B's rows, which become floats one after the other. */
static int sum_of_widened(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *a, const mr_tensor *b,
                          const mr_tensor *c)
{
    int most = widened_rows(g);
    mr_tensor *widened = &rt->gemm->widened;
    MR_TRY(need_scratch(rt, widened, (size_t)most * (size_t)g->n));
    for (int j = 0; j < g->k; j += most) {
        struct mr_gemm part = *g;
        part.k = g->k - j < most ? g->k - j : most;
        part.offset_a += (size_t)j * (size_t)(g->trans_a ? g->lda : 1);
        part.beta = j ? 1 : g->beta;
        part.bias = j ? NULL : g->bias;
        MR_TRY(mr_gemm_widen(rt, b, g->n, (size_t)j, part.k, widened));
        MR_TRY(mr_gemm(rt, &part, a, widened, c));
    }
    return 0;
}

/* ---- the door ------------------------------------------------------------------------------------------ */

/* Whether the product takes the kernels of cl/products.cl. */
static bool is_few_rows(const struct mr_gemm *g)
{
    return mr_is_weights(g->format) && g->trans_b && !g->trans_a && g->m <= MR_GEMM_ROWS;
}

static bool takes_clblast(const mr_runtime *rt, const struct mr_gemm *g, const struct mr_gemm_rule *rule)
{
    const struct mr_gemm_state *state = rt->gemm;
    return !state->failed && (mr_is_weights(g->format) || !mr_gemm_is_vectors(g)) && !is_few_rows(g) &&
           (state->override == 'c' || (rule->clblast && state->override != 'o'));
}

static int few_rows(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *a, const mr_tensor *b, const mr_tensor *c)
{
    struct mr_product p = {.x = a,
                           .w = b,
                           .bias = g->bias,
                           .y = c,
                           .add = g->beta != 0 ? c : NULL,
                           .offset_x = g->offset_a,
                           .offset_w = g->offset_b,
                           .offset_y = g->offset_c,
                           .offset_add = g->offset_c,
                           .ldx = g->lda,
                           .ldy = g->ldc,
                           .ld_add = g->ldc,
                           .n = g->n,
                           .k = g->k};
    return mr_products_launch(rt, &p, 1, g->m);
}

static int by_own(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *a, const mr_tensor *b, const mr_tensor *c)
{
    const struct mr_gemm_tiles *tiles = &mr_gemm_table_choose(&rt->gemm->table, g)->tiles;
    MR_TRY(need_scratch(rt, &rt->gemm->scratch, mr_gemm_own_scratch(rt, g, tiles)));
    return mr_gemm_own(rt, g, tiles, a, b, c, &rt->gemm->scratch);
}

int mr_gemm_by_own(mr_runtime *rt, const struct mr_gemm *given, const mr_tensor *a, const mr_tensor *b,
                   const mr_tensor *c)
{
    struct mr_gemm g;
    MR_TRY(complete(given, &g));
    g.format = b && b->mem ? b->dtype : MR_F32;
    MR_TRY(check(&g, a, b, c));
    if (mr_is_weights(g.format) && !g.trans_b)
        return sum_of_widened(rt, &g, a, b, c);
    return by_own(rt, &g, a, b, c);
}

int mr_gemm(mr_runtime *rt, const struct mr_gemm *given, const mr_tensor *a, const mr_tensor *b, const mr_tensor *c)
{
    struct mr_gemm g;
    MR_TRY(complete(given, &g));
    g.format = b && b->mem ? b->dtype : MR_F32;
    MR_TRY(check(&g, a, b, c));
    if (is_few_rows(&g))
        return few_rows(rt, &g, a, b, c);
    bool weights = mr_is_weights(g.format);
    if (weights && !g.trans_b)
        return sum_of_widened(rt, &g, a, b, c);
    if (!weights && mr_gemm_is_vectors(&g))
        return mr_gemm_vectors(rt, &g, a, b, c);
    const struct mr_gemm_rule *rule = mr_gemm_table_choose(&rt->gemm->table, &g);
    if (takes_clblast(rt, &g, rule)) {
        int done = weights ? try_clblast_widened(rt, &g, a, b, c) : try_clblast(rt, &g, a, b, c);
        if (done)
            return done < 0 ? done : 0;
    }
    return by_own(rt, &g, a, b, c);
}

/* Without a device: the project's own kernels on a middling CPU. */
static int scratch_of_none(const struct mr_gemm *g, size_t *bytes)
{
    struct mr_gemm_table table;
    const char *name;
    MR_TRY(mr_gemm_table_find(&table, NULL, &name));
    *bytes = mr_gemm_own_scratch(NULL, g, &mr_gemm_table_choose(&table, g)->tiles) * sizeof(float);
    mr_gemm_table_free(&table);
    return 0;
}

int mr_gemm_scratch(mr_runtime *rt, const struct mr_gemm *given, size_t *bytes)
{
    struct mr_gemm g;
    *bytes = 0;
    MR_TRY(complete(given, &g));
    bool weights = mr_is_weights(g.format);
    if (weights && !g.trans_b) {
        struct mr_gemm part = g;
        part.k = widened_rows(&g);
        part.format = MR_F32;
        MR_TRY(mr_gemm_scratch(rt, &part, bytes));
        *bytes += (size_t)part.k * (size_t)g.n * sizeof(float);
        return 0;
    }
    if (is_few_rows(&g) || (!weights && mr_gemm_is_vectors(&g)))
        return 0;
    if (!rt)
        return scratch_of_none(&g, bytes);
    const struct mr_gemm_rule *rule = mr_gemm_table_choose(&rt->gemm->table, &g);
    if (takes_clblast(rt, &g, rule) && prepare_clblast(rt)) {
        size_t widened = weights ? (size_t)widened_rows(&g) * (size_t)g.k * sizeof(float) : 0;
        if (weights)
            g.n = widened_rows(&g);
        if (clblast_scratch(rt, &g, bytes) == CLBlastSuccess) {
            *bytes += widened;
            return 0;
        }
    }
    *bytes = mr_gemm_own_scratch(rt, &g, &rule->tiles) * sizeof(float);
    return 0;
}

const char *mr_gemm_provider(mr_runtime *rt, const struct mr_gemm *given)
{
    struct mr_gemm g;
    if (complete(given, &g) < 0)
        return "own";
    return takes_clblast(rt, &g, mr_gemm_table_choose(&rt->gemm->table, &g)) ? "clblast" : "own";
}
