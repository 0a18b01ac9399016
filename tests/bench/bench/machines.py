"""One lab for all parts that need one: its start takes as long as some of them."""

import atexit
import os
from functools import cache

from cluster import Cluster
from lab import Lab


@cache
def shared_cluster() -> Cluster:
    lab = Lab(nodes=3)
    lab.start(owner=os.getpid())
    atexit.register(lab.stop)
    lab.wait_ready()
    lab.prepare_lvm()
    return Cluster(lab).start()
