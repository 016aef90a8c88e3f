#!/bin/bash
# test.sh [unit|lint|fuzz|models|system|all] - the stages of the test run, one closing line
#
# Every stage and every test leaves a line 'pass NAME', 'fail NAME: why' or 'skip NAME: why' in
# build/log/results; what a stage printed is in build/log/STAGE.log. The last line of the output is always
# 'N passed, N failed', and the exit status is non-zero when anything failed or nothing ran. Before it stands why, and
# before that what the daemons of the tests that failed said last: often nothing but this end is kept of a run.
set -u
cd "$(dirname "$0")/.." || exit 1
what=${1:-all}
logs=build/log
results=$logs/results
mkdir -p $logs
: >$results

closing() {
        local passed failed
        passed=$(grep -c '^pass ' $results)
        failed=$(grep -c '^fail ' $results)
        grep '^skip ' $results | sed 's/^skip/skipped/'
        grep '^said ' $results | tail -n 100 | cut -c1-300
        grep '^fail ' $results | sed 's/^fail/FAILED/'
        echo "$passed passed, $failed failed"
        [ "$failed" = 0 ] && [ "$passed" != 0 ]
}

interrupted() {
        echo "fail run: interrupted" >>$results
        closing
        trap - EXIT
        exit 1
}
trap interrupted INT TERM HUP
trap 'closing; exit $?' EXIT

# stage NAME SECONDS COMMAND...: one result for the stage itself, its output in its log
stage() {
        local name=$1 limit=$2 log=$logs/$1.log started=$SECONDS
        shift 2
        printf '%s ... ' "$name"
        if timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null; then
                echo "pass $name" >>$results
                echo "ok ($((SECONDS - started)) s)"
                return 0
        fi
        echo "fail $name: see $log" >>$results
        echo "failed ($((SECONDS - started)) s)"
        { grep -E -A 4 '(^FAILED|error|ERROR)' "$log" || tail -n 30 "$log"; } | head -n 60 | cut -c1-200 | sed 's/^/    /'
        return 1
}

# build NAME DIR SETUP_OPTION...: configure when it is not yet, and build everything
build() {
        local name=$1 dir=$2
        shift 2
        if [ -f "$dir/build.ninja" ]; then
                stage "$name" 900 sh -c "meson configure $dir -Dwerror=true && ninja -C $dir"
        else
                stage "$name" 900 sh -c "meson setup $dir -Dwerror=true $* && ninja -C $dir"
        fi
}

build_asan() {
        build build-asan build/asan -Db_sanitize=address,undefined -Dbuildtype=debug
}

run_unit() {
        build_asan || return
        stage unit 600 meson test -C build/asan --suite unit --no-rebuild --print-errorlogs
        tools/results.py meson build/asan/meson-logs/testlog.json >>$results
}

run_pytest() { # NAME SECONDS FILE...
        local name=$1 limit=$2
        shift 2
        rm -f "$logs/$name.results"
        TEST_RESULTS=$PWD/$logs/$name.results stage "$name" "$limit" tools/pytest-files.sh "$@"
        tools/results.py pytest "$logs/$name.results" >>$results
}

run_lint() {
        CC=clang build build-clang build/clang -Dbuildtype=debugoptimized || return
        stage lint 900 tools/lint.sh all
        run_pytest checkers 120 tests/tools/test_*.py
}

run_fuzz() {
        stage fuzz 900 tools/fuzz.sh 5
        sed -n -e 's/^ok /pass /p' -e '/^fail /p' $logs/fuzz.log >>$results
}

run_models() {
        run_pytest models 600 tests/models/test_*.py
}

build_gcc() {
        CC=gcc build build-gcc build --buildtype=debugoptimized
}

# run_system FILE...: with files that run beside the system tests, and before them because they take long. Then, as all of
# them ran: each procedure that is said to be implemented was reached by a stock client.
run_system() {
        local calls=$PWD/$logs/calls
        grep -q '^pass build-gcc$' $results || build_gcc || return
        rm -rf "$calls"
        mkdir "$calls"
        # shellcheck disable=SC2046 # names without blanks
        STOCK_CALLS=$calls run_pytest system 1900 "$@" $(ls -S tests/system/test_*.py)
        if [ "$(id -u)" = 0 ]; then
                stage reached 60 tools/check-reached.py "$calls"
        else
                echo "skip reached: most system tests need root" >>$results
        fi
}

case $what in
unit | lint | fuzz | models | system)
        "run_$what"
        ;;
all)
        build_gcc && gcc_built=yes
        run_unit
        run_lint
        run_fuzz
        # a model check keeps one processor busy, so it leaves the other to the first of the system tests
        if [ "${gcc_built:-}" ]; then
                run_system tests/models/test_*.py
        else
                run_models
                echo "fail system: not run, the build with gcc failed" >>$results
        fi
        ;;
*)
        trap - EXIT
        echo "usage: tools/test.sh [unit|lint|fuzz|models|system|all]" >&2
        exit 2
        ;;
esac
