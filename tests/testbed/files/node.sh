#!/bin/sh
# node.sh NAME ROLE GPUS HOME FS SPEC: become a node. Runs as the first process of the node's namespaces.
#
# NAME  its host name             ROLE  submit or worker          GPUS  how many it pretends to have
# HOME  own or shared             FS    the tmpfs of the hub
# SPEC  folder with root/, the files that are this node's own, and binds, the host's paths that it sees read-only
set -eu
umask 022
name=$1 role=$2 gpus=$3 home=$4 fs=$5 spec=$6

echo "$name" >/proc/sys/kernel/hostname

# Relative, for a comma or a colon in a path would end an option of overlay's.
mkdir -m 755 "$fs/nodes/$name"
cd "$fs/nodes/$name"
mkdir -m 755 upper work root
mount -t overlay -o lowerdir=../../image,upperdir=upper,workdir=work "$name" root
cd root

cp -a "$spec/root/." .
if [ "$role" = worker ]; then
    rm -rf -- usr/bin/python3* usr/lib/python3* usr/local/lib/python3* etc/python3*
fi

mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mknod -m 666 dev/tty c 5 0
for device in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "dev/${device%:*}" c 1 "${device#*:}"
done
gpu=0
while [ "$gpu" -lt "$gpus" ]; do
    mknod -m 666 "dev/fakegpu$gpu" c 1 3 # null's numbers: a GPU to be counted, not used
    gpu=$((gpu + 1))
done

if [ "$home" = shared ]; then
    mount --bind "$fs/home" home
fi

# A path below a folder that only root may enter (/root) is for everybody here.
while IFS= read -r path; do
    if [ -d "$path" ]; then
        mkdir -p -- ".$path"
    else
        mkdir -p -- ".${path%/*}"
        [ -e ".$path" ] || : >".$path"
    fi
    above=${path%/*}
    while [ -n "$above" ]; do
        chmod a+x -- ".$above"
        above=${above%/*}
    done
    mount --bind -- "$path" ".$path"
    mount -o remount,bind,ro,nosuid,nodev -- ".$path"
done <"$spec/binds"

mkdir .host
pivot_root . .host
cd /
umount -l /.host
rmdir /.host

exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin tini -s -- sleep infinity
