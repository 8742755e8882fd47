/* SPDX-License-Identifier: GPL-3.0-or-later
 * Small matrix products inside a group, for kernels that include this file after they defined PANEL, 16 or 32, and
 * WIDTH, the floats of a row of all that they load and store: the lanes share a product of some rows by PANEL columns,
 * each lane takes register tiles of TILE_ROWS rows by TILE_VECS vectors in turn. The right operand lies in local memory
 * as a panel, rows of PANEL_STRIDE floats. */
#if LANES == 1
#define TILE_ROWS (VEC == 16 ? 8 : 4)
#define TILE_VECS (PANEL > VEC ? 2 : 1)
#define BARRIER()
#define GLOBAL_BARRIER()
#else
#define TILE_ROWS 4
#define TILE_VECS 1
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define GLOBAL_BARRIER() barrier(CLK_GLOBAL_MEM_FENCE) /* after it, lanes see what others wrote to global memory */
#endif
#ifndef PANEL_STRIDE
#define PANEL_STRIDE (PANEL + (LANES > 1 ? 4 : 0)) /* spreads the rows over the memory banks */
#endif

/* Larger functions must be inlined by this word: left to itself, LLVM 15 in PoCL 3.1 crashes over some of them. */
#define INLINE static inline __attribute__((always_inline))

/* The first n floats of a row's vector (n > 0); a row of whole vectors has no last part. */
#if WIDTH % VEC
#define LOAD(p, n) load_some(p, n)
#define STORE(v, p, n) store_some(v, p, n)
#else
#define LOAD(p, n) vloadv(0, p)
#define STORE(v, p, n) vstorev(v, 0, p)
#endif

#define ROUND_UP(n, to) (((n) + (to)-1) / (to) * (to))

/* for (the tiles of this lane: rows first, first + TILE_ROWS, ... below end; columns col of the panel). */
#define FOR_TILES(row, col, first, end)                                                                       \
    for (int tile_ = LANE, across_ = PANEL / (VEC * TILE_VECS), row, col;                                     \
         row = (first) + tile_ / across_ * TILE_ROWS, col = tile_ % across_ * (VEC * TILE_VECS), row < (end); \
         tile_ += LANES)

#define FOR_TILE_ROWS(r) _Pragma("unroll") for (int r = 0; r < TILE_ROWS; r++)
#define FOR_TILE_VECS(c) _Pragma("unroll") for (int c = 0; c < TILE_VECS; c++)
#define FOR_TILE(r, c) \
    FOR_TILE_ROWS(r)   \
        FOR_TILE_VECS(c)

#define TILE_ZERO(sum)    \
    FOR_TILE_ROWS(r_)     \
        FOR_TILE_VECS(c_) \
    sum[r_][c_] = 0.0f

/* sum[r][c] += left * (vector c at right), for ti from..to-1; left, a number of row tr, and right may use ti; left may
 * use tr. */
#define TILE_PRODUCT(sum, from, to, left, right)   \
    for (int ti = (from); ti < (to); ti++) {       \
        floatv right_[TILE_VECS];                  \
        FOR_TILE_VECS(c_)                          \
            right_[c_] = vloadv(c_, (right));      \
        FOR_TILE_ROWS(tr) {                        \
            float left_ = (left);                  \
            FOR_TILE_VECS(c_)                      \
                sum[tr][c_] += left_ * right_[c_]; \
        }                                          \
    }

/* panel[pr][0..PANEL) = scale * the first `columns` floats at `row`, for pr below count; both may use pr. Zeros stand
 * for the further columns and for the rows from `rows` on. */
#define PACK_ROWS(panel, count, rows, columns, row, scale)                 \
    for (int at_ = LANE; at_ < (count) * (PANEL / VEC); at_ += LANES) {    \
        int pr = at_ / (PANEL / VEC), column_ = at_ % (PANEL / VEC) * VEC; \
        floatv v_ = 0.0f;                                                  \
        if (pr < (rows) && column_ < (columns))                            \
            v_ = (scale)*LOAD((row) + column_, (columns)-column_);         \
        vstorev(v_, 0, (panel) + pr * PANEL_STRIDE + column_);             \
    }

/* panel[i][pr] = float i at `row`, for pr below PANEL and i below depth rounded up to VEC; zeros as above. */
#define PACK_TRANSPOSED(panel, rows, depth, row)                                  \
    for (int at_ = LANE; at_ < (PANEL / VEC) * VECTORS(depth); at_ += LANES) {    \
        int first_ = at_ / VECTORS(depth) * VEC, i_ = at_ % VECTORS(depth) * VEC; \
        floatv block_[VEC];                                                       \
        _Pragma("unroll") for (int e_ = 0; e_ < VEC; e_++)                        \
        {                                                                         \
            int pr = first_ + e_;                                                 \
            block_[e_] = 0.0f;                                                    \
            if (pr < (rows))                                                      \
                block_[e_] = LOAD((row) + i_, (depth)-i_);                        \
        }                                                                         \
        transpose(block_);                                                        \
        _Pragma("unroll") for (int e_ = 0; e_ < VEC; e_++)                        \
            vstorev(block_[e_], 0, (panel) + (i_ + e_) * PANEL_STRIDE + first_);  \
    }

/* The first `depth` floats at `row` = scale * panel[i][pr], for pr below `rows`: a vector, for the columns column_ on.
 */
#define UNPACK_TRANSPOSED(panel, rows, depth, row, scale)                          \
    for (int at_ = LANE; at_ < (PANEL / VEC) * VECTORS(depth); at_ += LANES) {     \
        int column_ = at_ / VECTORS(depth) * VEC, i_ = at_ % VECTORS(depth) * VEC; \
        floatv block_[VEC], scale_ = (scale);                                      \
        _Pragma("unroll") for (int e_ = 0; e_ < VEC; e_++) block_[e_] =            \
            scale_ * vloadv(0, (panel) + (i_ + e_) * PANEL_STRIDE + column_);      \
        transpose(block_);                                                         \
        _Pragma("unroll") for (int e_ = 0; e_ < VEC; e_++)                         \
        {                                                                          \
            int pr = column_ + e_;                                                 \
            if (pr < (rows))                                                       \
                STORE(block_[e_], (row) + i_, (depth)-i_);                         \
        }                                                                          \
    }

/* from, from + 1, ... as floats. */
static inline floatv counting(int from)
{
#if VEC == 16
    return (floatv)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) + (float)from;
#elif VEC == 8
    return (floatv)(0, 1, 2, 3, 4, 5, 6, 7) + (float)from;
#else
    return (floatv)(0, 1, 2, 3) + (float)from;
#endif
}

#if VEC == 16
#define ZIP(a, b, h)                                                                                                 \
    (floatv)(a.h.s0, b.h.s0, a.h.s1, b.h.s1, a.h.s2, b.h.s2, a.h.s3, b.h.s3, a.h.s4, b.h.s4, a.h.s5, b.h.s5, a.h.s6, \
             b.h.s6, a.h.s7, b.h.s7)
#elif VEC == 8
#define ZIP(a, b, h) (floatv)(a.h.s0, b.h.s0, a.h.s1, b.h.s1, a.h.s2, b.h.s2, a.h.s3, b.h.s3)
#else
#define ZIP(a, b, h) (floatv)(a.h.s0, b.h.s0, a.h.s1, b.h.s1)
#endif

/* m[i][j] and m[j][i] change places: log2(VEC) rounds in which the two halves of the rows are zipped. */
INLINE void transpose(floatv m[VEC])
{
    floatv n[VEC];
#pragma unroll
    for (int round = 1; round < VEC; round *= 2) {
#pragma unroll
        for (int i = 0; i < VEC / 2; i++) {
            n[2 * i] = ZIP(m[i], m[i + VEC / 2], lo);
            n[2 * i + 1] = ZIP(m[i], m[i + VEC / 2], hi);
        }
#pragma unroll
        for (int i = 0; i < VEC; i++)
            m[i] = n[i];
    }
}
