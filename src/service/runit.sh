#!/bin/sh
# Written by haven-agent install, which writes it anew.

exec 2>&1
# shellcheck disable=SC3045 # each sh of Linux has it
ulimit -n 65536
exec chpst -u @USER@:@GROUPS@ /usr/local/bin/haven-agent daemon --config /etc/haven-agent.ini
