/* SPDX-License-Identifier: GPL-3.0-or-later
 * Top-k routing: each of R rows (tokens) goes to the A experts of its largest scores. An assignment is
 * numbered row * A + slot. The routes, in one array of integers: choice [R*A]   the expert of each
 * assignment; slots by falling score, ties to the lower index source [R*A]   the assignments ordered by
 * expert, within an expert by number token  [R*A]   their rows, source / A first  [E+1]   where each expert's
 * part of source begins; the end of the last one counts [blocks,E] work space: assignments of each block of
 * rows to each expert, later where they go No sizes come back to the host: kernels that work on an expert's
 * rows read first themselves. */
#define EXPERTS 64 /* at most */
#define BLOCK 64   /* rows that a group routes; ops/mixture_topk.c knows it too */

struct routes {
    global int *choice, *source, *token, *first, *counts;
};

static inline struct routes routes_of(global int *base, int R, int E, int A)
{
    return (struct routes){base, base + R * A, base + 2 * R * A, base + 3 * R * A, base + 3 * R * A + E + 1};
}

/* The A largest of E scores by falling size, and their weights: the scores scaled to sum 1 (0 if they sum to
 * 0). Score and index make one number, unique in the row, whose high word orders as floats do (a NaN comes
 * first); so that whatever the scores are, A different experts are chosen. */
static void choose(global const float *scores, global int *choice, global float *weights, int E, int A)
{
    long last = LONG_MAX;
    float sum = 0.0f;
    for (int a = 0; a < A; a++) {
        long top = LONG_MIN;
        for (int e = 0; e < E; e++) {
            int bits = as_int(scores[e] + 0.0f); /* -0 becomes 0 */
            long key = upsample(bits ^ (bits >> 31 & INT_MAX), (uint)(E - e));
            key = key < last ? key : LONG_MIN;
            top = key > top ? key : top;
        }
        last = top;
        choice[a] = E - (int)(top & INT_MAX);
        weights[a] = scores[choice[a]];
        sum += weights[a];
    }
    /* divided, so that a single choice weighs exactly 1 and its gradient cancels */
    for (int a = 0; a < A; a++)
        weights[a] = sum > 0.0f ? weights[a] / sum : 0.0f;
}

/* Chooses for the rows of one block, counts its assignments and sums its scores per expert. */
static void choose_block(global const float *scores, struct routes t, global float *weights, global float *sums, int R,
                         int E, int A, int block)
{
    int begin = block * BLOCK, end = min(begin + BLOCK, R);
    for (int r = begin + LANE; r < end; r += LANES)
        choose(scores + r * E, t.choice + r * A, weights + r * A, E, A);
    barrier(CLK_GLOBAL_MEM_FENCE);
#if LANES == 1
    int count[EXPERTS];
    float sum[EXPERTS];
    for (int e = 0; e < E; e++) {
        count[e] = 0;
        sum[e] = 0.0f;
    }
    for (int i = begin * A; i < end * A; i++)
        count[t.choice[i]]++;
    for (int r = begin; r < end; r++)
        for (int e = 0; e < E; e++)
            sum[e] += scores[r * E + e];
    for (int e = 0; e < E; e++) {
        t.counts[block * E + e] = count[e];
        sums[block * E + e] = sum[e];
    }
#else
    FOR_LANE(e, E) {
        int count = 0;
        for (int i = begin * A; i < end * A; i++)
            count += t.choice[i] == e;
        t.counts[block * E + e] = count;
        float sum = 0.0f;
        for (int r = begin; r < end; r++)
            sum += scores[r * E + e];
        sums[block * E + e] = sum;
    }
#endif
}

/* first from counts; counts become where each block's assignments to an expert start; one group.
 * loss[0] += factor * the sum over e of (assignments to e) * (sum of the scores of e), unless loss is NULL */
static void scan(struct routes t, global const float *sums, global float *loss, float factor, int E, int blocks,
                 local int *load, local float *balance)
{
    FOR_LANE(e, E) {
        int count = 0;
        float sum = 0.0f;
        for (int b = 0; b < blocks; b++) {
            count += t.counts[b * E + e];
            sum += sums[b * E + e];
        }
        load[e] = count;
        balance[e] = (float)count * sum;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    FOR_LANE(e, E) {
        int at = 0;
        for (int i = 0; i < e; i++)
            at += load[i];
        t.first[e] = at;
        if (e == E - 1)
            t.first[E] = at + load[e];
        for (int b = 0; b < blocks; b++) {
            int count = t.counts[b * E + e];
            t.counts[b * E + e] = at;
            at += count;
        }
    }
    if (LANE == 0 && loss) {
        float sum = 0.0f;
        for (int e = 0; e < E; e++)
            sum += balance[e];
        loss[0] += factor * sum;
    }
}

/* Writes one block's assignments to their places; where lanes share the block, each walks all of it for its
 * experts. */
static void scatter(struct routes t, int R, int E, int A, int block)
{
    int begin = block * BLOCK * A, end = min((block + 1) * BLOCK, R) * A;
#if LANES == 1
    int at[EXPERTS];
    for (int e = 0; e < E; e++)
        at[e] = t.counts[block * E + e];
    for (int i = begin; i < end; i++) {
        int place = at[t.choice[i]]++;
        t.source[place] = i;
        t.token[place] = i / A;
    }
#else
    FOR_LANE(e, E) {
        int at = t.counts[block * E + e];
        for (int i = begin; i < end; i++) {
            if (t.choice[i] == e) {
                t.source[at] = i;
                t.token[at] = i / A;
                at++;
            }
        }
    }
#endif
}

/* scores [R,E] in, routes and weights [R,A] out, sums [blocks,E] out; one group per block */
kernel void topk_choose(global const float *restrict scores, global int *restrict routes,
                        global float *restrict weights, global float *restrict sums, int R, int E, int A)
{
    choose_block(scores, routes_of(routes, R, E, A), weights, sums, R, E, A, ROW);
}

kernel void topk_scan(global int *restrict routes, global const float *restrict sums, global float *restrict loss,
                      float factor, int R, int E, int A)
{
    local int load[EXPERTS];
    local float balance[EXPERTS];
    scan(routes_of(routes, R, E, A), sums, loss, factor, E, (R + BLOCK - 1) / BLOCK, load, balance);
}

kernel void topk_scatter(global int *restrict routes, int R, int E, int A)
{
    scatter(routes_of(routes, R, E, A), R, E, A, ROW);
}

/* All three for R <= BLOCK, in one group. */
kernel void topk_route(global const float *restrict scores, global int *restrict routes, global float *restrict weights,
                       global float *restrict sums, global float *restrict loss, float factor, int R, int E, int A)
{
    local int load[EXPERTS];
    local float balance[EXPERTS];
    struct routes t = routes_of(routes, R, E, A);
    choose_block(scores, t, weights, sums, R, E, A, 0);
    barrier(CLK_GLOBAL_MEM_FENCE);
    scan(t, sums, loss, factor, E, 1, load, balance);
    barrier(CLK_GLOBAL_MEM_FENCE);
    scatter(t, R, E, A, 0);
}

/* w_a = s_a / S, S the sum of the chosen s: ds_a = (dw_a - sum over b of w_b dw_b) / S; other experts 0; and
 * for the balance term factor * count_e everywhere. A work-item per row. */
kernel void topk_scores_backward(global const float *restrict scores, global const int *restrict routes,
                                 global const float *restrict weights, global const float *restrict dweights,
                                 global float *restrict dscores, float factor, int R, int E, int A)
{
    global const int *first = routes + 3 * R * A;
    FOR_ITEMS(r, R) {
        global const int *choice = routes + r * A;
        global const float *w = weights + r * A, *dw = dweights + r * A;
        global float *ds = dscores + r * E;
        float sum = 0.0f, dot = 0.0f;
        for (int a = 0; a < A; a++) {
            sum += scores[r * E + choice[a]];
            dot += w[a] * dw[a];
        }
        float scale = sum > 0.0f ? 1.0f / sum : 0.0f;
        for (int e = 0; e < E; e++)
            ds[e] = factor * (float)(first[e + 1] - first[e]);
        for (int a = 0; a < A; a++)
            ds[choice[a]] += (dw[a] - dot) * scale;
    }
}
