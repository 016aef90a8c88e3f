#!/bin/sh
# Install the Debian packages of tools/packages.txt that are missing. Needs root only when something is;
# starts no service.
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
guard=/usr/sbin/policy-rc.d
made=
if [ ! -e $guard ]; then
        printf '#!/bin/sh\nexit 101\n' | $root tee $guard >/dev/null
        $root chmod 755 $guard
        made=yes
fi
cleanup() { [ -z "$made" ] || $root rm -f $guard; }
trap cleanup EXIT

export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of words
$root apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 || {
        $root apt-get update -q
        $root apt-get install -y -q --no-install-recommends $missing
}
