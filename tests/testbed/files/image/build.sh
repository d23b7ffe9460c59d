#!/bin/sh
# build.sh MIRROR SUITE OUT: make the root filesystem that all nodes share, as a squashfs file.
# OUT.tmp and TMPDIR are the caller's to remove when this does not end by itself.
set -eu
mirror=$1 suite=$2 out=$3
here=$(dirname -- "$0")

# How this machine reaches the mirror (proxies, checks of dates) is how the image's apt has to reach it.
apt-config dump Acquire | grep -E '^Acquire::(Check-|.*[Pp]roxy)' >"$TMPDIR/apt.conf" || :

mmdebstrap --mode=root --variant=minbase --format=tar \
    --include="$(paste -sd, "$here/packages")" \
    --aptopt="$TMPDIR/apt.conf" \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="$here/customise.sh" \
    "$suite" "$TMPDIR/root.tar" "$mirror"

# lz4: a second to compress, and the image is read far more often than it is stored.
sqfstar -quiet -no-progress -comp lz4 "$out.tmp" <"$TMPDIR/root.tar"
mv -- "$out.tmp" "$out"
