#!/bin/sh
# The batch script of a Slurm job: makes a directory for the job on the node's own disk, waits until its
# files have been sent there and a step has started in it, and holds the allocation while the step lives.
#
#   slurm_hold.sh BASE PATIENCE      directory to make the job's in; seconds to wait for the next piece of a file
#
# The directory goes away with the job, whatever ends it.
umask 077
dir=$1/fasthep-validate-$SLURM_JOB_ID
mkdir -- "$dir" || exit 73
# Processes of the step that are still ending may write there meanwhile.
trap 'cd / && for try in 1 2 3 4 5; do rm -rf -- "$dir" && break; sleep 1; done' EXIT
trap 'exit 143' TERM INT HUP

# Nobody comes any more if the submit host was lost; as long as files grow, somebody is there.
waited=0 seen=
while [ ! -s "$dir/step.pid" ]; do
    now=$(ls -ln "$dir")
    [ "$now" = "$seen" ] || waited=0
    seen=$now
    [ "$waited" -lt "$2" ] || exit 75
    sleep 1
    waited=$((waited + 1))
done
read -r step <"$dir/step.pid"
while kill -0 "$step" 2>/dev/null; do
    sleep 1
done
