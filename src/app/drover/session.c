/*
 * app/drover/session.c - the connection of a run of drover
 */
#include "app/drover/session.h"

#include "base/str.h"

#include <poll.h>
#include <unistd.h>

int session_reconnect(Session *session, const char *uri, bool readonly, Error *err UNUSED)
{
        str_replace(&session->uri, uri);
        session->readonly = readonly;
        return 0;
}

char **session_guest_names(Session *session UNUSED)
{
        return NULL;
}

int session_wait_for_input(void)
{
        struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

        return poll(&input, 1, 1000);
}

void session_done(Session *session)
{
        output_free(session->out);
        free(session->uri);
}
