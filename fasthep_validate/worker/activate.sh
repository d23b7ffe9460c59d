#!/bin/sh
# Run a program in the activated environment, as `conda activate` and `pixi shell` would start it.
#
#     bash activate.sh PROGRAM ARGUMENT...
#
# FASTHEP_VALIDATE_ROOT is the environment, FASTHEP_VALIDATE_CODE the code layer or not set. What is read, in
# this order, later ones overrule earlier ones:
#
#     $FASTHEP_VALIDATE_CODE/activation/first.sh       variables of the conda environment
#     $FASTHEP_VALIDATE_ROOT/etc/conda/activate.d/*.sh scripts of its packages
#     $FASTHEP_VALIDATE_CODE/project/...               scripts of Pixi's manifest, listed in activation/scripts
#     $FASTHEP_VALIDATE_CODE/activation/last.sh        variables of Pixi's manifest
#
# FASTHEP_VALIDATE_ACTIVATED tells the program what was read, one name a line. Scripts of packages are written
# for bash as a rule; where a node has none, the name of another POSIX shell may stand before this file.

export CONDA_PREFIX="$FASTHEP_VALIDATE_ROOT"
export CONDA_SHLVL=1
export FASTHEP_VALIDATE_ACTIVATED=''
[ -z "${FASTHEP_VALIDATE_CODE:-}" ] || export PIXI_PROJECT_ROOT="$FASTHEP_VALIDATE_CODE/project"

fasthep_read() { # FILE NAME
    [ -r "$1" ] || return 0
    fasthep_file=$1 fasthep_name=$2
    set -- # a script would take them for its own
    # shellcheck disable=SC1090 # it is in the pack
    . "$fasthep_file" || echo "activate.sh: $fasthep_name ended with exit code $?" >&2
    FASTHEP_VALIDATE_ACTIVATED="$FASTHEP_VALIDATE_ACTIVATED$fasthep_name
"
}

fasthep_activate() {
    fasthep_read "${FASTHEP_VALIDATE_CODE:-/nowhere}/activation/first.sh" first.sh
    for fasthep_script in "$FASTHEP_VALIDATE_ROOT"/etc/conda/activate.d/*.sh; do
        fasthep_read "$fasthep_script" "activate.d/${fasthep_script##*/}"
    done
    if [ -r "${FASTHEP_VALIDATE_CODE:-/nowhere}/activation/scripts" ]; then
        while IFS= read -r fasthep_script <&9; do
            fasthep_read "$FASTHEP_VALIDATE_CODE/project/$fasthep_script" "$fasthep_script"
        done 9<"$FASTHEP_VALIDATE_CODE/activation/scripts"
    fi
    fasthep_read "${FASTHEP_VALIDATE_CODE:-/nowhere}/activation/last.sh" last.sh
}

fasthep_activate
exec "$@"
