#!/bin/sh
# The step that runs the job script: tells slurm_hold.sh which process it is, and becomes it.
#
#   slurm_step.sh SCRIPT [ARGUMENT...]
echo "$$" >step.pid || exit 73
exec /bin/sh "$@"
