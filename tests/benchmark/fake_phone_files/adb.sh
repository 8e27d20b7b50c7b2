#!/bin/sh
here=$(dirname "$0")/../phone
if [ "$1" = devices ]; then echo "* daemon started successfully"; echo "List of devices attached"; cat $here/devices; echo; exit 0; fi
[ "$1" = -s ] || exit 9
shift 2
if [ -e $here/gone ]; then echo "adb: device offline" >&2; exit 1; fi
case "$1" in
get-state) echo device ;;
push)
    if [ -e $here/full ] && [ "$(wc -c < $2)" -gt 100 ]; then
        echo "adb: error: failed to copy '$2' to '$3': remote couldn't create file: No space left on device" >&2; exit 1
    fi
    cp "$2" "$here/root$3" && echo "$2: 1 file pushed, 0 skipped." ;;
shell)
    echo "$2" >> $here/log
    case "$2" in
    getprop) cat $here/getprop ;;
    "dumpsys thermalservice") cat $here/thermal ;;
    "dumpsys battery") cat $here/battery ;;
    "for p in "*) cat $here/clocks ;;
    mkdir*) mkdir -p "$here/root${2#mkdir }" ;;
    "rm -rf "*) rm -rf "$here/root${2#rm -rf }" ;;
    chmod*) ;;
    "cd "*)
        if [ -e $here/cut ]; then touch $here/gone; echo "error: closed" >&2; exit 1; fi
        if [ -e $here/crash ]; then cat $here/crash; exit 139; fi
        sh $here/program $2 ;;
    *) echo "unexpected: $2" >&2; exit 127 ;;
    esac ;;
*) exit 9 ;;
esac
