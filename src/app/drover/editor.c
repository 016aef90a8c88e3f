/*
 * app/drover/editor.c - run an editor and take what it wrote
 *
 * The variable may hold options too ("sed -i s/a/b/"), so a shell runs it; the
 * file's name is ours and needs no quoting. What the user typed is never lost
 * to an error: after a refusal the same text can be edited again.
 */
#include "app/drover/editor.h"

#include "app/drover/common.h"
#include "base/fd.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *editor_name(void)
{
        const char *name = getenv("VISUAL");

        if (!name || !*name)
                name = getenv("EDITOR");
        return name && *name ? name : "vi";
}

typedef struct Editing {
        const char *command;
        int status, errnum;
} Editing;

static void run_command(void *arg)
{
        Editing *editing = arg;

        editing->status = system(editing->command); /* NOLINT(cert-env33-c): $EDITOR is a shell command */
        editing->errnum = errno;
}

static int run_editor(Session *session, const char *path, Error *err)
{
        AUTOFREE char *command = str_format("%s %s", editor_name(), path);
        Editing editing = { .command = command };

        if (session_meanwhile(session, run_command, &editing, err) < 0)
                return -1;
        if (editing.status == -1)
                return err_errno(err, editing.errnum, "cannot run the editor '%s'", editor_name());
        if (!WIFEXITED(editing.status) || WEXITSTATUS(editing.status) != 0)
                return err_set(err, ERR_OPERATION_FAILED, "the editor '%s' ended with an error; nothing was changed",
                               editor_name());
        return 0;
}

int editor_run(Session *session, const char *text, const char *suffix, char **changed, Error *err)
{
        const char *dir = getenv("TMPDIR");
        AUTOFREE char *path = str_format("%s/droverXXXXXX%s", dir && *dir ? dir : "/tmp", suffix);
        AUTOFREE char *after = NULL;
        AUTO(Fd) fd = mkostemps(path, (int)strlen(suffix), O_CLOEXEC);
        int result;

        *changed = NULL;
        if (fd < 0)
                return err_errno(err, errno, "cannot make the temporary file '%s'", path);
        if (path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+")] != '\0') {
                unlink(path);
                return err_set(err, ERR_INVALID_ARG, "TMPDIR '%s' has characters that a shell would not take", dir);
        }
        result = fd_write_all(fd, text, strlen(text), err);
        if (result == 0)
                result = run_editor(session, path, err);
        if (result == 0) {
                after = read_text_file(path, err);
                result = after ? 0 : -1;
        }
        unlink(path);
        if (result == 0 && !str_eq(text, after))
                *changed = TAKE(after);
        return result;
}

/* After a refusal: 1 edit again, 0 give up. Without a terminal there is nobody to ask. */
static int ask_again(const Error *err)
{
        char answer[16];

        if (!isatty(STDIN_FILENO))
                return 0;
        session_tell_error(err);
        fprintf(stderr, "Failed. Try again? [y,n]: ");
        return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

EditResult edit(Session *session, const Edit *what, Error *err)
{
        const char *before = what->fetch(session, what->arg, err);
        AUTOFREE char *text = before ? str_dup(before) : NULL;

        if (!text)
                return EDIT_FAILED;
        while (true) {
                AUTOFREE char *changed = NULL;
                AUTO(Error) why = { 0 };
                const char *now;

                if (editor_run(session, text, what->suffix ?: ".xml", &changed, err) < 0)
                        return EDIT_FAILED;
                if (!changed && str_eq(text, before))
                        return EDIT_UNCHANGED;
                if (changed)
                        str_replace(&text, changed);
                now = what->fetch(session, what->arg, &why);
                if (now && !str_eq(now, before))
                        err_set(&why, ERR_OPERATION_INVALID,
                                "the XML configuration was changed by another user meanwhile");
                else if (now && what->apply(session, what->arg, text, &why) == 0)
                        return EDIT_APPLIED;
                if (!ask_again(&why)) {
                        err_move(err, &why);
                        return EDIT_FAILED;
                }
        }
}
