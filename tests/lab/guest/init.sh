#!/bin/busybox sh
# Sets an emulated machine up, then becomes its agent. Runs as process 1 on the root that initramfs-init.sh made:
# the host's files, with changes kept in memory. Its arguments are on the kernel's command line: plexlab.NAME=VALUE.

bb=/bin/busybox
for word in $($bb cat /proc/cmdline); do
  case $word in
    plexlab.node=*) node=${word#*=} ;;
    plexlab.nodes=*) nodes=${word#*=} ;;
    plexlab.mtu=*) mtu=${word#*=} ;;
    plexlab.checkout=*) checkout=${word#*=} ;;
    plexlab.modules=*) modules=${word#*=} ;;
  esac
done
guest=$checkout/tests/lab/guest

# Busybox is static: starting one of its applets takes a tenth of the time that /usr/bin/mount takes under emulation.
$bb mount -t tmpfs -o mode=755 run /run
$bb mkdir -p /run/applets /run/lock /run/lvm /run/udev/rules.d /run/plexlab
$bb --install -s /run/applets
export PATH=/run/applets

# What belongs to the host and must not be seen here.
case $checkout in
  /tmp/*) ;; # a fresh /tmp would cover it; what is written here stays in this machine in any case
  *) mount -t tmpfs -o mode=1777 tmp /tmp ;;
esac
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
ln -s /proc/self/fd /dev/fd
for stream in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${stream%:*}" "/dev/${stream#*:}"; done
mount -t debugfs debug /sys/kernel/debug
for dir in /var/tmp /var/log /var/cache /var/lib/drbd; do
  mkdir -p $dir
  mount -t tmpfs -o mode=755 private $dir
done
rm -rf /etc/drbd.d/*.res /etc/lvm/archive /etc/lvm/backup
: >/etc/fstab
cp "$guest/lvm.conf" /etc/lvm/lvm.conf

# The kernel's modules: bound, to be found here also when refresh.sh covers the checkout.
mkdir -p "/lib/modules/${modules##*/}"
mount --bind "$modules" "/lib/modules/${modules##*/}"

# What survives a power loss.
/sbin/modprobe -a configfs ext4 dm_mod drbd loop
mount -t configfs config /sys/kernel/config
mkdir -p /persist
mount -t ext4 /dev/vda /persist
for dir in /etc/plexvol /var/lib/plexvol /var/lib/kubelet; do
  mkdir -p /persist$dir $dir
  mount --bind /persist$dir $dir
done
mkdir -p /persist/service /persist/log
# The driver by its short name, once it is installed where the kubelet looks for it.
ln -sf /var/lib/kubelet/volumeplugins/plexvol~plexvol/plexvol /usr/local/bin/plexvol
mount --make-rshared /

# The network.
echo "n$node" >/proc/sys/kernel/hostname
echo "n$node" >/etc/hostname
{
  echo "127.0.0.1 localhost"
  for number in $(seq "$nodes"); do echo "10.77.0.$number n$number"; done
} >/etc/hosts
ip link set lo up
ip link set eth0 mtu "$mtu" up
ip addr add "10.77.0.$node/24" dev eth0

# udev, with only the rules that LVM needs: all others are many files to read and programs to run.
for file in /lib/udev/rules.d/*; do
  case $file in
    */50-udev-default.rules | */55-dm.rules | */56-lvm.rules) ;;
    */60-persistent-storage-dm.rules | */95-dm-notify.rules) ;;
    *) masked="$masked $file" ;;
  esac
done
for file in $masked; do : >"/run/udev/rules.d/${file##*/}"; done
/lib/systemd/systemd-udevd --daemon
/bin/udevadm trigger --subsystem-match=block

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
[ -e /persist/booted ] && vgchange -qq -aay
: >/persist/booted

for service in /persist/service/*; do
  [ -e "$service" ] && $bb sh "$guest/service.sh" start "${service##*/}"
done
exec python3 -I -S "$guest/agent.py"
