/*
 * app/drover-img/cmd-describe.c - the child that is shown a stranger's header
 *
 * The daemon runs this before it starts or moves a guest. The file is opened,
 * then everything else is given up: no file can be opened, memory and time are
 * limited. One line of JSON comes out. With --chain what lies below is followed
 * too, so files can still be opened, for reading.
 */
#include "app/drover-img/command.h"
#include "app/drover-img/describe-chain.h"

#include "base/json-write.h"
#include "base/str.h"
#include "img/confine.h"

#include <stdio.h>

enum { MEMORY_LIMIT = 256 << 20, CPU_SECONDS = 5 };

static void print(const ImageDescription *what)
{
        AUTO(JsonWriter) w = { 0 };

        json_open_object(&w, NULL);
        json_put_text(&w, "format", image_format_name(what->format));
        json_put_u64(&w, "version", what->version);
        json_put_u64(&w, "virtual-size", what->virtual_size);
        json_put_u64(&w, "cluster-size", what->cluster_size);
        json_put_text(&w, "backing-file", what->backing_file);
        json_put_text(&w, "backing-format", what->backing_format);
        json_open_array(&w, "data-files");
        for (size_t i = 0; i < what->data_files.len; i++)
                json_put_text(&w, NULL, what->data_files.items[i]);
        json_close_array(&w);
        json_put_bool(&w, "encrypted", what->encrypted);
        json_put_bool(&w, "dirty", what->dirty);
        json_put_bool(&w, "corrupt", what->corrupt);
        json_close_object(&w);
        puts(json_text(&w));
}

/* FORMAT FILENAME, as often as there are images: one line for each. */
static int run_chains(int n, char **words)
{
        AUTO(Error) err = { 0 };

        if (n == 0 || n % 2)
                return complain("describe --chain needs pairs of FORMAT and FILENAME");
        if (image_confine(
                    &(Confinement){ .may_open = true, .memory_bytes = MEMORY_LIMIT, .cpu_seconds = CPU_SECONDS },
                    &err) < 0)
                return complain_err(&err);
        for (int i = 0; i < n; i += 2) {
                AUTO(JsonWriter) w = { 0 };
                ImageFormat format;

                if (image_format_from_name(words[i], &format, &err) < 0)
                        return complain_err(&err);
                describe_chain(words[i + 1], format, &w);
                puts(json_text(&w));
        }
        return 0;
}

static int run(int argc, char **argv)
{
        static const struct option longs[] = { { "format", required_argument, NULL, 'f' },
                                               { "chain", no_argument, NULL, 'c' },
                                               { 0 } };
        const char *format_name = NULL;
        AUTO(ImageFile) *file = NULL;
        AUTO(ImageDescription) what = { 0 };
        AUTO(Error) err = { 0 };
        ImageFormat format;
        int c;

        while ((c = getopt_long(argc, argv, "f:", longs, NULL)) != -1) {
                if (c == 'c')
                        return run_chains(argc - optind, argv + optind);
                if (c != 'f')
                        return complain_usage("describe");
                format_name = optarg;
        }
        if (optind + 1 != argc || !format_name)
                return complain("describe needs -f FORMAT and one file name");
        if (image_format_from_name(format_name, &format, &err) < 0)
                return complain_err(&err);
        file = image_file_open(argv[optind], 0, &err);
        if (!file ||
            image_confine(&(Confinement){ .memory_bytes = MEMORY_LIMIT, .cpu_seconds = CPU_SECONDS }, &err) < 0 ||
            image_describe(file, format, &what, &err) < 0)
                return complain_err(&err);
        print(&what);
        return 0;
}

const Command cmd_describe = {
        .name = "describe",
        .args = "-f FORMAT FILENAME | --chain FORMAT FILENAME...",
        .summary = "Read a header in confinement and print it as JSON; --chain: and of all that is below it",
        .run = run,
};
