/* SPDX-License-Identifier: GPL-3.0-or-later
 * The two attentions of MicroRWKV's reference mode, as published: numbers are reinterpreted in other shapes,
 * and every position sees every other.
 *
 * Sliding: P is T rounded up to a multiple of 256, each head's P x N numbers (0 beyond T) are taken as 256
 * rows of P/256 * N. The rows that hold only padding are left out here: as queries nobody reads their
 * results, as keys they are logits of 0 with a value of 0, which softmax_forward counts unseen. The products
 * are GEMMs. */

/* heads[part,b,h,t], `at` floats from the start, = rows[b,t,part,h] for t < T, 0 for T <= t < length; N
 * floats each, part 0 times scale */
kernel void reference_sliding_gather(global const float *restrict rows, global float *restrict heads, int at, int B,
                                     int T, int length, int H, int N, int parts, float scale)
{
    heads += at;
    FOR_ROWS(row, B * length) {
        int b = row / length, t = row % length;
        for (int j = 0; j < parts * H; j++) {
            int part = j / H, h = j % H;
            global const float *from = rows + ((b * T + t) * parts * H + j) * N;
            global float *to = heads + (((part * B + b) * H + h) * length + t) * N;
            FOR_LANE_VECTORS(i, N) {
                floatv v = t < T ? load_some(from + i, N - i) : (floatv)0.0f;
                store_some(part ? v : v * scale, to + i, N - i);
            }
        }
    }
}

/* The way back: rows[b,t,part,h] = heads[part,b,h,t], part 0 times scale */
kernel void reference_sliding_scatter(global const float *restrict heads, global float *restrict rows, int at, int B,
                                      int T, int length, int H, int N, int parts, float scale)
{
    heads += at;
    FOR_ROWS(row, B * T) {
        int b = row / T, t = row % T;
        for (int j = 0; j < parts * H; j++) {
            int part = j / H, h = j % H;
            global const float *from = heads + (((part * B + b) * H + h) * length + t) * N;
            global float *to = rows + (row * parts * H + j) * N;
            FOR_LANE_VECTORS(i, N) {
                floatv v = load_some(from + i, N - i);
                store_some(part ? v : v * scale, to + i, N - i);
            }
        }
    }
}

/* Grouped: rows of qkvw are 4C floats; piece (a,g) is the columns a*C + g*C/4 .. + C/4, a, g < 4. For each a
 * and batch item b, block a*B + b, the pieces g = 0, 1, 2, 3 of its T rows are q, k, v, w; each, T x C/4, is
 * taken as H x T x d. At each t the H vectors of d attend to each other; the result times w, flat over
 * (block, h, t), is y, flat over (B,T,C). C = 4*H*d. */

/* What lanes wrote, all see. Alone, a work-item does better without. */
#if LANES == 1
#define MEET
#else
#define MEET barrier(CLK_GLOBAL_MEM_FENCE | CLK_LOCAL_MEM_FENCE)
#endif

/* Where the vectors (h,t) of piece 0 lie, from the block's first piece on; those of piece g lie g*H*d
 * further. */
static inline void places(local int *at, int t, int T, int H, int d)
{
    FOR_LANE(h, H) {
        int vector = h * T + t;
        at[h] = vector / H * 16 * H * d + vector % H * d;
    }
}

#define HEADS 256 /* at most; ops/reference_attention.c knows it too */

static inline float4 load4(global const float *p, int n)
{
    if (n >= 4)
        return vload4(0, p);
    return (float4)(p[0], n > 1 ? p[1] : 0.0f, n > 2 ? p[2] : 0.0f, 0.0f);
}

static inline void store4(float4 v, global float *p, int n)
{
    if (n >= 4) {
        vstore4(v, 0, p);
        return;
    }
    p[0] = v.x;
    if (n > 1)
        p[1] = v.y;
    if (n > 2)
        p[2] = v.z;
}

/* y [B,T,C] from qkvw; kept [4B,T,H,H]: the probabilities */
kernel void reference_grouped_forward(global const float *restrict qkvw, global float *restrict kept,
                                      global float *restrict y, int B, int T, int H, int d, float scale)
{
    local int at[HEADS];
    int quads = (d + 3) / 4;
    FOR_ROWS(row, 4 * B * T) {
        int block = row / T, t = row % T;
        global const float *from = qkvw + (block % B * T * 4 + block / B) * 4 * H * d;
        global float *p = kept + row * H * H;
        places(at, t, T, H, d);
        MEET;
        FOR_LANE(ij, H * H) {
            global const float *q = from + at[ij / H], *k = from + at[ij % H] + H * d;
            float4 sum = 0.0f;
            for (int c = 0; c < d; c += 4)
                sum += load4(q + c, d - c) * load4(k + c, d - c);
            p[ij] = scale * ((sum.x + sum.z) + (sum.y + sum.w));
        }
        MEET;
        FOR_LANE(i, H) {
            float top = p[i * H];
            for (int j = 1; j < H; j++)
                top = fmax(top, p[i * H + j]);
            for (int j = 0; j < H; j++)
                p[i * H + j] -= top;
        }
        MEET;
        FOR_LANE_VECTORS(i, H * H)
            store_some(exp(load_some(p + i, H * H - i)), p + i, H * H - i);
        MEET;
        FOR_LANE(i, H) {
            float sum = 0.0f;
            for (int j = 0; j < H; j++)
                sum += p[i * H + j];
            for (int j = 0; j < H; j++)
                p[i * H + j] /= sum;
        }
        MEET;
        FOR_LANE(x, H * quads) {
            int i = x / quads, c = x % quads * 4, n = d - c;
            float4 sum = 0.0f;
            for (int j = 0; j < H; j++)
                sum += p[i * H + j] * load4(from + at[j] + 2 * H * d + c, n);
            sum *= load4(from + at[i] + 3 * H * d + c, n);
            store4(sum, y + ((block * H + i) * T + t) * d + c, n);
        }
        MEET; /* before `at` changes */
    }
}

/* All columns of dqkvw from dy; ds [4B,T,H,H] is work space. */
kernel void reference_grouped_backward(global const float *restrict qkvw, global const float *restrict kept,
                                       global const float *restrict dy, global float *restrict ds,
                                       global float *restrict dqkvw, int B, int T, int H, int d, float scale)
{
    local int at[HEADS];
    int quads = (d + 3) / 4;
    FOR_ROWS(row, 4 * B * T) {
        int block = row / T, t = row % T, start = (block % B * T * 4 + block / B) * 4 * H * d;
        global const float *from = qkvw + start, *p = kept + row * H * H, *g = dy + (block * H * T + t) * d;
        global float *to = dqkvw + start, *s = ds + row * H * H;
        places(at, t, T, H, d);
        MEET;
        /* the gradient of p_ij is (dy_i w_i) . v_j; vector i of dy lies at g + i * T * d */
        FOR_LANE(ij, H * H) {
            int i = ij / H;
            global const float *w = from + at[i] + 3 * H * d, *v = from + at[ij % H] + 2 * H * d;
            float4 sum = 0.0f;
            for (int c = 0; c < d; c += 4)
                sum += load4(g + i * T * d + c, d - c) * load4(w + c, d - c) * load4(v + c, d - c);
            s[ij] = (sum.x + sum.z) + (sum.y + sum.w);
        }
        MEET;
        FOR_LANE(i, H) {
            float dot = 0.0f;
            for (int j = 0; j < H; j++)
                dot += p[i * H + j] * s[i * H + j];
            for (int j = 0; j < H; j++)
                s[i * H + j] = scale * p[i * H + j] * (s[i * H + j] - dot);
        }
        MEET;
        FOR_LANE(x, H * quads) {
            int i = x / quads, c = x % quads * 4, n = d - c;
            float4 dq = 0.0f, dk = 0.0f, dv = 0.0f, out = 0.0f;
            for (int j = 0; j < H; j++) {
                global const float *q = from + at[j] + c, *u = g + j * T * d + c;
                dq += s[i * H + j] * load4(q + H * d, n);
                dk += s[j * H + i] * load4(q, n);
                dv += p[j * H + i] * load4(u, n) * load4(q + 3 * H * d, n);
                out += p[i * H + j] * load4(q + 2 * H * d, n);
            }
            global float *q = to + at[i] + c;
            store4(dq, q, n);
            store4(dk, q + H * d, n);
            store4(dv, q + 2 * H * d, n);
            store4(out * load4(g + i * T * d + c, n), q + 3 * H * d, n);
        }
        MEET; /* before `at` changes */
    }
}
