/*
 * qemu/guest-monitor.c - a monitor connection that was lost while QEMU lives, made again
 *
 * A process that does not answer still runs its guest: nothing is concluded from silence. The guest is
 * GUEST_LOST, calls fail with "not responding", and the monitor - whose socket QEMU keeps listening on - is
 * tried again until it answers or the process has ended.
 */
#include "base/log.h"
#include "qemu/guest-private.h"

enum { FIRST_RETRY_MS = 100, LONGEST_RETRY_MS = 5000 };

void guest_lose(Guest *guest, const Error *why)
{
        if (guest->state == GUEST_LOST)
                return;
        log_warning("guest '%s' (process %d) cannot be reached for now: %s", guest->name, guest_pid(guest),
                    why->text);
        guest_set_state(guest, GUEST_LOST, GUEST_CAUSE_UNKNOWN);
}

static void on_retry(void *arg)
{
        Guest *guest = arg;
        AUTO(Fd) fd = -1;
        AUTO(Error) err = { 0 };

        if (!guest->process || guest_process_has_ended(guest->process))
                return;
        if (guest_process_connect(guest->process, &fd, &err) < 0) {
                guest_lose(guest, &err);
                guest_retry(guest);
                return;
        }
        err_set(&err, ERR_OPERATION_FAILED, "the connection to its monitor broke and is made again");
        guest_lose(guest, &err);
        qmp_client_reopen(guest->qmp, fd_take(&fd));
        guest_ask_all(guest);
}

void guest_retry(Guest *guest)
{
        /* at its end QEMU closes the monitor first: the first attempt comes when that would be over */
        guest->retry_ms = guest->retry_ms ? MIN(guest->retry_ms * 2, (unsigned)LONGEST_RETRY_MS) : FIRST_RETRY_MS;
        if (guest->retry)
                timer_set(guest->retry, guest->retry_ms);
        else
                guest->retry = timer_new(guest->env->loop, guest->retry_ms, on_retry, guest);
}
