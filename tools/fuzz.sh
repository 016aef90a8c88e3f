#!/bin/sh
# fuzz.sh [SECONDS] [NAME...] - every fuzz target (or the named ones) for so many seconds over its corpus
#
# Targets are the table in tests/fuzz/meson.build. They are built into build/fuzz with libFuzzer, ASan and
# UBSan and run on all cores. New inputs collect in build/fuzz/corpus; an input that breaks a target is kept
# in build/fuzz/crash: add it to tests/data/fuzz-NAME once the bug is mended. Prints one line per target.
set -eu
cd "$(dirname "$0")/.."
export SECONDS_EACH="${1:-5}"
[ $# = 0 ] || shift

one() {
        corpus=build/fuzz/corpus/$1
        log=build/fuzz/log-$1
        mkdir -p "$corpus" build/fuzz/crash
        set -- "$1" ""
        [ ! -f "tests/data/fuzz-$1.dict" ] || set -- "$1" "-dict=tests/data/fuzz-$1.dict"
        # The limit is meant for memory in use, not for what ASan keeps of what was freed.
        export ASAN_OPTIONS=quarantine_size_mb=64
        # shellcheck disable=SC2086 # an empty second word disappears
        if timeout $((SECONDS_EACH + 60)) nice "build/fuzz/tests/fuzz/fuzz-$1" -max_total_time="$SECONDS_EACH" \
                -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 $2 \
                -artifact_prefix="build/fuzz/crash/$1-" "$corpus" "tests/data/fuzz-$1" >"$log" 2>&1; then
                echo "ok fuzz/$1 ($(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs)"
        else
                echo "fail fuzz/$1: $(grep -m1 -E 'ERROR|runtime error|ALARM' "$log" || tail -n 1 "$log") (log: $log)"
                return 1
        fi
}

if [ "${FUZZ_ONE:-}" ]; then
        one "$FUZZ_ONE"
        exit
fi
[ -f build/fuzz/build.ninja ] || CC=clang meson setup build/fuzz -Dfuzz=true -Db_sanitize=address,undefined \
        -Db_lundef=false -Dbuildtype=debugoptimized -Dc_args=-fsanitize=fuzzer-no-link >/dev/null
names="$*"
[ -n "$names" ] || names=$(for file in tests/fuzz/fuzz-*.c; do basename "$file" .c | cut -d- -f2-; done)
# shellcheck disable=SC2086 # a list of words
ninja -C build/fuzz $(printf 'tests/fuzz/fuzz-%s ' $names) >build/fuzz/build.log || {
        grep -E 'error|FAILED' build/fuzz/build.log
        echo "fail fuzz/build"
        exit 1
}

# One process per target, so many at a time as there are cores.
echo "$names" | tr ' ' '\n' | xargs -P "$(nproc)" -I '{}' env FUZZ_ONE='{}' "$0" "$SECONDS_EACH" || exit 1
