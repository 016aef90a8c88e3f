/*
 * app/drover-img/about.c - the manual page and the completion script, written from the commands
 */
#include "app/drover-img/about.h"

#include "app/drover-img/serve-options.h"
#include "base/roff.h"
#include "base/str.h"

#include <ctype.h>

static void put_serve_options(Buf *to)
{
        for (size_t i = 0; i < SERVE_ROWS; i++) {
                const ServeRow *row = &serve_rows[i];

                buf_put_text(to, ".TP\n.B ");
                if (row->letter < SERVE_FORK)
                        buf_format(to, "\\-%c, ", row->letter);
                buf_put_text(to, "\\-\\-");
                roff_put_text(to, row->name);
                if (row->value) {
                        buf_put_text(to, "=\\fI");
                        roff_put_text(to, row->value);
                        buf_put_text(to, "\\fR");
                }
                buf_put_char(to, '\n');
                roff_put_text(to, row->help);
                buf_put_text(to, ".\n");
        }
}

static void put_formats(Buf *to)
{
        for (ImageFormat f = 0; f < IMAGE_FORMAT_COUNT; f++)
                buf_format(to, "%s%s", f ? " " : "", image_format_name(f));
}

static const struct {
        const char *name, *help;
} usual_options[] = {
        { "-f FMT, -O FMT, -F FMT",
          "The format of the image, of the one that is made, of the backing file or second image. Without -f it "
          "is guessed: never let that happen to an image that a guest has written." },
        { "-o NAME=VALUE,...", "What a new image shall be like; -o help lists what the format takes." },
        { "-p, -q", "Show how far it is (SIGUSR1 asks for it once); print nothing but errors." },
        { "-t CACHE, -T CACHE", "The cache mode of what is written, and of what is read." },
        { "-U", "Share an image that another process has locked; what it shows may change meanwhile." },
        { "--object TYPE,id=ID,...",
          "A secret or TLS credentials, also as an object of JSON; --object help lists the types." },
        { "--image-opts", "The names are options: driver=qcow2,file.filename=PATH,encrypt.key-secret=ID, or "
                          "driver=raw,offset=N,size=N,file.filename=PATH for a part of a file." },
        { "--output=human|json", "For people, or as qemu-img's JSON." },
        { "--untrusted",
          "Refuse an image that names other files or a server, before any of them is opened. What looks at an image's own "
          "tables only (check, snapshot, amend, bitmap) leaves its backing file alone." },
};

void about_man_page(Buf *to)
{
        buf_put_text(to, ".TH DROVER\\-IMG 1 \"\" \"drover " DROVER_VERSION "\" \"drover manual\"\n"
                         ".SH NAME\ndrover\\-img \\- make, convert, check, change and serve disk images\n"
                         ".SH SYNOPSIS\n.B drover\\-img\n.I command\n[options] image...\n"
                         ".SH DESCRIPTION\n");
        roff_put_text(
                to,
                "Takes the commands, options and exit statuses of qemu-img, and as serve those of qemu-nbd. An image is "
                "named by a file, by an export of an NBD server (nbd://, nbds://, nbd+unix://, nbds+unix://), by image "
                "options (with --image-opts) or as json:{...}. fat:DIRECTORY is a directory as a FAT disk.\n");
        buf_put_text(to, "The formats are ");
        put_formats(to);
        buf_put_text(to, ".\n.SH COMMANDS\n");
        for (const Command *const *each = commands; *each; each++) {
                buf_format(to, ".SS %s\n.B drover\\-img %s\n", (*each)->name, (*each)->name);
                roff_put_text(to, (*each)->args);
                buf_put_text(to, "\n.PP\n");
                roff_put_text(to, (*each)->summary);
                buf_put_text(to, ".\n");
                if (str_eq((*each)->name, "serve"))
                        put_serve_options(to);
        }
        buf_put_text(to, ".SH OPTIONS OF MOST COMMANDS\n");
        for (size_t i = 0; i < ARRAY_LEN(usual_options); i++) {
                buf_put_text(to, ".TP\n.B ");
                roff_put_text(to, usual_options[i].name);
                buf_put_char(to, '\n');
                roff_put_text(to, usual_options[i].help);
                buf_put_char(to, '\n');
        }
        buf_put_text(to, ".SH CACHE MODES\n");
        roff_put_text(
                to,
                "-t takes none, writeback, writethrough, directsync and unsafe; writeback is usual, and for convert unsafe, as "
                "with qemu-img. A new image gets its name when it is whole, whatever the mode: an error, a full disk or a "
                "signal leaves what stood there before. But for unsafe it is on the disk by then, and so is its name when "
                "the command ends. After convert without -t a power failure within the next seconds may leave an image that "
                "is cut short or empty: say -t writeback where that matters. A symbolic link that is named as a target "
                "stays, and the image stands where it leads.\n");
        buf_put_text(to, ".SH EXIT STATUS\n");
        roff_put_text(
                to,
                "0 when it was done, 1 when not, with the reason on standard error. check: 1 it could not be checked, 2 the "
                "image has errors, 3 it has leaked clusters only, 63 its format cannot be checked. compare: 0 the same, "
                "1 different, 2 a file could not be opened or read.\n");
}

/* The long and short options that an argument text names, each once. */
static void put_options_of(Buf *to, const char *args)
{
        for (const char *at = args; *at; at++) {
                size_t n = strspn(at, "-");
                AUTOFREE char *word = NULL, *spaced = NULL;

                if (at[0] != '-' || (at > args && (isalnum((unsigned char)at[-1]) || at[-1] == '-')) || n > 2)
                        continue;
                while (isalnum((unsigned char)at[n]) || (n > 1 && at[n] == '-' && at[1] == '-'))
                        n++;
                word = str_dup_n(at, n);
                spaced = str_format(" %s ", word);
                if (n > 1 && !strstr(buf_text(to), spaced))
                        buf_format(to, "%s ", word);
                at += n - 1;
        }
}

static void put_case(Buf *to, const Command *command)
{
        AUTO(Buf) words = { 0 };

        buf_put_char(&words, ' ');
        put_options_of(&words, command->args);
        for (size_t i = 0; i < SERVE_ROWS && str_eq(command->name, "serve"); i++) {
                AUTOFREE char *name = str_format(" --%s ", serve_rows[i].name);

                if (!strstr(buf_text(&words), name))
                        buf_format(&words, "%s ", name + 1);
        }
        buf_format(to, "    %s) options=\"%s\" ;;\n", command->name, buf_text(&words));
}

void about_completion(Buf *to)
{
        buf_put_text(to,
                     "# bash completion for drover-img; written by `drover-img completion`\n"
                     "_drover_img() {\n"
                     "    local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\" options=\n"
                     "    COMPREPLY=()\n"
                     "    if ((COMP_CWORD == 1)); then\n"
                     "        COMPREPLY=($(compgen -W \"--help --version --trace man completion");
        for (const Command *const *each = commands; *each; each++)
                buf_format(to, " %s", (*each)->name);
        buf_put_text(to, "\" -- \"$word\"))\n        return\n    fi\n"
                         "    case $before in\n"
                         "    -f|-F|-O|--format) COMPREPLY=($(compgen -W \"");
        put_formats(to);
        buf_put_text(
                to,
                "\" -- \"$word\")); return ;;\n"
                "    -t|-T|--cache) COMPREPLY=($(compgen -W \"none writeback writethrough directsync unsafe\" -- "
                "\"$word\")); return ;;\n"
                "    --preallocation) COMPREPLY=($(compgen -W \"off metadata falloc full\" -- \"$word\")); return ;;\n"
                "    -r) [[ ${COMP_WORDS[1]} == check ]] && { COMPREPLY=($(compgen -W \"leaks all\" -- \"$word\")); return; } ;;\n"
                "    --output) COMPREPLY=($(compgen -W \"human json\" -- \"$word\")); return ;;\n"
                "    esac\n"
                "    case ${COMP_WORDS[1]} in\n");
        for (const Command *const *each = commands; *each; each++)
                put_case(to, *each);
        buf_put_text(to, "    esac\n"
                         "    if [[ $word == -* ]]; then\n"
                         "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
                         "    else\n"
                         "        compopt -o filenames 2>/dev/null\n"
                         "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
                         "    fi\n"
                         "}\n"
                         "complete -F _drover_img drover-img\n");
}
