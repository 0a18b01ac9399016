#!/bin/busybox sh
# First program of an emulated machine: makes the host's file system, seen through 9p, its root and goes on there.
# All changes of the root are kept in memory, so the host sees none, and they are gone after a power-off.

bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev
for module in /modules/*; do $bb insmod "$module"; done

# Cached for good: files of the host do not change while a lab runs. For those of the checkout see refresh.sh.
$bb mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host
$bb mount -t tmpfs scratch /scratch
$bb mkdir /scratch/changes /scratch/work
$bb mount -t overlay -o lowerdir=/host,upperdir=/scratch/changes,workdir=/scratch/work root /root

for dir in proc sys dev; do $bb mount --move /$dir /root/$dir; done
for word in $($bb cat /root/proc/cmdline); do
  case $word in plexlab.init=*) init=${word#*=} ;; esac
done
exec $bb switch_root /root /bin/busybox sh "$init"
