"""What volumes are made of."""

from .machine import Machine

_DIRECTORIES = {"default": "/var/lib/images", "kube_vg": "/var/lib/images-of-kube-vg"}  # init.sh makes them


class ImagePools:
    """Of image files on loop devices, which any machine has. Without DRBD a volume has one replica."""

    replicas = 1
    words = [word for name, directory in _DIRECTORIES.items() for word in ("--pool", f"{name}={directory}")]

    def list_left(self, machine: Machine) -> list[str]:
        """What they hold on this node."""
        return [file for directory in _DIRECTORIES.values() for file in machine.run("ls", "-A", directory).split()]
