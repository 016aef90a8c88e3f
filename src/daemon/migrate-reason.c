/*
 * daemon/migrate-reason.c - why a guest that was to come did not
 *
 * The source sees a stream that breaks, whatever QEMU here had against what was in it. A client that gives such a move up
 * says so to this host as well, and stock clients show their user what they are answered then.
 */
#include "daemon/migrate-reason.h"

#include "base/auto.h"
#include "base/log.h"
#include "base/str.h"

enum { MOST_KEPT = 16 };

static void forget(QemuDriver *qemu, size_t at)
{
        free(qemu->reasons.items[at].guest);
        free(qemu->reasons.items[at].text);
        vec_remove(&qemu->reasons, at);
}

/*
 * The line from which on it says what it has against the content; NULL: it has nothing. A stream that ends too early makes it say
 * all sorts of things; then the source knows more.
 */
static const char *find_objection(const char *words)
{
        static const char *const signs[] = {
                "Unknown savevm section", "Unknown ramblock",      "nknown section",
                "unsupported version",    "Unsupported migration", "Machine type received is",
                "Length mismatch",        "Size mismatch",         "unsupported. Allowed features",
        };

        if (!words || !strstr(words, "load of migration failed") || strstr(words, "Input/output error"))
                return NULL;
        for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
                const char *found = strstr(words, signs[i]);

                while (found && found > words && found[-1] != '\n')
                        found--;
                if (found)
                        return found;
        }
        return NULL;
}

void migrate_keep_reason(QemuDriver *qemu, const char *guest, const char *words)
{
        AUTOFREE char *old = migrate_take_reason(qemu, guest);
        char *text;

        words = find_objection(words);
        if (!words)
                return;
        if (qemu->reasons.len == MOST_KEPT)
                forget(qemu, 0);
        text = str_format("the destination's QEMU cannot take guest '%s': %s", guest, words);
        log_warning("%s", text);
        vec_push(&qemu->reasons, ((MigrateReason){ .guest = str_dup(guest), .text = text }));
}

char *migrate_take_reason(QemuDriver *qemu, const char *guest)
{
        for (size_t i = 0; i < qemu->reasons.len; i++) {
                if (str_eq(qemu->reasons.items[i].guest, guest)) {
                        char *text = TAKE(qemu->reasons.items[i].text);

                        forget(qemu, i);
                        return text;
                }
        }
        return NULL;
}

void migrate_forget_reasons(QemuDriver *qemu)
{
        while (qemu->reasons.len)
                forget(qemu, qemu->reasons.len - 1);
        vec_done(&qemu->reasons);
}
