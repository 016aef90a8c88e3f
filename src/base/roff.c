/*
 * base/roff.c - text in a manual page
 */
#include "base/roff.h"

#include <stdbool.h>

void roff_put_text(Buf *to, const char *s)
{
        bool line_start = true;

        for (; *s; s++) {
                if (line_start && (*s == '.' || *s == '\''))
                        buf_put_text(to, "\\&");
                if (*s == '\\')
                        buf_put_text(to, "\\e");
                else if (*s == '-')
                        buf_put_text(to, "\\-");
                else
                        buf_put_char(to, *s);
                line_start = *s == '\n';
        }
}
