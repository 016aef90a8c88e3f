# setup.sh - what a lab host sees of the file system; run once by its PID 1, in its own mount namespace
#
# The machine's own tree shows through, but whatever a daemon writes lands in memory and ends with the host: /etc, /var,
# /root, /srv (and /usr, /opt where an unpacked peer is laid over them) are overlays, /run and /tmp are empty, /dev holds
# only what a guest's host needs, /proc, /sys and the control groups are the host's own.
# In: TOP (source tree), PROGRAMS, LAB_BUILD, SHARED, NOTES (a directory whose writes outlive the host, or empty), PEER (or
# empty), DEVICES, MACHINE_ID, HOST_UUID, HOSTNAME.

mount -t tmpfs -o mode=755 lab /mnt
mkdir /mnt/.over /mnt/.dev /mnt/.sys /mnt/.keep /mnt/lab /mnt/shared
mount --bind "$LAB_BUILD" /mnt/lab
mount --bind "$SHARED" /mnt/shared
if [ -n "$NOTES" ]; then
        mkdir /mnt/.keep/notes
        mount --bind "$NOTES" /mnt/.keep/notes
fi

for dir in etc var root srv ${PEER:+usr opt}; do
        mkdir -p "/mnt/.over/$dir" "/mnt/.over/.$dir"
        lower=/$dir
        if [ -n "$PEER" ] && [ -d "$PEER/$dir" ]; then lower=$PEER/$dir:/$dir; fi
        mount -t overlay -o "lowerdir=$lower,upperdir=/mnt/.over/$dir,workdir=/mnt/.over/.$dir" "lab-$dir" "/$dir"
done

# A tree that lies under /tmp or on a mount of its own would vanish below the new mounts: keep it reachable.
number=0
for dir in "$TOP" "$PROGRAMS" "$LAB_BUILD"; do
        number=$((number + 1))
        mkdir "/mnt/.keep/$number"
        mount --bind "$dir" "/mnt/.keep/$number"
done
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
mkdir /run/lock /run/sshd
number=0
for dir in "$TOP" "$PROGRAMS" "$LAB_BUILD"; do
        number=$((number + 1))
        [ -n "$(ls -A "$dir" 2>/dev/null)" ] && continue
        mkdir -p "$dir"
        mount --bind "/mnt/.keep/$number" "$dir"
done
if [ -n "$NOTES" ]; then
        mkdir -p "$NOTES"
        mount --bind /mnt/.keep/notes "$NOTES"
fi

mount -t proc -o nosuid,nodev,noexec proc /proc

mount -t tmpfs -o mode=755 dev /mnt/.dev
mkdir /mnt/.dev/net /mnt/.dev/pts /mnt/.dev/shm /mnt/.dev/mqueue
for device in $DEVICES; do
        if [ -e "/dev/$device" ]; then cp -a "/dev/$device" "/mnt/.dev/$device"; fi
done
if [ -e /mnt/.dev/kvm ]; then chmod 666 /mnt/.dev/kvm; fi # as udev has it: QEMU has a user of its own
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /mnt/.dev/pts
mount -t tmpfs -o mode=1777 shm /mnt/.dev/shm
mount -t mqueue mqueue /mnt/.dev/mqueue
ln -s pts/ptmx /mnt/.dev/ptmx
ln -s /proc/self/fd /mnt/.dev/fd
for stream in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${stream%:*}" "/mnt/.dev/${stream#*:}"; done
mount --move /mnt/.dev /dev

# The control groups as the machine has them mounted, seen from the host's own group.
mount -t sysfs -o nosuid,nodev,noexec sysfs /mnt/.sys
if grep -q ' /sys/fs/cgroup cgroup2 ' /proc/mounts; then
        mount -t cgroup2 cgroup2 /mnt/.sys/fs/cgroup
else
        mount -t tmpfs -o mode=755 cgroup /mnt/.sys/fs/cgroup
        grep -E '^[^ ]+ /sys/fs/cgroup/[^ ]+ cgroup2? ' /proc/mounts | while read -r _ where type options _; do
                name=${where#/sys/fs/cgroup/}
                mkdir -p "/mnt/.sys/fs/cgroup/$name"
                [ "$type" = cgroup2 ] && options=rw
                mount -t "$type" -o "$options" "$type" "/mnt/.sys/fs/cgroup/$name"
        done
fi
mount --move /mnt/.sys /sys

echo "$HOSTNAME" > /etc/hostname
echo "$MACHINE_ID" > /etc/machine-id
echo "$HOST_UUID" > /run/product_uuid
if [ -e /sys/class/dmi/id/product_uuid ]; then mount --bind /run/product_uuid /sys/class/dmi/id/product_uuid; fi
rm -f /etc/resolv.conf
: > /etc/resolv.conf
