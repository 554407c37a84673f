//! What a container's settings may hold: `containers/create`, `containers/*/update`, and the networks that it
//! is connected to. The keys are those of the Engine API up to 1.52.

use super::permits::Switch;
use super::shape::{Field, Is, Needs, SET, TEXT_MAP, TEXTS, WHOLES, free, full, look, permit};
use super::special;

/// dockerd embeds Config and HostConfig in one struct, so that HostConfig's keys count at the top as well.
pub(super) const CREATE: Is = Is::Object(&[CONFIG, CREATE_MORE, HOST_CONFIG, RESOURCES]);

pub(super) const UPDATE: Is = Is::Object(&[RESOURCES, UPDATE_MORE]);

/// `networks/*/connect`.
pub(super) const CONNECT: Is = Is::Object(&[&[
    free("Container", Is::Text),
    free("EndpointConfig", ENDPOINT),
]]);

const CREATE_MORE: &[Field] = &[
    free("HostConfig", Is::Object(&[HOST_CONFIG, RESOURCES])),
    free("NetworkingConfig", Is::Object(&[NETWORKING])),
    free("Cpuset", Is::Text),
];

const UPDATE_MORE: &[Field] = &[free("RestartPolicy", RESTART_POLICY)];

const CONFIG: &[Field] = &[
    free("Hostname", Is::Text),
    free("Domainname", Is::Text),
    free("User", Is::Text),
    free("AttachStdin", Is::Flag),
    free("AttachStdout", Is::Flag),
    free("AttachStderr", Is::Flag),
    free("ExposedPorts", SET),
    free("Tty", Is::Flag),
    free("OpenStdin", Is::Flag),
    free("StdinOnce", Is::Flag),
    free("Env", TEXTS),
    free("Cmd", Is::Words),
    free("Healthcheck", HEALTHCHECK),
    free("ArgsEscaped", Is::Flag),
    free("Image", Is::Text),
    free("Volumes", SET), // places in the container, for volumes of its own
    free("WorkingDir", Is::Text),
    free("Entrypoint", Is::Words),
    free("NetworkDisabled", Is::Flag),
    free("MacAddress", Is::Text),
    free("OnBuild", TEXTS),
    free("Labels", TEXT_MAP),
    free("StopSignal", Is::Text),
    free("StopTimeout", Is::Whole),
    free("Shell", Is::Words),
];

pub(super) const HEALTHCHECK: Is = Is::Object(&[&[
    free("Test", TEXTS),
    free("Interval", Is::Whole),
    free("Timeout", Is::Whole),
    free("StartPeriod", Is::Whole),
    free("StartInterval", Is::Whole),
    free("Retries", Is::Whole),
]]);

const HOST_CONFIG: &[Field] = &[
    look("Binds", TEXTS, special::binds),
    free("ContainerIDFile", Is::Text), // the client's own
    look("LogConfig", LOG_CONFIG, special::log_config),
    look("NetworkMode", Is::Text, special::network_mode),
    free("PortBindings", PORTS),
    free("RestartPolicy", RESTART_POLICY),
    free("AutoRemove", Is::Flag),
    look("VolumeDriver", Is::Text, special::volume_driver),
    permit("VolumesFrom", TEXTS, Switch::VolumesFrom),
    free("ConsoleSize", WHOLES),
    permit("Annotations", TEXT_MAP, Switch::Runtime),
    look("CapAdd", Is::Words, special::capabilities),
    free("CapDrop", Is::Words),
    look("CgroupnsMode", Is::Text, special::cgroupns_mode),
    free("Dns", TEXTS),
    free("DnsOptions", TEXTS),
    free("DnsSearch", TEXTS),
    free("ExtraHosts", TEXTS),
    free("GroupAdd", TEXTS),
    look("IpcMode", Is::Text, special::ipc_mode),
    permit("Cgroup", Is::Text, Switch::ContainerNamespaces),
    permit("Links", TEXTS, Switch::Links),
    look("OomScoreAdj", Is::Whole, special::oom_score),
    look("PidMode", Is::Text, special::pid_mode),
    permit("Privileged", Is::Flag, Switch::Privileged),
    free("PublishAllPorts", Is::Flag),
    free("ReadonlyRootfs", Is::Flag),
    look("SecurityOpt", TEXTS, special::security_opt),
    permit("StorageOpt", TEXT_MAP, Switch::Limits),
    free("Tmpfs", TEXT_MAP),
    look("UTSMode", Is::Text, special::uts_mode),
    look("UsernsMode", Is::Text, special::userns_mode),
    free("ShmSize", Is::Whole),
    permit("Sysctls", TEXT_MAP, Switch::Sysctls),
    permit("Runtime", Is::Text, Switch::Runtime),
    free("Isolation", Is::Text), // of Windows
    look("Mounts", Is::List(&MOUNT), special::mounts),
    unless_null("MaskedPaths"),
    unless_null("ReadonlyPaths"),
    free("Init", Is::Flag),
];

/// `[]` unmasks what `null` leaves masked.
const fn unless_null(key: &'static str) -> Field {
    Field {
        key,
        is: TEXTS,
        needs: Needs::PermitUnlessNull(Switch::SecurityOpt),
    }
}

const LOG_CONFIG: Is = Is::Object(&[&[free("Type", Is::Text), free("Config", TEXT_MAP)]]);

const PORTS: Is = Is::Map(&Is::List(&Is::Object(&[&[
    free("HostIp", Is::Text),
    free("HostPort", Is::Text),
]])));

const RESTART_POLICY: Is =
    Is::Object(&[&[free("Name", Is::Text), free("MaximumRetryCount", Is::Whole)]]);

const RESOURCES: &[Field] = &[
    free("CpuShares", Is::Whole),
    free("Memory", Is::Whole),
    free("NanoCpus", Is::Whole),
    permit("CgroupParent", Is::Text, Switch::CgroupParent),
    free("BlkioWeight", Is::Whole),
    permit("BlkioWeightDevice", DEVICE_WEIGHTS, Switch::Devices),
    permit("BlkioDeviceReadBps", DEVICE_RATES, Switch::Devices),
    permit("BlkioDeviceWriteBps", DEVICE_RATES, Switch::Devices),
    permit("BlkioDeviceReadIOps", DEVICE_RATES, Switch::Devices),
    permit("BlkioDeviceWriteIOps", DEVICE_RATES, Switch::Devices),
    free("CpuPeriod", Is::Whole),
    free("CpuQuota", Is::Whole),
    permit("CpuRealtimePeriod", Is::Whole, Switch::Limits),
    permit("CpuRealtimeRuntime", Is::Whole, Switch::Limits),
    free("CpusetCpus", Is::Text),
    free("CpusetMems", Is::Text),
    permit("Devices", DEVICES, Switch::Devices),
    permit("DeviceCgroupRules", TEXTS, Switch::Devices),
    permit("DeviceRequests", DEVICE_REQUESTS, Switch::Devices),
    free("KernelMemory", Is::Whole),
    free("KernelMemoryTCP", Is::Whole),
    free("MemoryReservation", Is::Whole),
    free("MemorySwap", Is::Whole),
    free("MemorySwappiness", Is::Whole),
    permit("OomKillDisable", Is::Flag, Switch::Limits),
    free("PidsLimit", Is::Whole),
    permit("Ulimits", ULIMITS, Switch::Limits),
    free("CpuCount", Is::Whole), // these four of Windows
    free("CpuPercent", Is::Whole),
    free("IOMaximumIOps", Is::Whole),
    free("IOMaximumBandwidth", Is::Whole),
];

const DEVICE_WEIGHTS: Is = Is::List(&Is::Object(&[&[
    free("Path", Is::Text),
    free("Weight", Is::Whole),
]]));

const DEVICE_RATES: Is = Is::List(&Is::Object(&[&[
    free("Path", Is::Text),
    free("Rate", Is::Whole),
]]));

const DEVICES: Is = Is::List(&Is::Object(&[&[
    free("PathOnHost", Is::Text),
    free("PathInContainer", Is::Text),
    free("CgroupPermissions", Is::Text),
]]));

const DEVICE_REQUESTS: Is = Is::List(&Is::Object(&[&[
    free("Driver", Is::Text),
    free("Count", Is::Whole),
    free("DeviceIDs", TEXTS),
    free("Capabilities", Is::List(&TEXTS)),
    free("Options", TEXT_MAP),
]]));

pub(super) const ULIMITS: Is = Is::List(&Is::Object(&[&[
    free("Name", Is::Text),
    free("Hard", Is::Whole),
    free("Soft", Is::Whole),
]]));

/// What `special::mount` looks at as a whole.
pub(super) const MOUNT: Is = Is::Object(&[&[
    free("Type", Is::Text),
    free("Source", Is::Text),
    free("Target", Is::Text),
    free("ReadOnly", Is::Flag),
    free("Consistency", Is::Text),
    free("BindOptions", BIND_OPTIONS),
    free("VolumeOptions", VOLUME_OPTIONS),
    free("ImageOptions", Is::Object(&[&[free("Subpath", Is::Text)]])),
    free("TmpfsOptions", TMPFS_OPTIONS),
    full("ClusterOptions"),
]]);

const BIND_OPTIONS: Is = Is::Object(&[&[
    free("Propagation", Is::Text),
    free("NonRecursive", Is::Flag),
    free("CreateMountpoint", Is::Flag),
    free("ReadOnlyNonRecursive", Is::Flag),
    free("ReadOnlyForceRecursive", Is::Flag),
]]);

const VOLUME_OPTIONS: Is = Is::Object(&[&[
    free("NoCopy", Is::Flag),
    free("Labels", TEXT_MAP),
    free("Subpath", Is::Text),
    free("DriverConfig", VOLUME_DRIVER),
]]);

const VOLUME_DRIVER: Is = Is::Object(&[&[
    look("Name", Is::Text, special::volume_driver),
    permit("Options", TEXT_MAP, Switch::VolumeOptions),
]]);

const TMPFS_OPTIONS: Is = Is::Object(&[&[
    free("SizeBytes", Is::Whole),
    free("Mode", Is::Whole),
    free("Options", Is::List(&TEXTS)),
]]);

const NETWORKING: &[Field] = &[look(
    "EndpointsConfig",
    Is::Map(&ENDPOINT),
    special::endpoints,
)];

const ENDPOINT: Is = Is::Object(&[&[
    free("IPAMConfig", ENDPOINT_IPAM),
    permit("Links", TEXTS, Switch::Links),
    free("Aliases", TEXTS),
    free("MacAddress", Is::Text),
    permit("DriverOpts", TEXT_MAP, Switch::NetworkOptions),
    free("GwPriority", Is::Whole),
    free("NetworkID", Is::Text), // this and what follows dockerd fills in itself
    free("EndpointID", Is::Text),
    free("Gateway", Is::Text),
    free("IPAddress", Is::Text),
    free("IPPrefixLen", Is::Whole),
    free("IPv6Gateway", Is::Text),
    free("GlobalIPv6Address", Is::Text),
    free("GlobalIPv6PrefixLen", Is::Whole),
    free("DNSNames", TEXTS),
]]);

const ENDPOINT_IPAM: Is = Is::Object(&[&[
    free("IPv4Address", Is::Text),
    free("IPv6Address", Is::Text),
    free("LinkLocalIPs", TEXTS),
]]);
