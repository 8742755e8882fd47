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

/* Backward. With n, d the numerator and denominator that y is made of, at the exponent q, and A, B the gradients of a
 * and b after position t, at an exponent of their own:
 *     dk_t = e^(u-q)/d dy_t (v_t - y_t) + e^k_t (A v_t + B),   dv_t = e^(u-q)/d dy_t + e^k_t A
 *     before t:  A <- e^-fall A + e^-q dy_t/d,   B <- e^-fall B - e^-q dy_t y_t/d,   fall = e^decay
 * The gradient of fall is summed on the way forward, with the derivatives of a and b by it beside them.
 * k, v, y, dy [B,T,C], state [B,3,C] before the first position; dk and dv [B,T,C] and dstate [B,2,C] (of a and b) are
 * written, partial [B,2,C] gets the gradients of decay and first. dk and dv hold q and d in between. */
kernel void wkv4_backward(global const float *restrict k, global const float *restrict v,
                          global const float *restrict decay, global const float *restrict first,
                          global const float *restrict state, global const float *restrict y,
                          global const float *restrict dy, global float *restrict dk, global float *restrict dv,
                          global float *restrict dstate, global float *restrict partial, int B, int T, int C)
{
    for (int item = (int)get_global_id(0); item < B * VECTORS(C); item += (int)get_global_size(0)) {
        int b = item / VECTORS(C), c = item % VECTORS(C) * VEC, left = C - c;
        global const float *as = state + b * 3 * C + c;
        floatv fall = exp_of(load_some(decay + c, left)), bonus = load_some(first + c, left);
        floatv above = load_some(as, left), below = load_some(as + C, left);
        floatv start = below == 0.0f ? (floatv)-1e38f : load_some(as + 2 * C, left), power = start;
        floatv slope = 0.0f, slope_below = 0.0f, dfall = 0.0f, dbonus = 0.0f; /* d a / d fall, d b / d fall */
        for (int t = 0; t < T; t++) {
            int at = (b * T + t) * C + c;
            floatv key = load_some(k + at, left), value = load_some(v + at, left);
            floatv most = fmax(power, bonus + key), old = exp_of(power - most);
            floatv all = old * below + exp_of(bonus + key - most);
            dfall += load_some(dy + at, left) / all * old * (slope - load_some(y + at, left) * slope_below);
            store_some(most, dk + at, left);
            store_some(all, dv + at, left);
            most = fmax(power - fall, key);
            old = exp_of(power - fall - most);
            slope = old * (slope - above);
            slope_below = old * (slope_below - below);
            floatv own = exp_of(key - most);
            above = old * above + own * value;
            below = old * below + own;
            power = most;
        }
        floatv over = 0.0f, under = 0.0f, level = -1e38f; /* A and B at the exponent `level` */
        for (int t = T - 1; t >= 0; t--) {
            int at = (b * T + t) * C + c;
            floatv key = load_some(k + at, left), value = load_some(v + at, left), mean = load_some(y + at, left);
            floatv most = load_some(dk + at, left), d = load_some(dy + at, left) / load_some(dv + at, left);
            floatv own = exp_of(bonus + key - most) * d, later = exp_of(key + level);
            dbonus += own * (value - mean);
            store_some(own * (value - mean) + later * (over * value + under), dk + at, left);
            store_some(own + later * over, dv + at, left);
            floatv next = fmax(level - fall, -most), old = exp_of(level - fall - next);
            d *= exp_of(-most - next);
            over = old * over + d;
            under = old * under - d * mean;
            level = next;
        }
        floatv scale = exp_of(start + level);
        store_some(scale * over, dstate + b * 2 * C + c, left);
        store_some(scale * under, dstate + (b * 2 + 1) * C + c, left);
        store_some(dfall * fall, partial + b * 2 * C + c, left);
        store_some(dbonus, partial + (b * 2 + 1) * C + c, left);
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
