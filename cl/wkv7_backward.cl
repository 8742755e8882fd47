/* SPDX-License-Identifier: GPL-3.0-or-later
 * Backward of the recurrence of RWKV-7 in chunks of CHUNK positions, from the last to the first. Per head and chunk, T
 * the state before it, indexed [key, value], rows its positions, w the decays, a = -kappa, b = removal:
 *     P_t = product of w from the middle row to t (its inverse above it),  e0 = 1 / P_-1,  eL = P_last
 *     A_t = a_t P_t-1,  R = r P,  K = k / P,  B = b / P
 *     AB, AK = A B', A K' below the diagonal;  RB, RK = R B', R K' up to it
 *     U = (1 - AB)^-1 (AK v + A e0 T),  y = RK v + RB U + R e0 T,  T after = eL (e0 T + K' v + B' U)
 * and their gradients, with D = eL d T after:
 *     Z = (1 - AB)^-T (RB' dy + B D),  dv = RK' dy + AK' Z + K D,  dT = e0 (D + R' dy + A' Z)
 *     dAB, dAK = Z U', Z v' below the diagonal;  dRB, dRK = dy U', dy v' up to it
 *     dA = dAB B + dAK K + Z (e0 T)',  dR = dRB B + dRK K + dy (e0 T)'
 *     dB = dAB' A + dRB' R + U D',     dK = dAK' A + dRK' R + v D'
 *     d log w_s = sum over t >= s of (R dR - K dK - B dB)_t + sum over t > s of (A dA)_t + T after . d T after
 * No power of w is divided by one that lies further away than half a chunk: at most e^(0.61 CHUNK / 2). N and CHUNK, a
 * multiple of ROWS, come with -D. */
#ifndef N
#define N 64
#define CHUNK 16
#endif
#define WIDTH N
#define PANEL 16
#include "tile.cl"

#define L CHUNK
#define MIDDLE (L / 2)
#define W ROUND_UP(N, VEC) /* floats of a row; zeros beyond N */
#if LANES == 1
#define ROWS (L % 8 ? 4 : 8) /* of a lane's tile, which is a vector wide */
#define SHARED
#define FULL_BARRIER()
#else
#define ROWS 4
#define SHARED local
/* Local and global memory: of two barriers in a row PoCL 3.1 makes wrong code. */
#define FULL_BARRIER() barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#endif
#define FOR_TILE_OF(row, col, rows)                                                                   \
    for (int tile_ = LANE, row, col; row = tile_ / VECTORS(N) * ROWS, col = tile_ % VECTORS(N) * VEC, \
             tile_ < ((rows) + ROWS - 1) / ROWS * VECTORS(N);                                         \
         tile_ += LANES)
#define FOR_T(r) _Pragma("unroll") for (int r = 0; r < ROWS; r++)

/* sum[r] += left * right for i from..to-1: a number that may use i and r, a vector that may use i */
#define ADD_PRODUCT(sum, from, to, left, right)   \
    for (int i = (from); i < (to); i++) {         \
        floatv right_ = (right);                  \
        FOR_T(r) sum[r] += (floatv)(left)*right_; \
    }

struct chunk {
    SHARED float *a, *r, *k, *b, *u, *z, *v, *dy; /* [L,W] */
    SHARED float *ab, *ak, *rb, *rk;              /* [L,L], and then their gradients */
    SHARED float *first, *last;                   /* e0, eL [W] */
    SHARED float *ends;                           /* [L/ROWS + 1,W]: parts of T after . d T after */
};

/* A product of decays, of 1 + change each. It is kept as it is and less 1: the one keeps the digits of what is close to
 * 0, the other those of what is close to 1. */
struct power {
    floatv all, less;
};

INLINE floatv take_in(struct power *p, floatv change)
{
    p->all = fma(p->all, change, p->all);
    p->less = p->less + fma(p->less, change, change);
    return select(p->all, 1.0f + p->less, p->less > -0.5f);
}

/* P of a vector of columns into p [L,W], with *first = e0; the rows from count on decay no more. */
INLINE void powers(global const float *change, int count, int stride, int left, SHARED float *p, floatv *first)
{
    struct power product = {1.0f, 0.0f};
    floatv last = 1.0f;
    for (int t = MIDDLE; t >= 0; t--) {
        vstorev(1.0f / last, 0, p + t * W);
        last = take_in(&product, t < count ? LOAD(change + t * stride, left) : 0.0f);
    }
    *first = last;
    product.all = 1.0f;
    product.less = 0.0f;
    for (int t = MIDDLE + 1; t < L; t++)
        vstorev(take_in(&product, t < count ? LOAD(change + t * stride, left) : 0.0f), 0, p + t * W);
}

/* The dot products of rows x1, x2 with rows y1, y2: of earlier ones, x2 of the same too */
INLINE void dots(SHARED const float *x1, SHARED const float *x2, SHARED const float *y1, SHARED const float *y2,
                 SHARED float *x1y1, SHARED float *x1y2, SHARED float *x2y1, SHARED float *x2y2)
{
    FOR_LANE(at, L * L) {
        int t = at / L, s = at % L;
        floatv a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
        if (s <= t) {
#pragma unroll
            for (int i = 0; i < W; i += VEC) {
                floatv u1 = vloadv(0, x1 + t * W + i), u2 = vloadv(0, x2 + t * W + i);
                floatv v1 = vloadv(0, y1 + s * W + i), v2 = vloadv(0, y2 + s * W + i);
                a += u1 * v1;
                b += u1 * v2;
                c += u2 * v1;
                d += u2 * v2;
            }
        }
        x1y1[at] = s < t ? sum_of_vector(a) : 0.0f;
        x1y2[at] = s < t ? sum_of_vector(b) : 0.0f;
        x2y1[at] = sum_of_vector(c);
        x2y2[at] = sum_of_vector(d);
    }
}

/* to [N,W] = the transpose of from [N,N], zeros beyond */
INLINE void turn(global const float *from, global float *to)
{
    FOR_LANE(at, VECTORS(N) * VECTORS(N)) {
        int i = at / VECTORS(N) * VEC, j = at % VECTORS(N) * VEC;
        floatv block[VEC];
#pragma unroll
        for (int e = 0; e < VEC; e++)
            block[e] = i + e < N ? LOAD(from + (i + e) * N + j, N - j) : 0.0f;
        transpose(block);
#pragma unroll
        for (int e = 0; e < VEC; e++)
            if (j + e < N)
                vstorev(block[e], 0, to + (j + e) * W + i);
    }
}

/* ---- the steps of a chunk ------------------------------------------------------------------------------------- */

struct positions { /* of a chunk: pointers to its first, `count` of them, rows stride apart */
    global const float *r, *change, *k, *v, *kappa, *removal, *dy;
    int count, stride;
};

INLINE void load_chunk(struct positions in, struct chunk c)
{
    for (int j = LANE * VEC; j < N; j += LANES * VEC) {
        floatv first;
        powers(in.change + j, in.count, in.stride, N - j, c.u + j, &first);
        vstorev(first, 0, c.first + j);
        vstorev(vloadv(0, c.u + (L - 1) * W + j), 0, c.last + j);
        floatv before = 1.0f / first;
        for (int t = 0; t < L; t++) {
            int at = t * in.stride + j, to = t * W + j, there = t < in.count;
            floatv p = vloadv(0, c.u + to);
            vstorev(there ? -before * LOAD(in.kappa + at, N - j) : 0.0f, 0, c.a + to);
            vstorev(there ? p * LOAD(in.r + at, N - j) : 0.0f, 0, c.r + to);
            vstorev(there ? LOAD(in.k + at, N - j) / p : 0.0f, 0, c.k + to);
            vstorev(there ? LOAD(in.removal + at, N - j) / p : 0.0f, 0, c.b + to);
            vstorev(there ? LOAD(in.v + at, N - j) : 0.0f, 0, c.v + to);
            vstorev(there ? LOAD(in.dy + at, N - j) : 0.0f, 0, c.dy + to);
            before = p;
        }
    }
}

/* U and Z: both triangular systems */
INLINE void solve(struct chunk c, global const float *T, global const float *dT)
{
    FOR_TILE_OF(row, j, L)
    {
        floatv u[ROWS], z[ROWS];
        FOR_T(r) u[r] = z[r] = 0.0f;
        ADD_PRODUCT(u, 0, row + ROWS, c.ak[(row + r) * L + i], vloadv(0, c.v + i * W + j))
        ADD_PRODUCT(u, 0, N, c.a[(row + r) * W + i], c.first[i] * LOAD(T + i * N + j, N - j))
        ADD_PRODUCT(z, row, L, c.rb[i * L + row + r], vloadv(0, c.dy + i * W + j))
        ADD_PRODUCT(z, 0, N, c.b[(row + r) * W + i], c.last[i] * LOAD(dT + i * N + j, N - j))
        FOR_T(r)
        {
            vstorev(u[r], 0, c.u + (row + r) * W + j);
            vstorev(z[r], 0, c.z + (row + r) * W + j);
        }
    }
    BARRIER();
    for (int j = LANE * VEC; j < N; j += LANES * VEC) {
        for (int t = 1; t < L; t++) {
            floatv u = vloadv(0, c.u + t * W + j), z = vloadv(0, c.z + (L - 1 - t) * W + j);
            for (int s = 0; s < t; s++) {
                u += c.ab[t * L + s] * vloadv(0, c.u + s * W + j);
                z += c.ab[(L - 1 - s) * L + L - 1 - t] * vloadv(0, c.z + (L - 1 - s) * W + j);
            }
            vstorev(u, 0, c.u + t * W + j);
            vstorev(z, 0, c.z + (L - 1 - t) * W + j);
        }
    }
    BARRIER();
}

INLINE void value_gradients(struct chunk c, global const float *dT, global float *dv, int count, int stride)
{
    FOR_TILE_OF(row, j, L)
    {
        floatv sum[ROWS];
        FOR_T(r) sum[r] = 0.0f;
        ADD_PRODUCT(sum, row, L, c.rk[i * L + row + r], vloadv(0, c.dy + i * W + j))
        ADD_PRODUCT(sum, row, L, c.ak[i * L + row + r], vloadv(0, c.z + i * W + j))
        ADD_PRODUCT(sum, 0, N, c.k[(row + r) * W + i], c.last[i] * LOAD(dT + i * N + j, N - j))
        FOR_T(r) if (row + r < count)
        {
            int at = (row + r) * stride + j;
            STORE(LOAD(dv + at, N - j) + sum[r], dv + at, N - j);
        }
    }
}

/* dA and dR into g [4,L,W], with T turned */
INLINE void left_gradients(struct chunk c, global const float *turned, global float *g)
{
    FOR_TILE_OF(row, j, L)
    {
        floatv a[ROWS], r_[ROWS], e = vloadv(0, c.first + j);
        FOR_T(r) a[r] = r_[r] = 0.0f;
        for (int i = 0; i < N; i++) {
            floatv right = vloadv(0, turned + i * W + j);
            FOR_T(r)
            {
                a[r] += c.z[(row + r) * W + i] * right;
                r_[r] += c.dy[(row + r) * W + i] * right;
            }
        }
        FOR_T(r)
        {
            a[r] *= e;
            r_[r] *= e;
        }
        for (int i = 0; i < row + ROWS; i++) {
            floatv b = vloadv(0, c.b + i * W + j), k = vloadv(0, c.k + i * W + j);
            FOR_T(r)
            {
                int at = (row + r) * L + i;
                a[r] += c.ab[at] * b + c.ak[at] * k;
                r_[r] += c.rb[at] * b + c.rk[at] * k;
            }
        }
        FOR_T(r)
        {
            vstorev(a[r], 0, g + (row + r) * W + j);
            vstorev(r_[r], 0, g + (L + row + r) * W + j);
        }
    }
}

/* dB and dK into g, with d T after turned; each tile leaves its part of K (v D') + B (U D') in ends */
INLINE void right_gradients(struct chunk c, global const float *turned, global float *g)
{
    FOR_TILE_OF(row, j, L)
    {
        floatv b[ROWS], k[ROWS], e = vloadv(0, c.last + j), end = 0.0f;
        FOR_T(r) b[r] = k[r] = 0.0f;
        for (int i = 0; i < N; i++) {
            floatv right = vloadv(0, turned + i * W + j);
            FOR_T(r)
            {
                b[r] += c.u[(row + r) * W + i] * right;
                k[r] += c.v[(row + r) * W + i] * right;
            }
        }
        FOR_T(r)
        {
            b[r] *= e;
            k[r] *= e;
            end += b[r] * vloadv(0, c.b + (row + r) * W + j) + k[r] * vloadv(0, c.k + (row + r) * W + j);
        }
        vstorev(end, 0, c.ends + row / ROWS * W + j);
        for (int i = row; i < L; i++) {
            floatv a = vloadv(0, c.a + i * W + j), r_ = vloadv(0, c.r + i * W + j);
            FOR_T(r)
            {
                int at = i * L + row + r;
                b[r] += c.ab[at] * a + c.rb[at] * r_;
                k[r] += c.ak[at] * a + c.rk[at] * r_;
            }
        }
        FOR_T(r)
        {
            vstorev(b[r], 0, g + (2 * L + row + r) * W + j);
            vstorev(k[r], 0, g + (3 * L + row + r) * W + j);
        }
    }
}

/* e0 T . D per key into ends */
INLINE void end_of_state(struct chunk c, global const float *T, global const float *dT)
{
    FOR_LANE(i, N) {
        floatv sum = 0.0f;
        for (int j = 0; j < N; j += VEC)
            sum += LOAD(T + i * N + j, N - j) * LOAD(dT + i * N + j, N - j);
        c.ends[L / ROWS * W + i] = sum_of_vector(sum) * c.first[i] * c.last[i];
    }
}

INLINE void state_gradients(struct chunk c, global float *dT)
{
    FOR_TILE_OF(row, j, N)
    {
        floatv sum[ROWS];
        FOR_T(r)
        {
            int i = min(row + r, N - 1);
            sum[r] = c.last[i] * LOAD(dT + i * N + j, N - j);
        }
        for (int t = 0; t < L; t++) {
            floatv dy = vloadv(0, c.dy + t * W + j), z = vloadv(0, c.z + t * W + j);
            FOR_T(r)
            {
                int i = t * W + min(row + r, W - 1);
                sum[r] += c.r[i] * dy + c.a[i] * z;
            }
        }
        FOR_T(r) if (row + r < N) STORE(c.first[row + r] * sum[r], dT + (row + r) * N + j, N - j);
    }
}

struct gradients { /* of a chunk */
    global float *dr, *dchange, *dk, *dkappa, *dremoval;
};

/* From the gradients g of A, R, B and K to those of what they are made of */
INLINE void store_gradients(struct positions in, struct chunk c, global const float *g, struct gradients out)
{
    for (int j = LANE * VEC; j < N; j += LANES * VEC) {
        floatv first, sum = 0.0f;
        powers(in.change + j, in.count, in.stride, N - j, c.u + j, &first);
        for (int part = 0; part <= L / ROWS; part++)
            sum += vloadv(0, c.ends + part * W + j);
        for (int t = in.count - 1; t >= 0; t--) {
            int at = t * in.stride + j, from = t * W + j, left = N - j;
            floatv p = vloadv(0, c.u + from), inverse = 1.0f / p;
            floatv before = t ? vloadv(0, c.u + from - W) : 1.0f / first;
            floatv a = vloadv(0, g + from), r = vloadv(0, g + L * W + from);
            floatv b = vloadv(0, g + 2 * L * W + from), k = vloadv(0, g + 3 * L * W + from);
            sum += vloadv(0, c.r + from) * r - vloadv(0, c.k + from) * k - vloadv(0, c.b + from) * b;
            STORE(sum / (1.0f + LOAD(in.change + at, left)), out.dchange + at, left);
            sum += vloadv(0, c.a + from) * a;
            STORE(-before * a, out.dkappa + at, left);
            STORE(inverse * b, out.dremoval + at, left);
            STORE(LOAD(out.dr + at, left) + p * r, out.dr + at, left);
            STORE(LOAD(out.dk + at, left) + inverse * k, out.dk + at, left);
        }
    }
}

/* r, change, k, v, kappa, removal, dy [B,T,H*N] and kept [B*H,chunks,N,N], the states before the chunks. To dr, dk and
 * dv is added, dchange, dkappa and dremoval are written; dstate [B*H,N,N] goes from the end of the texts to their
 * start. scratch [B*H,(N + 4 CHUNK) W]. Groups: B*H. */
kernel void wkv7_backward(global const float *restrict r, global const float *restrict change,
                          global const float *restrict k, global const float *restrict v,
                          global const float *restrict kappa, global const float *restrict removal,
                          global const float *restrict kept, global const float *restrict dy, global float *restrict dr,
                          global float *restrict dchange, global float *restrict dk, global float *restrict dv,
                          global float *restrict dkappa, global float *restrict dremoval, global float *dstate,
                          global float *scratch, int time, int H)
{
    SHARED float rows[8 * L * W], squares[4 * L * L], ends[(L / ROWS + 1) * W], e0[W], eL[W];
    struct chunk c = {rows,
                      rows + L * W,
                      rows + 2 * L * W,
                      rows + 3 * L * W,
                      rows + 4 * L * W,
                      rows + 5 * L * W,
                      rows + 6 * L * W,
                      rows + 7 * L * W,
                      squares,
                      squares + L * L,
                      squares + 2 * L * L,
                      squares + 3 * L * L,
                      e0,
                      eL,
                      ends};
    int bh = (int)get_group_id(0), stride = H * N, base = bh / H * time * stride + bh % H * N;
    int chunks = (time + L - 1) / L;
    global float *dT = dstate + bh * (N * N), *turned = scratch + bh * ((N + 4 * L) * W), *g = turned + N * W;
    FOR_LANE(i, W)
        ends[L / ROWS * W + i] = 0.0f; /* what lies beyond N stays */
    for (int n = chunks - 1; n >= 0; n--) {
        int at = base + n * L * stride;
        global const float *T = kept + (bh * chunks + n) * (N * N);
        struct positions in = {r + at,  change + at,          k + at, v + at, kappa + at, removal + at,
                               dy + at, min(L, time - n * L), stride};
        struct gradients out = {dr + at, dchange + at, dk + at, dkappa + at, dremoval + at};
        load_chunk(in, c);
        BARRIER();
        dots(c.a, c.r, c.b, c.k, c.ab, c.ak, c.rb, c.rk);
        BARRIER();
        solve(c, T, dT);
        value_gradients(c, dT, dv + at, in.count, stride);
        turn(T, turned);
        BARRIER();
        dots(c.z, c.dy, c.u, c.v, c.ab, c.ak, c.rb, c.rk);
        FULL_BARRIER();
        left_gradients(c, turned, g);
        GLOBAL_BARRIER();
        turn(dT, turned);
        end_of_state(c, T, dT);
        GLOBAL_BARRIER();
        right_gradients(c, turned, g);
        state_gradients(c, dT);
        FULL_BARRIER();
        store_gradients(in, c, g, out);
        FULL_BARRIER();
    }
}
