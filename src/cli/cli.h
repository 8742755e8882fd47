/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the commands share: common options, the device, stopping, printing JSON. */
#ifndef MR_CLI_CLI_H
#define MR_CLI_CLI_H

#include <jansson.h>
#include <signal.h>

#include "base/error.h"
#include "cli/options.h"
#include "microrwkv/microrwkv.h"

/* The options of every command that runs on a device. */
struct mr_common {
    const char *device;
    bool json, profile;
};

#define MR_JSON_OPTION(common)                                                                                       \
    {                                                                                                                \
        "json", MR_OPTION_FLAG, &(common)->json, NULL, "print JSON, one object per line, and nothing else on stdout" \
    }
#define MR_DEVICE_OPTION(common)                                          \
    {                                                                     \
        "device", MR_OPTION_TEXT, &(common)->device, "D",                 \
            "an index, part of a name, gpu or cpu (default: the fastest)" \
    }
#define MR_PROFILE_OPTION(common)                                                                             \
    {                                                                                                         \
        "profile", MR_OPTION_FLAG, &(common)->profile, NULL, "print the time spent in each kernel at the end" \
    }
#define MR_PRECISION_HELP "hold weights as f32, f16, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0 (as in the file)"
#define MR_LORA_HELP "merges an adapter: .pth of RWKV-PEFT or folder of Hugging Face PEFT; S scales it (1)"
#define MR_COMMON_OPTIONS(common) MR_DEVICE_OPTION(common), MR_JSON_OPTION(common), MR_PROFILE_OPTION(common)

/* Opens the device that --device names, with the profile started if asked for. */
int mr_common_open(const struct mr_common *common, mr_runtime **rt);
/* Prints the profile to stderr if asked for, closes the device. NULL is fine. */
void mr_common_close(const struct mr_common *common, mr_runtime *rt);

/* From now on Ctrl-C, SIGTERM and SIGHUP set the flag that is returned; a second one ends the program at once. */
const volatile sig_atomic_t *mr_catch_signals(void);

/* Prints the object on one line on stdout and drops it; NULL is out of memory. */
int mr_print_json(json_t *object);
/* One command a file. argv[0] is the command's name; 0, MR_HELP_SHOWN or an error. */
typedef int mr_command(int argc, char **argv);
mr_command mr_command_devices, mr_command_prepare, mr_command_train, mr_command_eval, mr_command_generate,
    mr_command_logits, mr_command_grad, mr_command_info, mr_command_convert, mr_command_compare, mr_command_new,
    mr_command_tokenize, mr_command_detokenize, mr_command_bench, mr_command_tune;

#endif
