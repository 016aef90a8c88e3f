#!/bin/sh
# Install the Debian packages of tools/packages.txt that are missing. Needs root only when something is; asks
# nothing and starts no service.
set -eu
cd "$(dirname "$0")/.."

missing=
for package in $(sed 's/#.*//' tools/packages.txt); do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
        [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "drover: these Debian packages are missing:$missing"
if [ "$(id -u)" = 0 ]; then
        root=
elif command -v sudo >/dev/null; then
        echo "drover: installing them needs root; sudo may ask for your password"
        root=sudo
else
        echo "drover: installing them needs root; as root, run: apt-get install$missing" >&2
        exit 1
fi

# A policy of 101 keeps package scripts from starting daemons (policy-rc.d, as Debian's invoke-rc.d reads it).
# It goes again however this ends; one that was there before stays.
guard=/usr/sbin/policy-rc.d
made=
cleanup() { [ -z "$made" ] || $root rm -f $guard; }
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
if [ ! -e $guard ]; then
        made=yes
        printf '#!/bin/sh\nexit 101\n' | $root tee $guard >/dev/null
        $root chmod 755 $guard
fi

install() {
        # shellcheck disable=SC2086 # a list of words
        $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
                -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 $missing </dev/null
}

log=$(mktemp)
if ! install >"$log" 2>&1; then
        # No package lists yet, or stale ones.
        $root apt-get update -q >>"$log" 2>&1 </dev/null || { cat "$log" >&2; exit 1; }
        install >>"$log" 2>&1 || {
                tail -n 30 "$log" >&2
                echo "drover: apt-get could not install the packages (log: $log)" >&2
                exit 1
        }
fi
rm -f "$log"
