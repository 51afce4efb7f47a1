# What packages use of OpenWrt's /lib/functions.sh: the readers of /etc/config, and the frame of package scripts.
# It reads the files themselves (OpenWrt asks uci): words are bare, in '' or in "", and nothing in them is run.

CONFIG_SECTIONS=

_config_word() {
    # Take the next word off $rest into $word; fail at the end of the line.
    rest=${rest#"${rest%%[! 	]*}"}
    case $rest in
    '' | '#'*) word= && return 1 ;;
    "'"*) rest=${rest#"'"} word=${rest%%"'"*} rest=${rest#*"'"} ;;
    '"'*) rest=${rest#'"'} word=${rest%%'"'*} rest=${rest#*'"'} ;;
    *) word=${rest%%[ 	]*} rest=${rest#"$word"} ;;
    esac
}

config_load() {
    # Read /etc/config/$1; fail when there is none.
    local file="${UCI_CONFIG_DIR:-/etc/config}/$1" line rest word key name count=0 section=
    case $1 in
    /*) file=$1 ;;
    esac
    [ -r "$file" ] || return 1
    for section in $CONFIG_SECTIONS; do
        unset $(set | grep -o "^CONFIG_${section}_[A-Za-z0-9_]*=" | tr -d =)
    done
    CONFIG_SECTIONS= section=
    while IFS= read -r line || [ -n "$line" ]; do
        rest=$line
        _config_word || continue
        key=$word
        _config_word || continue
        name=$word
        _config_word
        case $key in
        config)
            section=$word
            [ -n "$section" ] || section=$(printf 'cfg%02x' "$count")
            count=$((count + 1))
            CONFIG_SECTIONS="${CONFIG_SECTIONS:+$CONFIG_SECTIONS }$section"
            config_set "$section" TYPE "$name"
            ;;
        option) [ -n "$section" ] && config_set "$section" "$name" "$word" ;;
        list) [ -n "$section" ] && _config_append "$section" "$name" "$word" ;;
        esac
    done <"$file"
    return 0
}

config_set() {
    # config_set SECTION OPTION VALUE: for this shell only.
    case $1$2 in
    *[!A-Za-z0-9_]*) return 1 ;;
    esac
    export -n "CONFIG_$1_$2=$3"
}

_config_append() {
    local length
    config_get length "$1" "$2_LENGTH" 0
    length=$((length + 1))
    config_set "$1" "$2_ITEM$length" "$3"
    config_set "$1" "$2_LENGTH" "$length"
    config_get word "$1" "$2"
    config_set "$1" "$2" "${word:+$word }$3"
}

config_get() {
    # config_get VARIABLE SECTION OPTION [DEFAULT]; config_get SECTION OPTION prints.
    if [ -z "$3" ]; then
        case $1$2 in
        *[!A-Za-z0-9_]*) return 1 ;;
        esac
        eval "printf '%s\n' \"\${CONFIG_$1_$2}\""
        return
    fi
    case $1$2$3 in
    *[!A-Za-z0-9_]*) export -n "$1=$4" ;;
    *) eval "export -n \"$1=\${CONFIG_$2_$3:-\$4}\"" ;;
    esac
}

config_get_bool() {
    # As config_get, with the answer 1 or 0.
    local _value
    config_get _value "$2" "$3" "$4"
    case $_value in
    1 | on | true | yes | enabled) _value=1 ;;
    0 | off | false | no | disabled) _value=0 ;;
    *) _value=$4 ;;
    esac
    export -n "$1=$_value"
}

config_foreach() {
    # config_foreach FUNCTION [TYPE] [ARGUMENT...]: call it with each section's name.
    local _function="$1" _type="$2" _section _found
    shift
    [ $# -gt 0 ] && shift
    for _section in $CONFIG_SECTIONS; do
        config_get _found "$_section" TYPE
        [ -n "$_type" ] && [ "$_found" != "$_type" ] && continue
        "$_function" "$_section" "$@"
    done
}

config_list_foreach() {
    # config_list_foreach SECTION OPTION FUNCTION [ARGUMENT...]: call it with each value of a list.
    local _section="$1" _option="$2" _function="$3" _length _index=1 _item
    shift 3
    config_get _length "$_section" "${_option}_LENGTH" 0
    while [ "$_index" -le "$_length" ]; do
        config_get _item "$_section" "${_option}_ITEM$_index"
        "$_function" "$_item" "$@"
        _index=$((_index + 1))
    done
}

append() {
    # append VARIABLE VALUE [SEPARATOR]
    eval "export -n \"$1=\${$1:+\$$1\${3:- }}\$2\""
}

list_contains() {
    # True when the words of the variable named $1 hold $2.
    eval "case \" \$$1 \" in *\" \$2 \"*) return 0 ;; esac"
    return 1
}

default_postinst() {
    # The end of an installation: the package's own script, its uci-defaults, its services.
    local package filelist i ret=0
    package=${1##*/} package=${package%.*}
    filelist="$IPKG_INSTROOT/usr/lib/opkg/info/$package.list"
    if [ -f "$IPKG_INSTROOT/usr/lib/opkg/info/$package.postinst-pkg" ]; then
        (. "$IPKG_INSTROOT/usr/lib/opkg/info/$package.postinst-pkg")
        ret=$?
    fi
    if [ -z "$IPKG_INSTROOT" ]; then
        for i in $(grep -s '^/etc/uci-defaults/' "$filelist"); do
            ([ -f "$i" ] && cd "${i%/*}" && . "$i") && rm -f "$i"
        done
    fi
    for i in $(grep -s '^/etc/init.d/' "$filelist"); do
        if [ -n "$IPKG_INSTROOT" ]; then
            /bin/sh "$IPKG_INSTROOT/etc/rc.common" "$IPKG_INSTROOT$i" enable
        else
            [ "$PKG_UPGRADE" = 1 ] || "$i" enable
            "$i" start
        fi
    done
    return $ret
}

default_prerm() {
    # The start of a removal: the package's own script, then its services.
    local package filelist i ret=0
    package=${1##*/} package=${package%.*}
    filelist="$IPKG_INSTROOT/usr/lib/opkg/info/$package.list"
    if [ -f "$IPKG_INSTROOT/usr/lib/opkg/info/$package.prerm-pkg" ]; then
        (. "$IPKG_INSTROOT/usr/lib/opkg/info/$package.prerm-pkg")
        ret=$?
    fi
    for i in $(grep -s '^/etc/init.d/' "$filelist"); do
        if [ -n "$IPKG_INSTROOT" ]; then
            /bin/sh "$IPKG_INSTROOT/etc/rc.common" "$IPKG_INSTROOT$i" disable
        else
            [ "$PKG_UPGRADE" = 1 ] || "$i" disable
            "$i" stop
        fi
    done
    return $ret
}
