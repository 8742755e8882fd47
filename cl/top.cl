/* SPDX-License-Identifier: GPL-3.0-or-later
 * The k largest of n numbers with their places, for R rows, a group each. A number's key is an integer that orders as
 * the numbers do; what is no number comes before all others. Numbers fall into SETS sets by their place; at least k of
 * them reach the k-th largest of the sets' largest keys, and few more than k: these are sorted. Where too many do, as
 * among equal numbers, the k-th largest key itself is searched for. */
#define SETS 2048 /* at least the largest k */
#define ENTRIES 2048

static inline intv keys_of(floatv x)
{
    intv bits = as_intv(x + 0.0f); /* -0 becomes 0 */
    return select(bits ^ (bits >> 31 & INT_MAX), (intv)INT_MAX, (bits & INT_MAX) > 0x7f800000);
}

static inline int key_of(float x)
{
    int bits = as_int(x + 0.0f);
    return (bits & INT_MAX) > 0x7f800000 ? INT_MAX : bits ^ (bits >> 31 & INT_MAX);
}

/* Larger for a larger key, and of equal keys for the lower place. */
static inline ulong entry_of(int key, int place)
{
    return upsample((uint)key ^ 0x80000000u, ~(uint)place);
}

static inline void wait(void)
{
#if LANES > 1
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
}

/* sets[s] = the largest key of the places s, s + SETS, ...; beyond n stands that of -INFINITY */
static void fill_sets(global const float *x, int n, local int *sets)
{
    FOR_LANE_VECTORS(s, SETS)
        vstorev((intv)INT_MIN, 0, sets + s);
    for (int from = 0; from < n; from += SETS)
        FOR_LANE_VECTORS(s, SETS) {
            int left = n - from - s;
            if (left > 0)
                vstorev(max(vloadv(0, sets + s), keys_of(load_or(x + from + s, left, -INFINITY))), 0, sets + s);
        }
}

/* How many keys are at least `least`: of the sets, or, where sets is NULL, of the numbers. */
static float count_from(int least, local const int *sets, global const float *x, int n, local float *room)
{
    floatv many = 0.0f;
    float one = 0.0f;
    if (sets) {
        FOR_LANE_VECTORS(s, SETS)
            many += select((floatv)0.0f, (floatv)1.0f, vloadv(0, sets + s) >= least);
        one = sum_of_vector(many);
    } else {
        FOR_LANE(i, n)
            one += key_of(x[i]) >= least ? 1.0f : 0.0f;
    }
    return row_sum(one, room);
}

/* The largest key that at least k reach. */
static int threshold(int k, local const int *sets, global const float *x, int n, local float *room)
{
    long low = INT_MIN, high = INT_MAX;
    while (low < high) {
        long middle = (low + high + 1) >> 1;
        if (count_from((int)middle, sets, x, n, room) >= (float)k)
            low = middle;
        else
            high = middle - 1;
    }
    return (int)low;
}

/* The entries of all numbers whose key is at least `least`, in any order; returns how many there are, of which
 * ENTRIES find room. */
static int collect(global const float *x, int n, int least, local ulong *entries, local int *found)
{
#if LANES == 1
    int count = 0;
    for (int i = 0; i < n; i += VEC) {
        if (!any(keys_of(load_or(x + i, n - i, -INFINITY)) >= least))
            continue;
        for (int e = i; e < min(i + VEC, n); e++)
            if (key_of(x[e]) >= least) {
                if (count < ENTRIES)
                    entries[count] = entry_of(key_of(x[e]), e);
                count++;
            }
    }
    return count;
#else
    wait();
    if (LANE == 0)
        *found = 0;
    wait();
    FOR_LANE(i, n) {
        int key = key_of(x[i]);
        if (key >= least) {
            int at = atomic_inc(found);
            if (at < ENTRIES)
                entries[at] = entry_of(key, i);
        }
    }
    wait();
    return *found;
#endif
}

/* The same for exactly k numbers: those above the k-th largest key, and of those that equal it the first ones. */
static void collect_exactly(global const float *x, int n, int k, local ulong *entries, local float *room)
{
    int least = threshold(k, 0, x, n, room);
    int equal = k - (least < INT_MAX ? (int)count_from(least + 1, 0, x, n, room) : 0);
    if (LANE == 0) {
        int count = 0;
        for (int i = 0; i < n && count < k; i++) {
            int key = key_of(x[i]);
            if (key > least || (key == least && equal-- > 0))
                entries[count++] = entry_of(key, i);
        }
    }
}

/* Sorts by falling size; `size` is a power of two. */
static void sort(local ulong *entries, int size)
{
    for (int run = 2; run <= size; run *= 2)
        for (int step = run / 2; step > 0; step /= 2) {
            wait();
            FOR_LANE(t, size / 2) {
                int i = 2 * t - (t & (step - 1)), j = i + step;
                ulong a = entries[i], b = entries[j];
                int swap = (a < b) == ((i & run) == 0);
                entries[i] = swap ? b : a;
                entries[j] = swap ? a : b;
            }
        }
    wait();
}

/* x [R,n]; values, places [R,k] by falling value, equal ones by place; k at most SETS and n */
kernel void top_step(global const float *restrict x, global float *restrict values, global int *restrict places, int R,
                     int n, int k)
{
    local int sets[SETS], found;
    local ulong entries[ENTRIES];
    local float room[LANES];
    FOR_ROWS(row, R) {
        global const float *from = x + row * n;
        wait();
        fill_sets(from, n, sets);
        wait();
        int count = collect(from, n, threshold(k, sets, from, n, room), entries, &found), size = 1;
        if (count > ENTRIES || count < k) {
            collect_exactly(from, n, k, entries, room);
            count = k;
        }
        while (size < count)
            size *= 2;
        wait();
        FOR_LANE(i, size)
            if (i >= count)
                entries[i] = 0;
        sort(entries, size);
        FOR_LANE(i, k) {
            int place = (int)~(uint)entries[i];
            places[row * k + i] = place;
            values[row * k + i] = from[place];
        }
    }
}
