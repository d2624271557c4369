# SPDX-License-Identifier: Apache-2.0
# packages.sh: what a bare Debian 12 lacks, for sourcing by fixtures/demo.sh and tests/run.sh. Not a program.
# shellcheck shell=sh disable=SC2034

build_packages="ninja-build cmake gcc libc6-dev pkg-config libarchive-dev libxxhash-dev libtalloc-dev libsqlite3-dev
    libpcre2-dev libgmime-3.0-dev libjansson-dev libc-ares-dev libpsl-dev libsodium-dev libmaxminddb-dev libinih-dev"
test_packages="clang libcmocka-dev postfix postfix-pcre dovecot-sieve libhtml-parser-perl libnet-dns-perl libnetaddr-ip-perl rspamd perl python3 m4 zstd xz-utils procps nftables unbound iproute2 fail2ban"

# install_packages NAME...: install those that are missing. Postfix neither starts nor gets a configuration of its own:
# for the time of the installation a policy-rc.d forbids daemons, unless the machine has one already.
install_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q ' installed$' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    [ "$(id -u)" = 0 ] || { echo "missing packages, and only root can install them:$missing" >&2; return 77; }
    echo "installing:$missing" >&2
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then policy=; else printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy"; fi
    status=0 log=${TMPDIR:-/tmp}/qsurgeon-apt.$$
    # shellcheck disable=SC2086
    { apt-get update && echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } \
        > "$log" 2>&1 || status=$?
    [ $status = 0 ] || tail -n 20 "$log" >&2
    rm -f "$log" ${policy:+"$policy"}
    return $status
}
