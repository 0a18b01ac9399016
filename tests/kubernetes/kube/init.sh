#!/usr/bin/env bash
# Process 1 of a machine: init.sh FOLDER NAME HIERARCHY...
# It has the files of the host, but what it writes is in FOLDER; and a /run, /sys and cgroups of its own.
set -euo pipefail
folder=$1 name=$2
shift 2

mount --make-rshared /
hostname "$name"
ip link set lo up
mount -t tmpfs -o mode=755 run /run
mkdir /run/lock
mount -t sysfs sysfs /sys

for top in etc opt usr var; do
  mkdir -p "$folder/$top.upper" "$folder/$top.work"
  mount -t overlay -o "lowerdir=/$top,upperdir=$folder/$top.upper,workdir=$folder/$top.work" overlay "/$top"
done
# What may not be on an overlay: that of containers, and image files, which are known by their file system's number.
for own in /var/lib/containerd /var/lib/kubelet /var/lib/plexvol /var/lib/images /var/lib/images-of-kube-vg; do
  mkdir -p "$folder$own" "$own"
  mount --bind "$folder$own" "$own"
  mount --make-private "$own" # what is mounted below it shall not be seen in $folder, too
  mount --make-shared "$own"
done
printf '%s' "$name" | md5sum | cut -c 1-32 > /etc/machine-id

if [[ $1 == cgroup2 ]]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  echo $$ > /sys/fs/cgroup/init/cgroup.procs
else
  mount -t tmpfs -o mode=755 cgroups /sys/fs/cgroup
  for hierarchy in "$@"; do
    mkdir "/sys/fs/cgroup/${hierarchy%%=*}"
    mount -t cgroup -o "${hierarchy#*=}" cgroup "/sys/fs/cgroup/${hierarchy%%=*}"
  done
fi

# A kubelet sets these for the whole machine.
mkdir "$folder/sysctl"
for sysctl in vm/{overcommit_memory,panic_on_oom} kernel/{panic,panic_on_oops} kernel/keys/root_max{keys,bytes}; do
  cat "/proc/sys/$sysctl" > "$folder/sysctl/${sysctl//\//-}"
  mount --bind "$folder/sysctl/${sysctl//\//-}" "/proc/sys/$sysctl"
done

echo up
read -r _ || true # until its caller is gone
