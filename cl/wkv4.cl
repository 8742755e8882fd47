/* SPDX-License-Identifier: GPL-3.0-or-later
 * The recurrence of RWKV-4. Per channel, a decaying mean of the values v weighted by e^k, the present position by
 * e^(first + k); numerator a and denominator b are kept relative to e^p, p their largest exponent so far:
 *     y_t = (e^(p-q) a + e^(u-q) v_t) / (e^(p-q) b + e^(u-q)),   u = first + k_t, q = max(p, u)
 *     q = max(p - e^decay, k_t):  a <- e^(p-e^decay-q) a + e^(k_t-q) v_t,  b likewise with 1 for v_t,  p <- q
 * k, v, y [B,T,C], decay, first [C], state [B,3,C] holds a, b, p; b = 0 (all zero): nothing was read yet.
 * Work-items take VEC channels of a text each, positions one after the other. */

kernel void wkv4_forward(global const float *restrict k, global const float *restrict v,
                         global const float *restrict decay, global const float *restrict first,
                         global float *restrict state, global float *restrict y, int B, int T, int C)
{
    for (int item = (int)get_global_id(0); item < B * VECTORS(C); item += (int)get_global_size(0)) {
        int b = item / VECTORS(C), c = item % VECTORS(C) * VEC, left = C - c;
        global float *as = state + b * 3 * C + c, *bs = as + C, *ps = bs + C;
        floatv fall = exp_of(load_some(decay + c, left)), bonus = load_some(first + c, left);
        floatv above = load_some(as, left), below = load_some(bs, left);
        floatv power = below == 0.0f ? (floatv)-1e38f : load_some(ps, left);
        for (int t = 0; t < T; t++) {
            int at = (b * T + t) * C + c;
            floatv key = load_some(k + at, left), value = load_some(v + at, left);
            floatv most = fmax(power, bonus + key), old = exp_of(power - most), own = exp_of(bonus + key - most);
            store_some((old * above + own * value) / (old * below + own), y + at, left);
            most = fmax(power - fall, key);
            old = exp_of(power - fall - most);
            own = exp_of(key - most);
            above = old * above + own * value;
            below = old * below + own;
            power = most;
        }
        store_some(above, as, left);
        store_some(below, bs, left);
        store_some(power, ps, left);
    }
}

/* One position of R rows, each with its own slot of the state [slots,stride], and the gate: y = sigmoid(r) wkv.
 * k, v, r, y [R,C], slots [R]. */
kernel void wkv4_step(global const float *restrict k, global const float *restrict v, global const float *restrict r,
                      global const float *restrict decay, global const float *restrict first,
                      global float *restrict state, global const int *restrict slots, global float *restrict y, int R,
                      int C, int stride)
{
    FOR_ITEMS(item, R * VECTORS(C)) {
        int row = item / VECTORS(C), c = item % VECTORS(C) * VEC, left = C - c, at = row * C + c;
        global float *as = state + slots[row] * stride + c, *bs = as + C, *ps = bs + C;
        floatv fall = exp_of(load_some(decay + c, left)), bonus = load_some(first + c, left);
        floatv above = load_some(as, left), below = load_some(bs, left);
        floatv power = below == 0.0f ? (floatv)-1e38f : load_some(ps, left);
        floatv key = load_some(k + at, left), value = load_some(v + at, left);
        floatv most = fmax(power, bonus + key), old = exp_of(power - most), own = exp_of(bonus + key - most);
        floatv wkv = (old * above + own * value) / (old * below + own);
        store_some(sigmoid_of(load_some(r + at, left)) * wkv, y + at, left);
        most = fmax(power - fall, key);
        old = exp_of(power - fall - most);
        own = exp_of(key - most);
        store_some(old * above + own * value, as, left);
        store_some(old * below + own, bs, left);
        store_some(most, ps, left);
    }
}
