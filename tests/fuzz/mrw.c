/* SPDX-License-Identifier: GPL-3.0-or-later
 * .mrw files: as they are, and again with the checksums made right, behind which no input comes by chance. */
#include "fuzz.h"

#include <zlib.h>

#include "io/mrw.h"

static int read_file(const void *bytes, size_t size)
{
    mr_tensor_file *file = NULL;
    int err = mr_mrw_open(&file, fuzz_file("a.mrw", bytes, size));
    return err ? err : fuzz_read_tensors(file);
}

static void put_crc(uint8_t *at, uint32_t crc)
{
    memcpy(at, &crc, sizeof crc);
}

/* The checksums of header, chunks and index, each where its place is in the file. */
static void mend(uint8_t *file, size_t size)
{
    uint32_t header, packed;
    uint64_t count;
    memcpy(&header, file + 12, 4);
    memcpy(&count, file + size - 16, 8);
    if (header > size - MR_MRW_START - MR_MRW_END - 4)
        return;
    put_crc(file + MR_MRW_START + header, (uint32_t)crc32_z(0, file, MR_MRW_START + header));
    size_t data = MR_MRW_START + (size_t)header + 4, room = size - MR_MRW_END - data;
    if (count > room / 8)
        return;
    uint8_t *index = file + size - MR_MRW_END - 8 * count;
    for (uint64_t c = 0; c < count; c++, data += packed) {
        memcpy(&packed, index + 8 * c, 4);
        if (packed > (size_t)(index - file) - data)
            break;
        put_crc(index + 8 * c + 4, (uint32_t)crc32_z(0, file + data, packed));
    }
    put_crc(file + size - 8, (uint32_t)crc32_z(crc32_z(0, index, 8 * count), file + size - 16, 8));
}

int fuzz_one(const uint8_t *data, size_t size)
{
    int err = read_file(data, size);
    if (!err || size < MR_MRW_START + 4 + MR_MRW_END)
        return err;
    uint8_t *copy = (uint8_t *)fuzz_text(data, size);
    mend(copy, size);
    err = read_file(copy, size);
    free(copy);
    return err;
}
