/*
 * host/userfaultfd.c - whether post-copy can work here
 */
#include "host/userfaultfd.h"

#include "base/file.h"
#include "base/str.h"

bool userfaultfd_is_allowed(const RootUser *user)
{
        AUTO(Buf) text = { 0 };

        if (user->uid == 0)
                return true;
        /* a kernel without this switch never refuses */
        if (file_read("/proc/sys/vm/unprivileged_userfaultfd", 64, &text, NULL) < 0)
                return true;
        return str_starts(buf_text(&text), "1");
}
