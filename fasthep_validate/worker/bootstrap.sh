#!/bin/sh
# Start one Dask worker from a packed environment, in the job's own directory on the worker node.
#
#     sh bootstrap.sh job.params
#
# Works in the directory of job.params, whose lines are `key=value`: the value goes to the end of the
# line and is taken as it stands. Needs sh, coreutils, tar and gzip. Used where found: getent (else the
# TCP test resolves the name), one of bash, perl, python3, nc, curl for the TCP test (else the test is
# skipped, and made later by the packed Python), and flock (else a directory is the lock of a cached
# environment).
#
# Every phase appends one JSON line to events.jsonl at its start and at its end, and prints it on stderr
# after the word FHV-EVENT. The last line is `exited`; without one the job was killed by SIGKILL or the
# node is lost.
#
# Exit codes: 64 parameters, 65 transferred, 66 preflight, 67 extracted, 68 credentials, 69 python,
# 128+n after signal n, else that of the worker.
set -u
umask 077

KEYS='worker archive sha256 archive_size tree_size head_size head_sha256 index_size index_sha256 key node_cache
node_cache_limit code code_sha256 code_size root python base_python scheduler_host scheduler_port nthreads
start_timeout remove_directory x509_proxy x509_ca krb5_ccache bearer_token credentials_required'
MARKER=.fasthep-validate-job
TCP_LIMIT=5  # seconds for one attempt to connect
NAME_LIMIT=5 # seconds until a name that does not resolve is given up
KILL_AFTER=10 # seconds between TERM and KILL
KEEP=20 # seconds between two looks at a token that HTCondor renews
LOW_DISK=1024 # KiB; with less than this left, a failed extraction is put down to the disk
LOCK_WAIT=300 # seconds for another job of this node that extracts the same environment
LOCK_BEAT=5   # seconds between two signs of life of a lock that is a directory
LOCK_STALE=60 # seconds without one, after which nobody holds it any more
WHOLE=.fasthep/whole # in a cached environment: it was extracted to its end
GO=.fasthep-go # the node has been looked at: the worker may connect
IMPORTED=.fasthep-imported # what came of importing Dask, for the look at the node

worker='' chirp='' phase='' child='' caught='' reason='' words='' last_words='' available='' dir='' notes='' placed='' keeper=''
partial='' lock='' beat='' cache='' cached=no why='' ahead=''

# ---- events ---------------------------------------------------------------------------------------

now() { # seconds since 1970; whole ones where date knows no %N
    stamp=$(date +%s.%N)
    case $stamp in
        *[!0-9.]*) stamp=${stamp%%.*} ;;
    esac
    printf '%s' "$stamp"
}

quote() { # $json: $1 as a JSON string; control characters become spaces
    rest=$1 json=''
    case $rest in
        *[[:cntrl:]]*) rest=$(printf '%s' "$rest" | tr '\001-\037\177' ' ') ;;
    esac
    while :; do
        case $rest in
            *[\\\"]*) ;;
            *) break ;;
        esac
        head=${rest%%[\\\"]*}
        rest=${rest#"$head"}
        case $rest in
            \\*) json="$json$head\\\\" ;;
            *) json="$json$head\\\"" ;;
        esac
        rest=${rest#?}
    done
    json="\"$json$rest\""
}

event() { # PHASE STATE [CODE [DETAIL]]
    quote "$worker"
    line="{\"worker\": $json, \"phase\": \"$1\", \"state\": \"$2\", \"time\": $(now), \"source\": \"worker\""
    quote "${4:-}"
    line="$line, \"code\": \"${3:-}\", \"detail\": $json}"
    printf 'FHV-EVENT %s\n' "$line" >&2
    relay "$line"
    if [ -n "$dir" ]; then
        { printf '%s\n' "$line" >>"$dir/events.jsonl"; } 2>/dev/null
    fi
}

# HTCondor brings standard error back when the job ends. Its chirp takes a line to the job's log on the submit
# host at once; one of more than a thousand letters would be cut there.
find_chirp() {
    chirp=''
    [ -r "${_CONDOR_CHIRP_CONFIG:-}" ] || return 0
    libexec=$("${_CONDOR_BIN:-/usr/bin}/condor_config_val" LIBEXEC 2>/dev/null)
    for place in "${libexec:-/usr/libexec/condor}" "${_CONDOR_BIN:-/usr/bin}" /usr/libexec/condor; do
        [ -x "$place/condor_chirp" ] && chirp=$place/condor_chirp && break
    done
    FASTHEP_VALIDATE_CHIRP=$chirp
    export FASTHEP_VALIDATE_CHIRP # for launch.py
}

relay() { # in the background: a submit host that is slow to answer must not hold the start up
    [ -n "$chirp" ] && [ "${#1}" -lt 950 ] || return 0
    "$chirp" ulog "FHV-EVENT $1" </dev/null >/dev/null 2>&1 &
}

begin() {
    phase=$1
    event "$phase" start
}

end() { event "$phase" end '' "${1:-}"; }

fail() { # CODE DETAIL: the phase failed, and with it the job
    event "$phase" fail "$1" "$2"
    case $phase in
        transferred) exit 65 ;;
        preflight) exit 66 ;;
        extracted) exit 67 ;;
        credentials) exit 68 ;;
        *) exit 69 ;;
    esac
}

# ---- the end --------------------------------------------------------------------------------------

finish() {
    code=$?
    trap '' HUP INT TERM USR2 XCPU
    trap - EXIT
    unlock
    [ -z "$ahead" ] || kill_all "$ahead"
    [ -z "$partial" ] || rm -rf -- "$partial"
    [ -z "$notes" ] || rm -f "$notes" "$dir/$GO" "$dir/$IMPORTED" "$dir/$IMPORTED-"
    remove_credentials
    if [ -n "$caught" ]; then
        event exited fail signal "signal $caught"
    elif [ "$code" -ne 0 ]; then
        event exited fail exit-code "exit code $code$reason"
    else
        event exited end '' 'exit code 0'
    fi
    remove_directory
    exit "$code"
}

remove_credentials() { # nothing of them is left, whatever becomes of the directory
    [ -z "$keeper" ] || kill "$keeper" 2>/dev/null
    [ -n "$dir" ] || return 0
    rm -rf -- "$dir/credentials"
    for text in "${p_x509_proxy:-}" "${p_krb5_ccache:-}" "${p_bearer_token:-}"; do
        case $text in
            '' | */* | env | unset | service:*) ;;
            *) rm -f -- "$dir/$text" ;;
        esac
    done
}

remove_directory() { # only what a marker file says is a job's directory
    [ "${p_remove_directory:-no}" = yes ] && [ -n "$dir" ] && [ -f "$dir/$MARKER" ] || return 0
    cd / && rm -rf -- "$dir"
}

on_signal() { # NAME NUMBER
    caught=$1
    trap '' HUP INT TERM USR2 XCPU
    [ -z "$child" ] || stop "$child"
    exit $((128 + $2))
}

alive() { # whether process $1 runs; a zombie does not
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    case ${stat##*) } in
        [ZX]*) return 1 ;;
    esac
}

nap() { sleep 0.1 2>/dev/null || sleep 1; }

expired() { [ "$(date +%s)" -ge "$1" ]; }

stop() { # end process $1: it has KILL_AFTER seconds to clean up, then it and its group are killed
    deadline=$(($(date +%s) + KILL_AFTER))
    kill -s TERM "$1" 2>/dev/null
    while alive "$1" && ! expired "$deadline"; do
        nap
    done
    kill_all "$1"
}

kill_all() { # kill process $1 and, where it leads one, its group
    kill -s KILL -- "-$1" 2>/dev/null
    kill -s KILL "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

# ---- helpers --------------------------------------------------------------------------------------

last_line() { # $words: the last line of $notes that is not empty
    words=$(tail -n 20 "$notes" 2>/dev/null | {
        kept=''
        while IFS= read -r text || [ -n "$text" ]; do
            [ -z "$text" ] || kept=$text
        done
        printf '%s' "$kept"
    })
}

run() { # run a step; its exit code comes back, what it printed is in $notes and on stderr
    # In the background and waited for: a shell that waits sees signals at once.
    "$@" </dev/null >&2 2>"$notes" &
    child=$!
    wait "$child"
    code=$?
    child=''
    cat "$notes" >&2 2>/dev/null
    last_line
    return "$code"
}

limited() { # SECONDS COMMAND...: its exit code, 124 when it took longer; what it printed is in $notes
    limit=$(($(date +%s) + $1 + 1))
    shift
    "$@" </dev/null >"$notes" 2>&1 &
    child=$!
    while alive "$child"; do
        if expired "$limit"; then
            kill_all "$child"
            child=''
            return 124
        fi
        sleep 0.02 2>/dev/null || sleep 1
    done
    wait "$child"
    code=$?
    child=''
    return "$code"
}

have() { command -v "$1" >/dev/null 2>&1; }

free_space() { # [DIRECTORY] $available: KiB left there for the user; empty when not known
    available=$(df -P -k "${1:-.}" 2>/dev/null | {
        read -r _
        read -r text
        before=''
        for word in $text; do # the name of the filesystem may hold spaces: look for the percentage
            case $word in
                *%) break ;;
            esac
            before=$word
        done
        printf '%s' "$before"
    })
    case $available in
        *[!0-9]*) available='' ;;
    esac
}

# ---- parameters -----------------------------------------------------------------------------------

reject() { # DETAIL
    reason=": ${params:-bootstrap.sh}: $1"
    exit 64
}

read_params() { # every known key becomes the variable p_KEY
    seen=' '
    while IFS= read -r text || [ -n "$text" ]; do
        key=${text%%=*} value=${text#*=}
        case $key in
            worker) p_worker=$value worker=$value ;;
            archive) p_archive=$value ;;
            sha256) p_sha256=$value ;;
            archive_size) p_archive_size=$value ;;
            tree_size) p_tree_size=$value ;;
            head_size) p_head_size=$value ;;
            head_sha256) p_head_sha256=$value ;;
            index_size) p_index_size=$value ;;
            index_sha256) p_index_sha256=$value ;;
            key) p_key=$value ;;
            node_cache) p_node_cache=$value ;;
            node_cache_limit) p_node_cache_limit=$value ;;
            code) p_code=$value ;;
            code_sha256) p_code_sha256=$value ;;
            code_size) p_code_size=$value ;;
            root) p_root=$value ;;
            python) p_python=$value ;;
            base_python) p_base_python=$value ;;
            scheduler_host) p_scheduler_host=$value ;;
            scheduler_port) p_scheduler_port=$value ;;
            nthreads) p_nthreads=$value ;;
            start_timeout) p_start_timeout=${value%%.*} ;;
            remove_directory) p_remove_directory=$value ;;
            x509_proxy) p_x509_proxy=$value ;;
            x509_ca) p_x509_ca=$value ;;
            krb5_ccache) p_krb5_ccache=$value ;;
            bearer_token) p_bearer_token=$value ;;
            credentials_required) p_credentials_required=$value ;;
            *) continue ;;
        esac
        seen="$seen$key "
    done <"$params"
    for key in $KEYS; do
        case $seen in
            *" $key "*) ;;
            *) reject "no line '$key='" ;;
        esac
    done
}

check_params() {
    [ -n "$p_worker" ] || reject "worker is empty"
    [ -n "$p_python" ] || reject "python is empty"
    [ -n "$p_scheduler_host" ] || reject "scheduler_host is empty"
    whole scheduler_port "$p_scheduler_port"
    whole nthreads "$p_nthreads"
    whole start_timeout "$p_start_timeout"
    [ "$p_start_timeout" -ge "$NAME_LIMIT" ] || NAME_LIMIT=$p_start_timeout
    whole code_size "$p_code_size"
    if [ -z "$p_archive" ]; then
        root=$p_root python=$p_python
        return
    fi
    whole archive_size "$p_archive_size"
    whole tree_size "$p_tree_size"
    whole head_size "$p_head_size"
    whole index_size "$p_index_size"
    whole node_cache_limit "$p_node_cache_limit"
    case $p_key in
        '' | *[!0-9a-f]*) reject "key is '$p_key', not a hexadecimal number" ;;
    esac
    case $p_root in
        '' | /* | .. | ../* | */.. | */../*) reject "root is '$p_root', not a directory below the job's" ;;
    esac
    place "$dir/$p_root"
}

place() { # DIRECTORY: where the environment is or will be
    root=$1
    python=$root/$p_python
    base_python=$root/$p_base_python
}

whole() {
    case $2 in
        '' | *[!0-9]*) reject "$1 is '$2', not a whole number" ;;
    esac
}

# ---- phases ---------------------------------------------------------------------------------------

transferred() {
    begin transferred
    needed='worker.args probe.json.in probe.py probe_code.py probe_config.py probe_node.py launch.py
    probe_credentials.py probe_der.py probe_file.py probe_kerberos.py probe_token.py probe_trust.py probe_x509.py
    probe_storage.py storage_access.py storage_clients.py
    probe_gpu.py probe_cuda.py probe_gpu_work.py
    activate.sh dask.yaml ca.pem worker.pem worker.key'
    for file in $needed ${p_archive:+relocate.py extract.py node_cache.py}; do
        [ -s "$file" ] || fail missing-file "$file is not in $dir, or is empty"
    done
    arrived=''
    # An archive in parts is read once: the digests of its parts are checked as they are extracted.
    whole_sha256=$p_sha256
    [ "$p_head_size" = 0 ] || whole_sha256=''
    [ -z "$p_archive" ] || intact "$p_archive" "$p_archive_size" "$whole_sha256"
    [ -z "$p_code" ] || intact "$p_code" "$p_code_size" "$p_code_sha256"
    end "$arrived"
}

intact() { # FILE SIZE [SHA256]
    [ -s "$1" ] || fail missing-file "$1 is not in $dir, or is empty"
    size=$(wc -c <"$1")
    size=$((size))
    [ "$size" -eq "$2" ] || fail archive-truncated "$1 has $size bytes, $2 were sent"
    if [ -n "$3" ]; then
        digest=$(sha256sum <"$1")
        digest=${digest%% *}
        [ "$digest" = "$3" ] || fail digest-mismatch "$1 has sha256 ${digest:-unknown}, expected $3"
    fi
    arrived="$arrived${arrived:+, }$1: $size bytes"
}

preflight() {
    begin preflight
    [ -z "$p_archive" ] || enough_disk
    resolve_name
    connect
}

enough_disk() {
    find_cached
    [ "$cached" = no ] || return 0
    free_space "${cache:-.}"
    [ -n "$available" ] || return 0
    needed=$((p_tree_size / 1024))
    [ "$available" -lt "$needed" ] || return 0
    if [ -n "$cache" ]; then
        no_cache "$available KiB free in $cache, the environment needs $needed KiB"
        enough_disk
        return
    fi
    fail no-space "$available KiB free in $dir, the environment needs $needed KiB"
}

is_address() {
    case $1 in
        *:*) return 0 ;;
        *[!0-9.]*) return 1 ;;
    esac
}

resolve_name() {
    is_address "$p_scheduler_host" && return
    have getent || return 0 # the TCP test will tell
    deadline=$(($(date +%s) + NAME_LIMIT))
    until getent ahosts "$p_scheduler_host" >/dev/null 2>&1; do
        expired "$deadline" && fail name-unresolved "$p_scheduler_host does not resolve on this node"
        sleep 1
    done
}

# The programs of the TCP test. Each takes HOST PORT and exits with 0 once connected.
tcp_bash() {
    # shellcheck disable=SC2016 # bash expands them
    limited "$TCP_LIMIT" bash -c 'exec 3<>"/dev/tcp/$1/$2"' tcp "$@"
}
tcp_perl() {
    # shellcheck disable=SC2016 # perl expands them
    limited "$TCP_LIMIT" perl -e '
        my $class = eval { require IO::Socket::IP; 1 } ? "IO::Socket::IP" : "IO::Socket::INET";
        eval "require $class" or do { print "unusable: no $class\n"; exit 3 };
        $class->new(PeerHost => $ARGV[0], PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Proto => "tcp")
            or do { print "$@\n"; exit 1 };' "$@"
}
tcp_python3() {
    limited "$TCP_LIMIT" python3 -I -S -c '
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
except OSError as error:
    sys.exit(str(error))' "$@"
}
tcp_nc() { limited "$TCP_LIMIT" nc -v -z -w "$TCP_LIMIT" "$@"; }
tcp_curl() {
    case $1 in
        *:*) set -- "[$1]" "$2" ;;
    esac
    limited $((TCP_LIMIT + 2)) curl -sSk --noproxy '*' --connect-timeout "$TCP_LIMIT" -m "$TCP_LIMIT" \
        -o /dev/null "https://$1:$2"
    code=$?
    case $code in
        35 | 52 | 56 | 58) return 0 ;; # connected, and then something about TLS or HTTP
    esac
    return "$code"
}

tcp_words() { # $words: what kept TOOL from connecting, with exit code CODE; false when TOOL is of no use
    last_line
    case $2:$(cat "$notes") in
        124:*) words='timed out' ;;
        126:* | 127:* | *[Uu]sage:* | *'nvalid option'* | *unusable* | *'not supported'* | *'No such file'*) return 1 ;;
        *efused*) words='refused' ;;
        *'imed out'* | *'imeout'* | *'in progress'*) words='timed out' ;;
        *'not known'* | *'name resolution'* | *'not resolve'*) words='name does not resolve' ;;
        *) words=${words:-exit code $2} ;;
    esac
    words="$words ($1)"
}

try_tcp() { # 0 connected, 1 not ($words says why), 2 nothing here can try it
    for tool in bash perl python3 nc curl; do
        have "$tool" || continue
        "tcp_$tool" "$p_scheduler_host" "$p_scheduler_port" && return 0
        tcp_words "$tool" "$?" && return 1
    done
    return 2
}

connect() {
    target=$p_scheduler_host:$p_scheduler_port
    begun=$(date +%s) tries=0
    while :; do
        try_tcp
        case $? in
            0) end "$target answers ($tool)" && return ;;
            2) event preflight skip not-tested "$target: no bash, perl, python3, nc or curl to try it with" && return ;;
        esac
        tries=$((tries + 1)) last_words=$words
        case $words in
            'name does'*) expired $((begun + NAME_LIMIT)) && fail name-unresolved "$target: $last_words" ;;
        esac
        expired $((begun + p_start_timeout)) && break
        sleep 1
    done
    fail port-unreachable "$target: $last_words, $tries times in $(($(date +%s) - begun)) s"
}

extracted() {
    begin extracted
    if [ -z "$p_archive" ]; then
        [ -x "$python" ] || fail prefix-not-visible "$python is not there, or cannot be executed"
        extract_code
        event extracted skip '' "$python is used in place" && return
    fi
    extract_code
    if use_cache; then
        end "$root: ${why:-extracted once for all jobs of the node}"
        return
    fi
    unpack "$root" "$root" || fail "$code" "$words"
    end "$root${why:+; the cache of the node was not used: $why}"
}

# The environment is extracted below a name of its own and moved to its place when it is whole: nothing
# else ever has that name, and a job that is killed leaves nothing that looks like it.

unpack() { # DIRECTORY PLACE: extract the environment there, made for PLACE; else $code and $words say why not
    if ! mkdir -p "$1"; then
        code=extract-failed words="$1 cannot be made"
        return 1
    fi
    if [ "$p_head_size" = 0 ]; then
        unpack_whole "$@"
    else
        unpack_parts "$@"
    fi
}

unpack_whole() {
    LC_ALL=C run tar --no-same-owner --no-same-permissions -xzf "$p_archive" -C "$1" || explain_tar "$?" "$1" || return
    run "$1/$p_base_python" -I -S -c '' || explain_python "$?" "$1" || return
    run "$1/$p_base_python" -I -S relocate.py "$1" "$2" && return
    code=relocate-failed words="exit code $code: $words"
    return 1
}

unpack_parts() {
    digest=$(head -c "$p_head_size" "$p_archive" | sha256sum)
    digest=${digest%% *}
    [ "$digest" = "$p_head_sha256" ] || damaged "$p_archive has sha256 ${digest:-unknown} in its head, expected $p_head_sha256"
    LC_ALL=C run untar_head "$1" || explain_tar "$?" "$1" || return
    run "$1/$p_base_python" -I -S -c '' || explain_python "$?" "$1" || return
    run "$1/$p_base_python" -I -S extract.py "$p_archive" "$1" "$2" "$p_index_size" "$p_index_sha256" "$p_nthreads" &&
        return
    case $code in
        3) damaged "$words" ;;
        4) code=relocate-failed && return 1 ;;
    esac
    explain_tar "$code" "$1"
}

untar_head() {
    head -c "$p_head_size" "$p_archive" | tar --no-same-owner --no-same-permissions -xzf - -C "$1"
}

damaged() { # DETAIL: what arrived is not what was sent
    [ -z "$partial" ] || rm -rf -- "$partial"
    [ "$root" != "$dir/$p_root" ] || rm -rf -- "$root"
    phase=transferred
    fail digest-mismatch "$1"
}

# ---- the cache of the node ------------------------------------------------------------------------

no_cache() { # DETAIL: go on in the job's own directory
    why=$1 cache=''
    place "$dir/$p_root"
}

owner_and_mode() { # $owner $mode of DIRECTORY, as numbers
    owner=$(stat -L -c '%u %a' "$1" 2>/dev/null)
    mode=${owner#* } owner=${owner%% *}
}

find_cached() { # $cache: the user's own directory for environments; $cached: whether this one is there
    [ -n "$p_node_cache" ] && [ -z "$why" ] && [ -z "$cache" ] || return 0
    me=$(id -u)
    owner_and_mode "$p_node_cache"
    case $owner:$mode in
        :*) no_cache "$p_node_cache is not there" ;;
        "$me:"* | 0:*) own_directory ;;
        *) no_cache "$p_node_cache belongs to user $owner" ;;
    esac
    [ -n "$cache" ] || return 0
    place "$cache/$p_key"
    is_whole && cached=yes
    return 0
}

own_directory() {
    case $mode in
        [1357]???) ;; # others may make files, but not rename mine
        *[2367] | *[2367]?) no_cache "$p_node_cache has mode $mode: others can rename what is in it" && return ;;
    esac
    mkdir -m 700 "$p_node_cache/fasthep-validate-$me" 2>/dev/null
    cache=$p_node_cache/fasthep-validate-$me
    owner_and_mode "$cache"
    [ ! -h "$cache" ] || no_cache "$cache is a link"
    case $cache:$owner:$mode in
        :*) ;;
        "$cache:$me:700") ;;
        *) no_cache "$cache belongs to user ${owner:-?} with mode ${mode:-?}, expected $me and 700" ;;
    esac
}

is_whole() { # whether $root was extracted to its end; after a crash of the node nobody knows what was written
    { read -r boot _ <"$root/$WHOLE"; } 2>/dev/null || return 1
    [ "$boot" = "$(boot_id)" ] && [ -x "$python" ] && touch -c "$root/$WHOLE"
}

boot_id() { cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown; }

use_cache() { # $root: the environment in the cache; false: there is none, and $why says why
    [ -n "$cache" ] || return 1
    if [ "$cached" = yes ]; then
        why='found on the node'
        return
    fi
    if ! lock_cached; then
        no_cache "$words"
        return 1
    fi
    if is_whole; then # another job has been faster
        why='found on the node'
    elif ! fill_cache; then
        no_cache "$words"
    fi
    unlock
    [ -n "$cache" ]
}

fill_cache() {
    partial=$root.partial.$(uname -n).$$
    rm -rf -- "$partial"
    if unpack "$partial" "$root" && printf '%s %s\n' "$(boot_id)" "$p_tree_size" >"$partial/$WHOLE"; then
        is_whole || rm -rf -- "$root" # of a boot before this one
        if mv -T -- "$partial" "$root" 2>/dev/null || is_whole; then
            rm -rf -- "$partial"
            partial=''
            trim_cache
            return 0
        fi
        words="$partial cannot be moved to $root"
    fi
    rm -rf -- "$partial"
    partial=''
    return 1
}

trim_cache() { # the oldest ones go that nobody uses
    set -- "$cache"/*/
    [ $# -gt 1 ] || return 0
    run "$base_python" -I -S node_cache.py "$cache" "$p_node_cache_limit" "$p_key"
    return 0
}

lock_cached() { # one job at a time; else $words says why not
    lock=$cache/$p_key.lock
    if ! have flock; then
        lock_directory
        return
    fi
    words="$lock cannot be made"
    touch "$lock" 2>/dev/null || return 1
    exec 9<"$lock"
    limit=$(($(date +%s) + LOCK_WAIT))
    until flock -n 9 2>/dev/null; do # not every flock can wait for a time
        wait_for_lock || return
    done
}

wait_for_lock() {
    if expired "$limit"; then
        words="another job has held $lock for more than $LOCK_WAIT s"
        exec 9>&-
        lock=''
        return 1
    fi
    nap
}

lock_directory() { # without flock: a directory whose time its holder keeps up to date
    limit=$(($(date +%s) + LOCK_WAIT))
    until mkdir "$lock.d" 2>/dev/null; do
        wait_for_lock || return
        seen=$(stat -c %Y "$lock.d" 2>/dev/null) || continue
        # Two that find it stale at once may both go on; the environment is moved to its place only once.
        if expired $((seen + LOCK_STALE)); then
            rm -rf -- "$lock.d"
        fi
    done
    while sleep "$LOCK_BEAT" && kill -0 $$ 2>/dev/null; do
        touch -c "$lock.d"
    done </dev/null >/dev/null 2>&1 &
    beat=$!
}

unlock() {
    [ -n "$lock" ] || return 0
    exec 9>&-
    if [ -n "$beat" ]; then
        kill "$beat" 2>/dev/null
        wait "$beat" 2>/dev/null
        rm -rf -- "$lock.d"
    fi
    lock='' beat=''
}

extract_code() { # the layer with the user's own code, beside the environment and never in it
    [ -n "$p_code" ] || return 0
    code_root=$dir/code
    mkdir -p "$code_root" || fail extract-failed "$code_root cannot be made"
    LC_ALL=C run tar --no-same-owner --no-same-permissions -xzf "$p_code" -C "$code_root" ||
        explain_tar "$?" "$code_root" || fail "$code" "$words"
}

explain_tar() { # CODE DIRECTORY: why nothing could be extracted there, in $code and $words
    words=$(tail -n 3 "$notes" 2>/dev/null)
    free_space "$2"
    case $(tail -c 4000 "$notes" 2>/dev/null) in
        *'No space left'* | *'uota exceeded'*) code=no-space ;;
        *) code=extract-failed ;;
    esac
    [ "${available:-$LOW_DISK}" -ge "$LOW_DISK" ] || code=no-space
    if [ "$code" = no-space ]; then
        words="${available:-?} KiB left in $2: $words"
    else
        words="exit code $1: $words"
    fi
    return 1
}

explain_python() { # CODE DIRECTORY: why the packed Python does not start there
    case $1:$words in
        126:*ermission*) code=noexec words="programs cannot be executed in $2: $words" ;;
        *'failed to map segment'*'not permitted'*) code=noexec words="libraries cannot be loaded from $2: $words" ;;
        *) code=cannot-start words="the packed Python does not start, exit code $1: $words" ;;
    esac
    return 1
}

credentials() {
    if [ -z "$p_x509_proxy$p_x509_ca$p_krb5_ccache$p_bearer_token$p_credentials_required" ]; then
        event credentials skip '' 'none asked for' && return
    fi
    begin credentials
    [ -z "$p_x509_proxy" ] || x509_credential
    [ -z "$p_x509_ca" ] || trusted_authorities
    [ -z "$p_krb5_ccache" ] || kerberos_credential
    [ -z "$p_bearer_token" ] || token_credential
    end "${placed#; }"
}

lacking() { # KIND CODE DETAIL: the phase has failed if the credential is required
    case " $p_credentials_required " in
        *" $1 "*) fail "$2" "$1: $3" ;;
    esac
    placed="$placed; $1: none, $3"
}

in_place() { # NAME: a file of the job goes where only the owner sees it; false if it is not there
    [ -s "$1" ] && mkdir -p credentials && chmod 700 credentials && mv -f "$1" "credentials/$1" &&
        chmod 600 "credentials/$1"
}

x509_credential() {
    case $p_x509_proxy in
        env)
            case ${X509_USER_PROXY:-} in
                '') lacking x509 not-delivered 'the batch system did not set X509_USER_PROXY' && return ;;
                /*) ;;
                *) X509_USER_PROXY=$dir/$X509_USER_PROXY ;;
            esac
            ;;
        /*) X509_USER_PROXY=$p_x509_proxy ;;
        *)
            in_place "$p_x509_proxy" || { lacking x509 missing "$p_x509_proxy did not arrive" && return; }
            X509_USER_PROXY=$dir/credentials/$p_x509_proxy
            ;;
    esac
    [ -r "$X509_USER_PROXY" ] || { lacking x509 unreadable "$X509_USER_PROXY cannot be read here" && return; }
    export X509_USER_PROXY
    placed="$placed; x509: $X509_USER_PROXY"
}

trusted_authorities() { # one that is not there is told by the checks: what the work needs it for may do without
    X509_CERT_DIR=$p_x509_ca
    case $p_x509_ca in
        /*) ;;
        *)
            X509_CERT_DIR=$dir/authorities
            mkdir -p authorities
            LC_ALL=C run tar --no-same-owner -xzf "$p_x509_ca" -C authorities ||
                fail extract-failed "$p_x509_ca: exit code $?: $words"
            ;;
    esac
    export X509_CERT_DIR
}

kerberos_credential() {
    case $p_krb5_ccache in
        unset) unset KRB5CCNAME && return ;;
        env)
            [ -n "${KRB5CCNAME:-}" ] || { lacking kerberos not-delivered 'the batch system did not set KRB5CCNAME' && return; }
            ;;
        *)
            in_place "$p_krb5_ccache" || { lacking kerberos missing "$p_krb5_ccache did not arrive" && return; }
            KRB5CCNAME=FILE:$dir/credentials/$p_krb5_ccache
            ;;
    esac
    export KRB5CCNAME
    placed="$placed; kerberos: $KRB5CCNAME"
}

token_credential() {
    unset BEARER_TOKEN # it goes before any file
    case $p_bearer_token in
        service:*) service_token "${_CONDOR_CREDS:-}/${p_bearer_token#service:}.use" || return 0 ;;
        /*) BEARER_TOKEN_FILE=$p_bearer_token ;;
        *)
            in_place "$p_bearer_token" || { lacking token missing "$p_bearer_token did not arrive" && return; }
            BEARER_TOKEN_FILE=$dir/credentials/$p_bearer_token
            ;;
    esac
    [ -r "$BEARER_TOKEN_FILE" ] || { lacking token unreadable "$BEARER_TOKEN_FILE cannot be read here" && return; }
    export BEARER_TOKEN_FILE
    placed="$placed; token: $BEARER_TOKEN_FILE"
}

service_token() { # FILE of HTCondor's credmon: a raw token is used as it lies, of a JSON a raw copy is kept fresh
    [ -s "$1" ] || { lacking token not-delivered "HTCondor brought no $1" && return 1; }
    BEARER_TOKEN_FILE=$1
    case $(head -c 1000 "$1" | LC_ALL=C tr -d ' \t\r\n' | cut -c 1) in
        '{') ;;
        *) return 0 ;;
    esac
    BEARER_TOKEN_FILE=$dir/credentials/bearer_token
    raw_token "$1" || { lacking token garbage "$1 holds no access_token" && return 1; }
    keep_token "$1" </dev/null >/dev/null 2>&1 &
    keeper=$!
}

raw_token() { # FILE: the access token of a JSON (characters: RFC 6750, 2.1) becomes credentials/bearer_token, in one step
    mkdir -p credentials && chmod 700 credentials &&
        head -c 65536 "$1" | LC_ALL=C tr -d '\r\n' |
        LC_ALL=C sed -n 's/.*"access_token"[[:blank:]]*:[[:blank:]]*"\([A-Za-z0-9._~+/=-]\{1,\}\)".*/\1/p' \
            >credentials/.bearer_token && [ -s credentials/.bearer_token ] &&
        mv -f credentials/.bearer_token credentials/bearer_token
}

keep_token() { # FILE: HTCondor renews it in place
    trap - HUP INT TERM USR2 XCPU EXIT
    while sleep "$KEEP"; do
        raw_token "$1"
    done
}

scrub() { # nothing of the node's Python or of the user's Dask may leak into the worker
    newline='
'
    old_ifs=$IFS IFS=$newline
    set -f
    for text in $(env); do
        name=${text%%=*}
        case $name in
            *[!A-Z0-9_]*) ;; # the second line of some value
            PYTHON* | DASK_*) unset "$name" ;;
        esac
    done
    set +f
    IFS=$old_ifs
    export PYTHONNOUSERSITE=1 PYTHONUNBUFFERED=1
    # Bytecode written into a prefix that others share would be theirs to trip over, with our umask.
    [ -n "$p_archive" ] || export PYTHONDONTWRITEBYTECODE=1
    export PATH="${python%/*}:${PATH:-/usr/local/bin:/usr/bin:/bin}"
    export OMP_NUM_THREADS="$p_nthreads" OPENBLAS_NUM_THREADS="$p_nthreads" MKL_NUM_THREADS="$p_nthreads"
    # Where code may come from, for the questions that are put through Dask.
    FASTHEP_VALIDATE_ROOT=${root} FASTHEP_VALIDATE_JOB=$(pwd)
    export FASTHEP_VALIDATE_ROOT FASTHEP_VALIDATE_JOB
    unset FASTHEP_VALIDATE_CODE
    [ -z "$p_code" ] || code_on_path
    export NUMEXPR_NUM_THREADS="$p_nthreads" VECLIB_MAXIMUM_THREADS="$p_nthreads"
}

code_on_path() { # a packed Python puts it there by itself (layer.py), a shared one has to be told
    export FASTHEP_VALIDATE_CODE="$code_root"
    [ -z "$p_archive" ] || return 0
    while IFS= read -r line; do
        export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$code_root/$line"
    done <"$code_root/paths.txt"
}

activation() { # $activator: the shell that activates the environment; empty where nothing is to be done
    activator=''
    set -- "$root"/etc/conda/activate.d/*.sh
    [ -e "$1" ] || [ -d "${code_root:-/nowhere}/activation" ] || return 0
    activator='sh'
    ! have bash || activator='bash' # scripts of packages are written for it
}

launch() { # in a subshell: it becomes the program
    [ -n "$activator" ] || exec "$@"
    exec "$activator" activate.sh "$@"
}

probed() {
    begin python
    scrub
    activation
    # What the worker imports takes as long as the look at the node: it is imported meanwhile, once for both.
    rm -f "$GO" "$IMPORTED"
    launch "$python" launch.py worker.args "$GO" "$IMPORTED" </dev/null &
    ahead=$!
    run launch "$python" probe.py probe.json.in probe.json "$IMPORTED" "$ahead" || fail python-failed "exit code $?: $words"
    [ -s probe.json ] || fail python-failed 'probe.py left no probe.json'
    printf 'FHV-PROBE %s\n' "$(cat probe.json)"
    end
}

work() { # launch.py tells of the phase `connected` itself, and leads a process group of its own
    child=$ahead ahead=''
    : >"$GO"
    wait "$child"
    code=$?
    kill_all "$child"
    child=''
    return "$code"
}

trap finish EXIT
trap 'on_signal HUP 1' HUP
trap 'on_signal INT 2' INT
trap 'on_signal USR2 12' USR2
trap 'on_signal TERM 15' TERM
trap 'on_signal XCPU 24' XCPU

params=${1:-}
[ -r "$params" ] || reject 'cannot be read. Call it as: sh bootstrap.sh job.params'
case $params in
    */*) cd -- "${params%/*}/" || reject 'its directory cannot be entered' ;;
esac
params=${params##*/}
dir=$(pwd -P)
notes=$dir/.fasthep-step
read_params
check_params
find_chirp

transferred
preflight
extracted
credentials
probed
work
