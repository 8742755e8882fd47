/* SPDX-License-Identifier: GPL-3.0-or-later
 * Backward of what surrounds the recurrence of RWKV-7 (wkv7_inputs and wkv7_output of wkv7.cl). Rows are [B*T,H*N]; a
 * group takes a share of the rows and, where work-items share a row, one head; N comes with -D. What belongs to a
 * vector over all rows is left as partial sums, one for each share. */
#ifndef N
#define N 64
#endif

#define FOR_HEADS(h, H) for (int h = (int)get_group_id(1); h < (H); h += (int)get_num_groups(1))
#define MINE ((VECTORS(N) + LANES - 1) / LANES) /* vectors of a lane */
#define FOR_MINE(j) _Pragma("unroll") for (int j = 0; j < MINE; j++)
#define AT(j) ((LANE + (j)*LANES) * VEC) /* the column of the lane's vector j; beyond N: nothing there */

#define SLOWEST -0.60653066f /* -e^-1/2: the logarithm of the fastest decay */

static inline void add_to(global float *p, int left, floatv v, int first)
{
    store_some(first ? v : load_some(p, left) + v, p, left);
}

/* With u = k k_k, kappa = u / |u|, rate = sigmoid(a):
 *     dkappa += dremoval rate,  du = (dkappa - kappa (kappa . dkappa)) / |u|, or dkappa / 1e-12 where |u| is smaller
 *     da = (dremoval . kappa + dkey k k_a) rate',  dk = dkey (1 + (rate - 1) k_a) + du k_k,  dw = dchange change'
 *     dv = dvalue (1 - s),  dv_first += dvalue s,  dshare = dvalue (v_first - v) s',  s = sigmoid(share)
 * and partial [shares,2,H*N] gets the sums of du k and dkey k (rate - 1). In place: dchange becomes dw, dremoval da,
 * dkey dk, dvalue dv. */
kernel void wkv7_inputs_backward(global const float *restrict w, global const float *restrict a,
                                 global const float *restrict k, global const float *restrict v,
                                 global const float *restrict v_first, global const float *restrict share,
                                 global const float *restrict k_k, global const float *restrict k_a,
                                 global float *restrict dchange, global float *restrict dremoval,
                                 global const float *restrict dkappa, global float *restrict dkey,
                                 global float *restrict dvalue, global float *restrict dshare,
                                 global float *restrict dv_first, global float *restrict partial, int R, int H)
{
    local float room[LANES];
    int first_row = 1;
    FOR_ROWS(row, R) {
        FOR_HEADS(h, H) {
            int at = (row * H + h) * N, c = h * N;
            global float *dk_k = partial + (int)get_group_id(0) * 2 * H * N + c, *dk_a = dk_k + H * N;
            floatv key[MINE], way[MINE], along[MINE], rate[MINE], squares = 0.0f, products = 0.0f;
            FOR_MINE(j) {
                int left = N - AT(j), i = at + AT(j);
                key[j] = load_some(k + i, left);
                way[j] = key[j] * load_some(k_k + c + AT(j), left);
                rate[j] = sigmoid_of(load_some(a + i, left));
                along[j] = load_some(dkappa + i, left) + load_some(dremoval + i, left) * rate[j];
                squares += way[j] * way[j];
            }
            float length = sqrt(row_sum(sum_of_vector(squares), room)), scale = 1.0f / fmax(length, 1e-12f);
            FOR_MINE(j) {
                way[j] /= fmax(length, 1e-12f);
                products += way[j] * along[j];
            }
            float product = row_sum(sum_of_vector(products), room);
            product = length > 1e-12f ? product : 0.0f;
            FOR_MINE(j) {
                int left = N - AT(j), i = at + AT(j);
                floatv du = (along[j] - way[j] * product) * scale, g = load_some(dkey + i, left);
                floatv mixes = load_some(k_a + c + AT(j), left), less = rate[j] - 1.0f;
                floatv drate = load_some(dremoval + i, left) * way[j] + g * key[j] * mixes;
                store_some(drate * rate[j] * (1.0f - rate[j]), dremoval + i, left);
                store_some(g + g * less * mixes + du * load_some(k_k + c + AT(j), left), dkey + i, left);
                add_to(dk_k + AT(j), left, du * key[j], first_row);
                add_to(dk_a + AT(j), left, g * key[j] * less, first_row);
                floatv s = sigmoid_of(load_some(w + i, left));
                store_some(load_some(dchange + i, left) * exp_of(SLOWEST * s) * SLOWEST * s * (1.0f - s), dchange + i,
                           left);
                if (v_first) {
                    s = sigmoid_of(load_some(share + i, left));
                    floatv d = load_some(dvalue + i, left), taken = d * s;
                    floatv apart = load_some(v_first + i, left) - load_some(v + i, left);
                    store_some(taken * (1.0f - s) * apart, dshare + i, left);
                    store_some(d - taken, dvalue + i, left);
                    store_some(load_some(dv_first + i, left) + taken, dv_first + i, left);
                }
            }
        }
        first_row = 0;
    }
}

/* Of y = (x + (r . k bonus) v) g: dx, dr, dk, dv and dg are written, partial [shares,H*N] gets the sums of d(r . k
 * bonus) r k. */
kernel void wkv7_output_backward(global const float *restrict r, global const float *restrict k,
                                 global const float *restrict v, global const float *restrict bonus,
                                 global const float *restrict g, global const float *restrict x,
                                 global const float *restrict dy, global float *restrict dr, global float *restrict dk,
                                 global float *restrict dv, global float *restrict dg, global float *restrict dx,
                                 global float *restrict partial, int R, int H)
{
    local float room[LANES];
    int first_row = 1;
    FOR_ROWS(row, R) {
        FOR_HEADS(h, H) {
            int at = (row * H + h) * N, c = h * N;
            global float *dbonus = partial + (int)get_group_id(0) * H * N + c;
            floatv in[MINE], key[MINE], value[MINE], d[MINE], sum = 0.0f, products = 0.0f;
            FOR_MINE(j) {
                int left = N - AT(j), i = at + AT(j);
                in[j] = load_some(r + i, left);
                key[j] = load_some(k + i, left);
                value[j] = load_some(v + i, left);
                d[j] = load_some(dy + i, left) * load_some(g + i, left);
                sum += in[j] * key[j] * load_some(bonus + c + AT(j), left);
                products += d[j] * value[j];
            }
            float again = row_sum(sum_of_vector(sum), room), dagain = row_sum(sum_of_vector(products), room);
            FOR_MINE(j) {
                int left = N - AT(j), i = at + AT(j);
                floatv weight = dagain * load_some(bonus + c + AT(j), left);
                store_some(d[j], dx + i, left);
                store_some(d[j] * again, dv + i, left);
                store_some(weight * key[j], dr + i, left);
                store_some(weight * in[j], dk + i, left);
                store_some(load_some(dy + i, left) * (load_some(x + i, left) + again * value[j]), dg + i, left);
                add_to(dbonus + AT(j), left, dagain * in[j] * key[j], first_row);
            }
        }
        first_row = 0;
    }
}
