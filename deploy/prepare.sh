# What the scripts here share: say what is done, find Swift, install what is missing. Sourced, never run.

say() { printf '%s: %s\n' "deploy/$(basename "$0")" "$*" >&2; }
die() { say "$*"; exit 1; }

# Runs a command as root: as it is for root, else with sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || die "this needs root or sudo: run it as root, or install sudo"
        sudo "$@"
    fi
}

need_swift() {
    local version advice="install Swift 6.2 or newer from https://www.swift.org/install/linux, then run this again"
    command -v swift >/dev/null || die "Swift is not on the PATH: $advice"
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p' | head -n 1)
    [ "$(printf '%s\n' 6.2 "$version" | sort -V | head -n 1)" = 6.2 ] \
        || die "Swift ${version:-of unknown version} is too old: $advice"
}

# install_missing PACKAGE...: those of Debian's or Ubuntu's packages that are missing; asks no network when none is.
install_missing() {
    local package missing=()
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "no apt-get here: install the likes of ${missing[*]} yourself"
    say "installing ${missing[*]}"
    as_root apt-get update -q >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
}

# packages_without_program PROGRAM:PACKAGE...: the packages of those programs that are not here. Looked for by what they
# do, not by package: others' packages of the same programs serve as well.
packages_without_program() {
    local entry
    for entry in "$@"; do
        command -v "${entry%%:*}" >/dev/null || printf '%s\n' "${entry#*:}"
    done | sort -u
}

# Installs without starting or enabling a daemon: the tests bring up their own, and nothing else is to run here.
install_quietly() {
    local policy=/usr/sbin/policy-rc.d status=0 package
    if [ ! -e $policy ]; then
        trap "as_root rm -f $policy" EXIT
        as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
    fi
    install_missing "$@" || status=$?
    if [ -n "$(trap -p EXIT)" ]; then
        as_root rm -f $policy
        trap - EXIT
    fi
    [ $status = 0 ] || die "the packages could not be installed: what apt-get says above has the reason"
    [ -d /run/systemd/system ] || return 0
    for package in "$@"; do
        case $package in
            docker.io) as_root systemctl disable --quiet docker.service docker.socket || true ;;
            containerd | docker-registry | nginx | prometheus)
                as_root systemctl disable --quiet "$package.service" || true
                ;;
        esac
    done
}

# What the build links with, and what SwiftPM and libcurl need at work.
build_packages=(libcurl4-openssl-dev libsqlite3-dev libssl-dev libcrypt-dev pkg-config git ca-certificates)
