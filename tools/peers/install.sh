#!/bin/sh
# SPDX-License-Identifier: MIT
# install.sh - Debian 12's packages of the peers; run as root. Each is optional: what is not
# installed is not built, and is left out of the tables.
set -eu
# To install a server is not to start it.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update
apt-get install -y --no-install-recommends \
	build-essential liburing-dev libuv1-dev \
	libboost1.81-dev libboost-fiber1.81-dev libboost-context1.81-dev \
	libboost-coroutine1.81-dev libboost-thread1.81-dev libboost-system1.81-dev \
	golang-go rustc cargo librust-tokio-dev librust-libc-dev \
	python3 python3-uvloop libst-dev nginx-light wrk fio
