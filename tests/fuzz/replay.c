/*
 * tests/fuzz/replay.c - run a fuzz target over its corpus, without the fuzzer
 *
 * The main() of fuzz targets in builds that do not link libFuzzer. Takes
 * directories of inputs; having none to run is a failure, so that a corpus cannot
 * get lost unnoticed.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MOST_BYTES = 16 << 20 };

static int run_file(const char *path, Error *err)
{
        AUTO(Buf) input = { 0 };
        AUTOFREE uint8_t *exact = NULL;

        if (file_read(path, MOST_BYTES, &input, err) < 0)
                return -1;
        /* A block of exactly this size, so that the sanitizer sees a read behind its end. */
        exact = mem_dup(buf_text(&input), input.len);
        LLVMFuzzerTestOneInput(exact, input.len);
        return 1;
}

static int run_dir(const char *path, Error *err)
{
        struct dirent **entries;
        int n_entries = scandir(path, &entries, NULL, alphasort), n = 0;

        if (n_entries < 0)
                return err_errno(err, errno, "cannot read '%s'", path);
        for (int i = 0; i < n_entries; i++) {
                AUTOFREE char *file = str_format("%s/%s", path, entries[i]->d_name);

                if (n >= 0 && entries[i]->d_name[0] != '.')
                        n = run_file(file, err) < 0 ? -1 : n + 1;
                free(entries[i]);
        }
        free(entries);
        return n;
}

int main(int argc, char **argv)
{
        int total = 0;

        for (int i = 1; i < argc; i++) {
                AUTO(Error) err = { 0 };
                int n = run_dir(argv[i], &err);

                if (n < 0) {
                        fprintf(stderr, "%s\n", err.text);
                        return 1;
                }
                total += n;
        }
        fprintf(stderr, "%d inputs\n", total);
        return total > 0 ? 0 : 1;
}
