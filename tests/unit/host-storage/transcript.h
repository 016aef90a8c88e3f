#pragma once
/*
 * tests/unit/host-storage/transcript.h - programs of the host, played from a transcript
 *
 * Each command must come as it stands there, in that order, and is answered with its words and its status.
 */
#include "test.h"

#include "base/str.h"
#include "host/storage/backend.h"

typedef struct Played {
        const char *command, *says;
        int status;
} Played;

static const Played *transcript; /* ends with a command of NULL */

static int play(void *arg UNUSED, const char *const *argv, Buf *out, int *status, Error *err UNUSED)
{
        AUTO(Buf) line = { 0 };

        for (size_t i = 0; argv[i]; i++)
                buf_format(&line, "%s%s", i ? " " : "", argv[i]);
        if (!transcript->command)
                fail_msg("nothing was to be run any more, but: %s", buf_text(&line));
        CHECK_STR(buf_text(&line), transcript->command);
        if (out && transcript->says)
                buf_put_text(out, transcript->says);
        *status = transcript->status;
        transcript++;
        return 0;
}

static void begin(const Played *lines)
{
        transcript = lines;
        storage_set_runner(play, NULL);
}

static void all_was_run(void)
{
        if (transcript->command)
                fail_msg("this was not run: %s", transcript->command);
        storage_set_runner(NULL, NULL);
}

static PoolDef *pool_of(const char *xml)
{
        AUTO(Error) err = { 0 };
        PoolDef *def;

        if (pool_def_parse(xml, strlen(xml), 0, &def, NULL, &err) < 0)
                fail_msg("%s", err.text);
        return def;
}

static UNUSED VolumeDef *volume_of(const char *xml)
{
        AUTO(Error) err = { 0 };
        VolumeDef *def;

        if (volume_def_parse(xml, strlen(xml), 0, &def, NULL, &err) < 0)
                fail_msg("%s", err.text);
        return def;
}

/* "name path key capacity allocation" of each volume, a line each. */
static UNUSED void note_volume(void *arg, const VolumeDef *def)
{
        buf_format(arg, "%s %s %s %llu %llu\n", def->name, def->target.path, def->key,
                   (unsigned long long)def->capacity_bytes, (unsigned long long)def->allocation_bytes);
}

#define DONE                                                                                                         \
        {                                                                                                            \
                NULL, NULL, 0                                                                                        \
        }
#define MUST(call)                                                                                                   \
        do {                                                                                                         \
                if ((call) < 0)                                                                                      \
                        fail_msg("%s: %s", #call, err.text);                                                         \
        } while (0)
