#!/sbin/openrc-run
# Written by haven-agent install, which writes it anew.
@JOINED@
# shellcheck shell=sh disable=SC2034

name="Haven node agent"
supervisor=supervise-daemon
command=/usr/local/bin/haven-agent
command_args="daemon --config /etc/haven-agent.ini"
command_user="@USER@:@GROUP@"
output_log=/var/log/haven-agent.log
error_log=/var/log/haven-agent.log
respawn_delay=2
respawn_max=0
# Not `no_new_privs`, which OpenRC up to 0.45 hands on misspelt: the agent sets it by itself (sandbox).
rc_ulimit="-n 65536"
extra_started_commands="reload"

depend() {
    use net dns
    after docker firewall
}

start_pre() {
    checkpath --file --owner "$command_user" --mode 0640 "$output_log"
}

reload() {
    ebegin "Reloading $RC_SVCNAME"
    supervise-daemon "$RC_SVCNAME" --signal HUP
    eend $?
}
