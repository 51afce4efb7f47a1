# procd for init scripts: included by /etc/rc.common for those with USE_PROCD. A service is started from its
# description, kept by /usr/libexec/instance, and started anew only when the description or a file in it changed.

state=/var/run/procd

_quote() {
    # Print the words so that eval reads the same words.
    local word
    for word; do
        case $word in
        *"'"*) word=$(printf '%s' "$word" | sed "s/'/'\\\\''/g") ;;
        esac
        printf " '%s'" "$word"
    done
}

procd_open_instance() {
    _count=$((_count + 1))
    _instance=${1:-instance$_count}
    _description="service='$service' instance='$_instance'"
}

_describe() {
    _description="$_description
$1"
}

procd_set_param() {
    # The parameters that packages of this kind use; the others are named, so that nobody trusts them.
    local type="$1" word
    shift
    case $type in
    command) _describe "command=\"$(_quote "$@" | sed 's/[\\"$`]/\\&/g')\"" ;;
    respawn) _describe "respawn='${1:-3600} ${2:-5} ${3:-5}'" ;;
    stdout | stderr | pidfile | term_timeout | no_new_privs) _describe "$type=$(_quote "$1" | sed 's/^ //')" ;;
    env) for word; do _describe "export$(_quote "$word")"; done ;;
    file) for word; do _describe "# $(md5sum "$word" 2>&1)"; done ;;
    netdev) for word; do _describe "# $word $(cat "/sys/class/net/$word/ifindex" 2>&1)"; done ;;
    *) echo "$service: procd parameter '$type' is not emulated here" >&2 ;;
    esac
}

procd_append_param() {
    case $1 in
    command)
        shift
        _describe "command=\"\$command$(_quote "$@" | sed 's/[\\"$`]/\\&/g')\""
        ;;
    *) procd_set_param "$@" ;;
    esac
}

# A jail is what ujail makes of these words; where there is none, procd starts the service without.
procd_add_jail() {
    local word options="-n $1"
    shift
    for word; do
        case $word in
        procfs) options="$options -p" ;;
        sysfs) options="$options -s" ;;
        ronly) options="$options -o" ;;
        *) echo "$service: '$word' of a jail is not emulated here" >&2 ;;
        esac
    done
    _describe "jail='$options'"
}

procd_add_jail_mount() {
    local path
    for path in $@; do _describe "jail=\"\$jail -r $path\""; done
}

procd_add_jail_mount_rw() {
    local path
    for path in $@; do _describe "jail=\"\$jail -w $path\""; done
}

procd_close_instance() {
    printf '%s\n' "$_description" >"$state/$service.$_instance.new"
}

procd_add_reload_trigger() {
    printf '%s\n' "$@" >>"$state/$service.trigger"
}


procd_add_interface_trigger() {
    # $1 is the event; only an interface that comes up ("interface.*.up") is emulated, by ifup.
    shift
    echo "$@" >>"$state/$service.interfaces"
}

procd_add_raw_trigger() { return 0; }
procd_open_trigger() { return 0; }
procd_close_trigger() { return 0; }
procd_add_validation() { return 0; }

_supervisor() {
    # Print the process that keeps the instance whose state files are called $1, if it lives.
    local pid
    read -r pid 2>/dev/null <"$1.supervisor" && kill -0 "$pid" 2>/dev/null && echo "$pid"
}

_kill_instance() {
    # End the instance $1 and wait for that: its supervisor uses force in the end and then removes the .pid file.
    local pid left=1000
    pid=$(_supervisor "$1") && kill "$pid" 2>/dev/null
    while [ -n "$pid" ] && [ -f "$1.pid" ] && kill -0 "$pid" 2>/dev/null && [ $left -gt 0 ]; do
        sleep 0.05
        left=$((left - 1))
    done
    rm -f "$1.supervisor" "$1.pid" "$1.running"
}

procd_kill() {
    # procd_kill SERVICE [INSTANCE]
    local file
    for file in "$state/$1".${2:-*}.running; do
        [ -f "$file" ] && _kill_instance "${file%.running}"
    done
    return 0
}

_procd_start() {
    local file name left
    mkdir -p "$state"
    rm -f "$state/$service".*.new "$state/$service.trigger" "$state/$service.interfaces"
    _count=0
    "$@"
    ! _defined service_triggers || service_triggers
    [ ! -f "$state/$service.trigger" ] ||
        (cd /etc/config && md5sum $(cat "$state/$service.trigger") 2>/dev/null) >"$state/$service.config"
    for file in "$state/$service".*.running; do
        [ -f "$file" ] && [ ! -f "${file%.running}.new" ] && _kill_instance "${file%.running}"
    done
    for file in "$state/$service".*.new; do
        [ -f "$file" ] || continue
        name=${file%.new}
        if [ -n "$(_supervisor "$name")" ] && cmp -s "$file" "$name.running"; then
            rm "$file"
            continue
        fi
        _kill_instance "$name"
        mv "$file" "$name.running"
        start-stop-daemon -S -b -m -p "$name.supervisor" -x /usr/libexec/instance -- "$name"
        # With procd the process is there when its start returns.
        left=100
        until [ -f "$name.pid" ] || [ $left -eq 0 ]; do
            sleep 0.05
            left=$((left - 1))
        done
    done
}

_use_procd() {
    start() {
        _procd_start start_service "$@"
        ! _defined service_started || service_started
    }
    stop() {
        ! _defined stop_service || stop_service "$@"
        procd_kill "$service" "$1"
        rm -f "$state/$service.trigger" "$state/$service.config" "$state/$service.interfaces"
        ! _defined service_stopped || service_stopped
    }
    reload() {
        if _defined reload_service; then
            reload_service "$@"
        else
            start "$@"
        fi
    }
    running() {
        local file
        for file in "$state/$service".${1:-*}.running; do
            [ -f "$file" ] && [ -n "$(_supervisor "${file%.running}")" ] && return 0
        done
        return 1
    }
    status() {
        if running "$@"; then
            echo running
        else
            echo inactive
            return 3
        fi
    }
}
