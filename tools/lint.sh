#!/bin/sh
# lint.sh [quick|all] - the conventions that have a checker
#
# quick takes a few seconds: clang-format, layers, sizes, words that must not be in the tree, subjects of
# commits that are not on main yet. all adds the syntax of every script and clang-tidy over build/clang,
# which it builds first. Every offence is one line; the exit status says whether there was any.
set -u
cd "$(dirname "$0")/.." || exit 1
how=${1:-all}
failed=0

list() { # files of the tree, also outside a git checkout: list PATTERN...
        if git rev-parse --git-dir >/dev/null 2>&1; then
                git ls-files -co --exclude-standard -- "$@" | while read -r file; do
                        [ -f "$file" ] && echo "$file"
                done
        else
                for pattern; do
                        find . -path ./build -prune -o -type f -name "${pattern##*/}" -print
                done | sed 's|^\./||'
        fi
}

offence() { # NAME TEXT: report when there is text
        if [ -n "$2" ]; then
                printf '%s\n' "$2"
                echo "lint: $1: failed"
                failed=1
        fi
}

jobs=$(nproc)
offence format "$(list '*.c' '*.h' | xargs -r -n 16 -P "$jobs" clang-format --dry-run -Werror 2>&1 |
        grep -E '(error|warning):' | cut -d: -f1 | sort | uniq -c |
        sed 's/ *\([0-9]*\) \(.*\)/\2: \1 places differ; run clang-format -i/')"
offence layers "$(tools/check-layers.py 2>&1)"
offence 'fields that nobody looks at' "$(tools/check-fields.py 2>&1)"
offence 'files that are not built' "$(tools/check-built.py 2>&1)"

if [ "$how" = all ]; then verbose=-v; else verbose=; fi
# shellcheck disable=SC2086,SC2046 # lists of words
if ! sizes=$(tools/check-size.py $verbose $(list '*.c' '*.h' '*.py') 2>&1); then
        offence sizes "$sizes"
elif [ -n "$sizes" ]; then
        printf '%s\n' "$sizes"
fi

# Machine paths, registry hosts, open ends. The brackets keep this file from finding itself.
words='/w[o]rk/|/f[a]rm/|https?://(d[e]b|security|registry|proxy|pypi|files)\.[a-z]'
words="$words|"'\b(T[O]DO|F[I]XME|X[X]X|H[A]CK)\b|\b[Ii]ssue [0-9]\b'
# shellcheck disable=SC2046
offence words "$(list '*' | grep -v '^LICENSE$' | tr '\n' '\0' | xargs -0 grep -nIE "$words" /dev/null | cut -c1-200)"

# shellcheck disable=SC2046
offence 'line ends' "$(list '*.c' '*.h' '*.py' '*.sh' '*.md' '*.toml' '*.build' | tr '\n' '\0' |
        xargs -0 grep -nIE '[[:blank:]]+$' /dev/null | cut -c1-120)"

# The order of the two sides of an assignment is the compiler's: clang frees first. \1 is what both sides name.
# shellcheck disable=SC2046
offence 'a place in an object, set by freeing that object' "$(list '*.c' '*.h' | tr '\n' '\0' |
        xargs -0 grep -nE '^ +[*(]*([A-Za-z_]+)->[^=;]* = [a-z_]+_(free|unref)\(\1\)' /dev/null)"

if git rev-parse -q --verify main >/dev/null 2>&1; then
        offence 'commit subjects (room: what changes, at most 72 characters)' \
                "$(git log --no-merges --format=%s main..HEAD | grep -vE '^[a-z][a-z0-9/, -]*: .{1,60}$')"
fi
[ "$how" = all ] || exit $failed

for script in $(list '*.sh' | sort) $(list .ci/run lab/run tests/bench/run); do
        case $(head -n 1 "$script") in
        *bash*) shell=bash ;;
        *) shell=sh ;;
        esac
        offence "syntax of $script" "$(head -n 1 "$script" | grep -q sh && $shell -n "$script" 2>&1)"
done
# shellcheck disable=SC2046
offence 'python syntax' "$(list '*.py' | tr '\n' '\0' | PYTHONPYCACHEPREFIX=build/pycache \
        xargs -0 -r /usr/bin/python3 -m py_compile 2>&1)"

[ -f build/clang/build.ninja ] || CC=clang meson setup build/clang -Dwerror=true >/dev/null || exit 1
if ninja -C build/clang >build/clang/lint-build.log 2>&1; then
        offence clang-tidy "$(tools/tidy.py build/clang 2>&1)"
else
        offence 'build with clang' "$(grep -E 'error|FAILED' build/clang/lint-build.log)"
fi
exit $failed
