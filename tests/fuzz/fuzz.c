/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_ELEMENTS = 4096, PATH_SIZE = 512 };

_Noreturn void fuzz_broken(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: this does not hold: %s\nlast error: %s\n", file, line, condition, mr_error_text());
    abort();
}

/* ---- files
 * ------------------------------------------------------------------------------------------------------- */

static char folder[PATH_SIZE - 64];

static void remove_folder(void)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            unlink(fuzz_path(entry->d_name));
    if (dir)
        closedir(dir);
    rmdir(folder);
}

const char *fuzz_folder(void)
{
    if (!*folder) {
        const char *given = getenv("TMPDIR");
        const char *base = given ? given : access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
        snprintf(folder, sizeof folder, "%s/microrwkv-fuzz-XXXXXX", base);
        fuzz_must(mkdtemp(folder));
        atexit(remove_folder);
    }
    return folder;
}

const char *fuzz_path(const char *name)
{
    static char paths[4][PATH_SIZE];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(paths[turn], PATH_SIZE, "%s/%s", fuzz_folder(), name);
    return paths[turn];
}

const char *fuzz_file(const char *name, const void *bytes, size_t size)
{
    const char *path = fuzz_path(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_must(fd >= 0);
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)bytes + done, size - done);
        fuzz_must(n > 0 || errno == EINTR);
        done += n > 0 ? (size_t)n : 0;
    }
    fuzz_must(!close(fd));
    return path;
}

void fuzz_remove(const char *name)
{
    unlink(fuzz_path(name));
}

/* ---- inputs
 * ------------------------------------------------------------------------------------------------------ */

size_t fuzz_parts(const uint8_t *data, size_t size, struct fuzz_part *parts, size_t most)
{
    static const char line[] = "\n====\n";
    const size_t length = sizeof line - 1;
    size_t count = 0;
    memset(parts, 0, most * sizeof *parts);
    for (const uint8_t *end; count < most; count++) {
        end = count + 1 < most ? memmem(data, size, line, length) : NULL;
        parts[count] = (struct fuzz_part){data, end ? (size_t)(end - data) : size};
        if (!end)
            return count + 1;
        size -= parts[count].size + length;
        data = end + length;
    }
    return count;
}

const char *fuzz_part_file(const char *name, const struct fuzz_part *part)
{
    if (part->bytes)
        return fuzz_file(name, part->bytes, part->size);
    fuzz_remove(name);
    return fuzz_path(name);
}

char *fuzz_text(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1);
    fuzz_must(text);
    if (size)
        memcpy(text, bytes, size);
    text[size] = 0;
    return text;
}

/* ---- tensors
 * ----------------------------------------------------------------------------------------------------- */

/* Elements from..from+n-1 in all three ways. */
static int read_range(mr_tensor_file *file, size_t i, size_t from, size_t n)
{
    const struct mr_file_tensor *t = &file->tensors[i];
    size_t block = mr_dtype_block(t->dtype), width = mr_dtype_block_bytes(t->dtype);
    from -= from % block;
    uint8_t *raw = malloc(n / block * width + 1);
    float *floats = malloc((n + 1) * sizeof *floats);
    int32_t *integers = malloc((n + 1) * sizeof *integers);
    fuzz_must(raw && floats && integers);
    int err = mr_tensor_file_read(file, i, from / block * width, n / block * width, raw);
    if (!err)
        err = mr_tensor_file_read_f32(file, i, from, n, floats);
    if (!err && block == 1)
        mr_tensor_file_read_i32(file, i, from, n, integers); /* may be no integers: no matter */
    free(raw);
    free(floats);
    free(integers);
    return err;
}

int fuzz_read_tensors(mr_tensor_file *file)
{
    int err = 0;
    for (size_t i = 0; i < file->count && !err; i++) {
        size_t count, bytes;
        err = mr_file_tensor_size(&file->tensors[i], &count, &bytes);
        fuzz_must(!err && mr_tensor_file_find(file, file->tensors[i].name) == (int64_t)i);
        size_t n = count < MOST_ELEMENTS ? count : MOST_ELEMENTS;
        err = read_range(file, i, 0, n);
        if (!err && n < count)
            err = read_range(file, i, count - n, n);
        if (!err && n < count)
            err = read_range(file, i, (count - n) / 2, n);
    }
    mr_tensor_file_close(file);
    return err;
}

/* ---- with libFuzzer, and without
 * --------------------------------------------------------------------------------- */

static int run(const uint8_t *data, size_t size)
{
    int err = fuzz_one(data, size);
    fuzz_must(err <= 0);
    fuzz_must(!err || *mr_error_text());
    return err;
}

#ifdef MR_LIBFUZZER

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run(data, size);
    return 0;
}

#else

static int failed;

/* A copy of exactly its size, so that a sanitizer sees what is read beyond it. */
static void replay_file(const char *path, const char *name)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st)) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    uint8_t *data = malloc((size_t)st.st_size);
    size_t size = fread(data, 1, (size_t)st.st_size, f);
    fclose(f);
    int err = run(data, size);
    if (err && strncmp(name, "ok", 2) == 0) {
        fprintf(stderr, "%s must be accepted: %s\n", path, mr_error_text());
        failed = 1;
    }
    free(data);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* usage: FUZZER FOLDER|FILE… */
int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        struct dirent **entries;
        int n = scandir(argv[i], &entries, visible, alphasort);
        if (n < 0)
            replay_file(argv[i], strrchr(argv[i], '/') ? strrchr(argv[i], '/') + 1 : argv[i]);
        for (int k = 0; k < n; k++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], entries[k]->d_name);
            replay_file(path, entries[k]->d_name);
            free(entries[k]);
        }
        if (n >= 0)
            free(entries);
        count += n < 0 ? 1 : n;
    }
    if (!count)
        fprintf(stderr, "there are no seeds\n");
    return failed || !count;
}

#endif
