#!/bin/sh
# Runs a command as a pod's container is run: in the pod's cgroup, on what lies in the pod's directory at that moment.
#
#   container.sh UID DIRECTORY plain|overlay COMMAND...      with the folder of its files as the last argument
#
# What is mounted or unmounted on the host later is not seen inside, and other pods' volumes are not there at all.
# overlay: as in a container of an engine that runs in the pod, whose files are the upper layer of its root; what this
# layer lies on is not to be seen from inside.
set -eu

case $1 in
  --bound)
    directory=$2 kind=$3
    shift 3
    mount --bind "$directory" /mnt
    points=$(while read -r _ _ _ _ point _; do
      case $point in /var/lib/kubelet/*) echo "$point" ;; esac
    done </proc/self/mountinfo)
    for point in $points; do umount -l "$point"; done
    [ -d /mnt/files ] || { mkdir /mnt/files && sync -f /mnt; }
    [ "$kind" = overlay ] || exec "$@" /mnt/files
    mkdir -p /mnt/work /run/empty
    mount -t overlay -o lowerdir=/run/empty,upperdir=/mnt/files,workdir=/mnt/work overlay /media
    # This one stays, as the engine does.
    unshare --mount --propagation private sh "$0" --in-overlay "$@"
    ;;
  --in-overlay)
    shift
    umount /mnt
    exec "$@" /media
    ;;
  *)
    cgroup=/sys/fs/cgroup/kubepods/burstable/pod$1/$$
    shift
    mkdir -p "$cgroup"
    echo $$ >"$cgroup/cgroup.procs"
    exec unshare --mount --propagation private sh "$0" --bound "$@"
    ;;
esac
