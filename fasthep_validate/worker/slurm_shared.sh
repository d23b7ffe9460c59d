#!/bin/sh
# The batch script of a Slurm job whose files lie on a filesystem that nodes and submit host share: copies
# them to a directory of the job's own on the node's disk, and runs the job script there.
#
#   slurm_shared.sh BASE FILES SCRIPT [ARGUMENT...]
#
# BASE is the directory to make the job's in; FILES lists the files, a line with the path and one with the name
# of each. The directory goes away with the job, whatever ends it. A signal reaches the job script as well,
# and is acted on here once that has ended.
umask 077
base=$1 files=$2
shift 2
dir=$base/fasthep-validate-$SLURM_JOB_ID
mkdir -- "$dir" || exit 73
trap 'cd / && rm -rf -- "$dir"' EXIT
trap 'exit 143' TERM INT HUP
cd -- "$dir" || exit 73
while IFS= read -r source && IFS= read -r name; do
    cp -- "$source" "./$name" || exit 74
done <"$files"
/bin/sh "$@"
