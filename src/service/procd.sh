#!/bin/sh /etc/rc.common
# Written by haven-agent install, which writes it anew.
@JOINED@
# shellcheck shell=sh disable=SC2034

USE_PROCD=1
START=99
STOP=10

start_service() {
    procd_open_instance
    procd_set_param command /usr/local/bin/haven-agent daemon --config /etc/haven-agent.ini
    procd_set_param user @USER@
    procd_set_param file /etc/haven-agent.ini
    # For ever, after two seconds.
    procd_set_param respawn 3600 2 0
    procd_set_param limits nofile="65536 65536"
    procd_set_param no_new_privs 1
    procd_set_param stdout 1
    procd_set_param stderr 1
    procd_close_instance
}

reload_service() {
    procd_send_signal haven-agent '*' HUP
}
