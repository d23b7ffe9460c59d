#!/bin/sh
# customise.sh ROOT: what all nodes have in common beyond packages; mmdebstrap calls it.
set -eu
root=$1

for name in alice bob; do
    chroot "$root" useradd --create-home --shell /bin/bash "$name"
done

# Debian's example of a pool on one machine; ours says everything.
rm -f -- "$root"/etc/condor/config.d/00-*

# Made by postinst scripts; a node makes its own, and names and addresses are the testbed's.
rm -f -- "$root/etc/munge/munge.key" "$root/etc/machine-id" "$root/etc/resolv.conf" "$root/etc/hostname"
rm -rf -- "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
