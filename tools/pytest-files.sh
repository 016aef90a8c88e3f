#!/bin/sh
# pytest-files.sh FILE... - run test files side by side, a pytest for each and as many at once as there are processors
#
# Each file's output comes in one piece when it has ended. The exit status says whether any failed. A process of its own
# for each file, because a test's time limit is a signal, which only a process's main thread can take. They are begun in the
# order given: long ones belong to the front, so that none is left to run alone at the end.
cd "$(dirname "$0")/.." || exit 1
# shellcheck disable=SC2016 # for the inner shell
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 sh -c '
        if [ "${STOCK_CALLS:-}" ]; then
                calls=$STOCK_CALLS/$(basename "$1").log
                : >>"$calls"
                chmod 666 "$calls"
                export LIBVIRT_LOG_FILTERS=2:rpc.netclient LIBVIRT_LOG_OUTPUTS="2:file:$calls"
        fi
        out=$(/usr/bin/python3 -m pytest -v -rs "$1" 2>&1)
        status=$?
        printf "%s\n" "$out"
        exit $status' sh
