/* SPDX-License-Identifier: GPL-3.0-or-later
 * bench limits: the ceiling that everything else is compared with. */
#include "base/json.h"
#include "bench/facts.h"
#include "bench/limits.h"
#include "cli/bench.h"

static int measure(mr_runtime *rt, const struct mr_bench_job *job, int (*put)(void *to, json_t *line), void *to)
{
    const double *seconds = job->what;
    const struct mr_device_info *device = mr_runtime_info(rt);
    struct mr_limits l;
    MR_TRY(mr_limits_measure(rt, *seconds, &l));
    json_t *line = mr_bench_line("limits", device);
    int err = mr_json_set(line, "gflops", json_real(l.gflops));
    if (!err)
        err = mr_json_set(line, "gb_per_s", json_real(l.gb_per_s));
    if (!err)
        err =
            mr_json_set(line, "opencl", json_pack("{sf sf}", "gflops", l.opencl_gflops, "gb_per_s", l.opencl_gb_per_s));
    if (!err)
        err = mr_json_set(line, "plain_c",
                          l.host_gflops > 0 ? json_pack("{sf sf}", "gflops", l.host_gflops, "gb_per_s", l.host_gb_per_s)
                                            : json_null());
    if (!err)
        err = mr_bench_facts(line, device, job->bench->command);
    if (!err)
        return put(to, line);
    json_decref(line);
    return err;
}

static void show(const json_t *line)
{
    double gflops = 0, bandwidth = 0;
    const char *name = json_string_value(json_object_get(line, "device"));
    const char *platform = json_string_value(json_object_get(line, "platform"));
    if (mr_json_number(line, "gflops", &gflops) < 0 || mr_json_number(line, "gb_per_s", &bandwidth) < 0)
        return;
    printf("%s (%s)\n  multiply-adds %10.1f GFLOPS\n  reading       %10.1f GB/s\n", name, platform, gflops, bandwidth);
    const char *const kinds[] = {"opencl", "plain_c"};
    for (int i = 0; i < 2; i++) {
        const json_t *part = json_object_get(line, kinds[i]);
        if (mr_json_number(part, "gflops", &gflops) == 0 && mr_json_number(part, "gb_per_s", &bandwidth) == 0)
            printf("  in %-11s%10.1f GFLOPS %8.1f GB/s\n", i ? "plain C" : "OpenCL", gflops, bandwidth);
    }
}

int mr_bench_limits(int argc, char **argv)
{
    struct mr_bench b = {.patience = 600, .show = show};
    struct mr_words words = {0};
    double seconds = 0.5;
    const struct mr_option options[] = {
        {"seconds", MR_OPTION_FLOAT, &seconds, "S", "how long each number is measured (0.5)"},
        MR_BENCH_OPTIONS(&b),
    };
    const struct mr_syntax syntax = {
        .name = "bench limits",
        .about =
            "Measures how many multiply-adds (32 bits) a device computes and how many bytes it reads in a second,\n"
            "by kernels that do nothing else. Where the device is the host's processor plain C is measured too, "
            "and the\nbetter of the two is the limit that other measurements are compared with.",
        .example = "microrwkv bench limits --devices all",
        .options = options,
        .option_count = MR_COUNT(options),
    };
    struct mr_bench_job job = {.kind = "limits", .measure = measure, .what = &seconds};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (err)
        goto end;
    if (seconds < 0 || seconds > 60)
        err = mr_fail(MR_EINVAL, "bench limits: --seconds must be between 0 and 60");
    if (!err) {
        err = mr_bench_begin(&b, argc, argv);
        err = mr_bench_end(&b, err ? err : mr_bench_on_devices(&b, &job));
    }
end:
    mr_words_free(&words);
    return err;
}
