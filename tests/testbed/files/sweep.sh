#!/bin/sh
# sweep.sh RUN: remove the run directory when who holds the other end of standard input is gone, however it went.
# Everything else ends with it without help; a directory does not.
set -eu
run=$1
cd -- "$run"
cat >/dev/null
# Not if somebody has removed it by now, and maybe made a new one.
if [ "$run" -ef . ]; then
    cd /
    rm -rf -- "$run"
fi
