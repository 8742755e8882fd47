/* SPDX-License-Identifier: GPL-3.0-or-later
 * microrwkv: finds the command, prints its error, ends with the exit status of that error. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"
#include "cli/cli.h"
#include "microrwkv/microrwkv.h"

static const struct {
    const char *name, *about;
    mr_command *run;
} commands[] = {
    {"devices", "list and verify OpenCL devices", mr_command_devices},
    {"prepare", "turn text, or generated stories, into training data", mr_command_prepare},
    {"tokenize", "turn text into token ids", mr_command_tokenize},
    {"detokenize", "turn token ids into text", mr_command_detokenize},
    {"train", "train a new model or continue a checkpoint", mr_command_train},
    {"eval", "measure a model's loss on prepared data", mr_command_eval},
    {"generate", "continue a prompt, or several at once, token by token", mr_command_generate},
    {"logits", "write the logits at every position of a text", mr_command_logits},
    {"grad", "write the loss and gradients of a batch", mr_command_grad},
    {"new", "write random weights of any family and size", mr_command_new},
    {"convert", "convert a model to another file format", mr_command_convert},
    {"compare", "say how far two models are apart", mr_command_compare},
    {"info", "show what a model file holds and the memory it needs", mr_command_info},
    {"bench", "measure models and kernels on any devices", mr_command_bench},
    {"tune", "find the fastest tiles of matrix products on a device", mr_command_tune},
};

static void print_log(void *verbose, enum mr_log_level level, const char *line)
{
    if (level == MR_LOG_DEBUG && !verbose)
        return;
    fprintf(stderr, "%s%s\n", level == MR_LOG_WARNING ? "microrwkv: warning: " : "", line);
}

static void print_help(void)
{
    puts("usage: microrwkv COMMAND [options]\n\n"
         "Language models with constant memory per token, trained and run on any OpenCL device.\n\n"
         "commands:");
    for (size_t i = 0; i < MR_COUNT(commands); i++)
        printf("  %-12s %s\n", commands[i].name, commands[i].about);
    puts("\nSee `microrwkv COMMAND --help` for each of them.\n\nexample:\n  microrwkv prepare book.txt --tokenizer "
         "char --out data/book\n  microrwkv train data/config/char.conf dataset=book out_dir=out/book\n  microrwkv "
         "generate out/book --prompt \"Once upon a time\"");
}

static int unknown_command(const char *name)
{
    const char *known[MR_COUNT(commands)];
    for (size_t i = 0; i < MR_COUNT(commands); i++)
        known[i] = commands[i].name;
    return mr_fail(MR_EINVAL, "unknown command \"%s\": did you mean %s? See `microrwkv --help`", name,
                   mr_nearest(name, known, MR_COUNT(commands)));
}

static int dispatch(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        print_help();
        return 0;
    }
    if (!strcmp(name, "--version")) {
        printf("microrwkv %s\n", mr_version());
        return 0;
    }
    if (!*name)
        return mr_fail(MR_EINVAL, "no command given: see `microrwkv --help`");
    for (size_t i = 0; i < MR_COUNT(commands); i++)
        if (!strcmp(name, commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    return unknown_command(name);
}

/* What is opened later must not take the place of a standard stream that was closed: a text would be written into it.
 * This way writing to it, or reading from it, just fails. */
static void keep_streams_apart(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
            _exit(1);
}

int main(int argc, char **argv)
{
    keep_streams_apart();
    mr_set_log(print_log, getenv("MICRORWKV_VERBOSE"));
    int result = dispatch(argc, argv);
    if ((fflush(stdout) || ferror(stdout)) && result >= 0)
        result = mr_fail(MR_EFILE, "cannot write to standard output: is its disk full?");
    return mr_exit_status(result);
}
