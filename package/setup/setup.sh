#!/bin/sh
# Set the machine up: the Debian packages of apt.txt, and .venv with what pypi.txt pins.
# Safe to run again: does nothing where nothing is missing. Called by the Makefile with the tree's top as first argument.
set -eu
top=$1
here=$top/package/setup

fail() { echo "miniigd: $*" >&2; exit 1; }

missing=
for package in $(sed 's/#.*//' "$here/apt.txt"); do
    case "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" in
    *' installed') ;;
    *) missing="$missing $package" ;;
    esac
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && [ "$(awk 'NR == 1 { print $3 }' /proc/self/uid_map)" -gt 1 ]; then
        sudo=
    elif [ "$(id -u)" != 0 ] && command -v sudo >/dev/null; then
        sudo=sudo
    else
        fail "Debian packages are missing; as root run: apt-get install$missing"
    fi
    echo "==> Installing Debian packages:$missing"
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get update -qq ||
        fail "apt-get update failed: check the network and the machine's apt sources, then run make again"
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
        fail "apt-get install failed: see above, repair it, then run make again"
fi

stamp=$top/.venv/pypi.txt
if ! cmp -s "$here/pypi.txt" "$stamp"; then
    echo "==> Making .venv with what builds and tests need"
    rm -rf "$top/.venv"
    python3 -m venv "$top/.venv" || fail "python3 cannot make a virtual environment: install python3-venv"
    "$top/.venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/pypi.txt" ||
        fail "pip could not install what package/setup/pypi.txt pins: check the network, then run make again"
    cp "$here/pypi.txt" "$stamp"
fi
