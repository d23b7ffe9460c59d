#!/bin/sh
# hub.sh IMAGE FS: hold what the nodes share: the image, a tmpfs for what they write, the bridge between them.
# Runs as the first process of namespaces of its own, so that all of it, and every node, ends with it.
set -eu
image=$1 fs=$2

mount -t tmpfs -o mode=755 testbed "$fs"
mkdir "$fs/image" "$fs/nodes"
mount -t squashfs -o ro,loop "$image" "$fs/image"
cp -a "$fs/image/home" "$fs/home"

ip link set lo up
ip link add br0 type bridge
ip link set br0 up # without an address: the hub is a wire, not a router

exec sleep infinity
