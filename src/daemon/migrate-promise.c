/*
 * daemon/migrate-promise.c - the pause that was announced for a moving guest, or allowed, and the one that it was
 */
#include "daemon/migrate-promise.h"

static unsigned long long mib(uint64_t bytes)
{
        return (unsigned long long)bytes >> 20;
}

bool promise_explain(const Promise *p, uint64_t paused_ms, uint64_t sent, Buf *to)
{
        const char *how = p->allowed ? "allowed" : "announced";

        if (!p->pause_ms)
                return true;
        if (paused_ms <= p->pause_ms) {
                buf_format(to, ", at most %llu ms were %s", (unsigned long long)p->pause_ms, how);
                return true;
        }
        buf_format(to,
                   ", %llu ms longer than the %llu ms that were %s: ", (unsigned long long)(paused_ms - p->pause_ms),
                   (unsigned long long)p->pause_ms, how);
        if (!sent || !p->bytes_per_s)
                buf_put_text(to, "what was sent meanwhile is not known");
        else if (sent > p->left + p->left / 20)
                buf_format(to, "%llu MiB had to be sent and not %llu, because it wrote on until it stopped",
                           mib(sent), mib(p->left));
        else
                buf_format(to, "the other host took %llu MiB/s in the end and not %llu",
                           mib((uint64_t)((double)sent * 1000 / (double)paused_ms)), mib(p->bytes_per_s));
        return false;
}
