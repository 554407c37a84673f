//! What the smaller bodies may hold: those of exec, of volumes and of networks.

use super::permits::Switch;
use super::shape::{Is, TEXT_MAP, TEXTS, WHOLES, free, full, look, permit};
use super::special;

/// `containers/*/exec`.
pub(super) const EXEC_CREATE: Is = Is::Object(&[&[
    free("User", Is::Text),
    permit("Privileged", Is::Flag, Switch::Privileged),
    free("Tty", Is::Flag),
    free("ConsoleSize", WHOLES),
    free("AttachStdin", Is::Flag),
    free("AttachStdout", Is::Flag),
    free("AttachStderr", Is::Flag),
    free("Detach", Is::Flag),
    free("DetachKeys", Is::Text),
    free("Env", TEXTS),
    free("WorkingDir", Is::Text),
    free("Cmd", TEXTS),
    free("Container", Is::Text), // docker-py's; dockerd takes that of the path
]]);

/// `exec/*/start`.
pub(super) const EXEC_START: Is = Is::Object(&[&[
    free("Detach", Is::Flag),
    free("Tty", Is::Flag),
    free("ConsoleSize", WHOLES),
]]);

/// `volumes/create`.
pub(super) const VOLUME: Is = Is::Object(&[&[
    free("Name", Is::Text),
    look("Driver", Is::Text, special::volume_driver),
    permit("DriverOpts", TEXT_MAP, Switch::VolumeOptions),
    free("Labels", TEXT_MAP),
    full("ClusterVolumeSpec"),
]]);

/// `networks/create`.
pub(super) const NETWORK: Is = Is::Object(&[&[
    free("Name", Is::Text),
    free("CheckDuplicate", Is::Flag),
    look("Driver", Is::Text, special::network_driver),
    free("Scope", Is::Text),
    free("Internal", Is::Flag),
    free("Attachable", Is::Flag),
    free("Ingress", Is::Flag),
    free("ConfigOnly", Is::Flag),
    permit("ConfigFrom", CONFIG_FROM, Switch::NetworkOptions), // takes over its options
    free("IPAM", IPAM),
    free("EnableIPv4", Is::Flag),
    free("EnableIPv6", Is::Flag),
    permit("Options", TEXT_MAP, Switch::NetworkOptions),
    free("Labels", TEXT_MAP),
]]);

const CONFIG_FROM: Is = Is::Object(&[&[free("Network", Is::Text)]]);

const IPAM: Is = Is::Object(&[&[
    look("Driver", Is::Text, special::network_driver),
    permit("Options", TEXT_MAP, Switch::NetworkOptions),
    free(
        "Config",
        Is::List(&Is::Object(&[&[
            free("Subnet", Is::Text),
            free("IPRange", Is::Text),
            free("Gateway", Is::Text),
            free("AuxiliaryAddresses", TEXT_MAP),
        ]])),
    ),
]]);
