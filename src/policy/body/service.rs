//! What a swarm's service may hold: `services/create` and `services/*/update`. The keys are those of the
//! Engine API up to 1.52.

use super::container::{HEALTHCHECK, MOUNT, ULIMITS};
use super::permits::Switch;
use super::shape::{Field, Is, TEXT_MAP, TEXTS, free, full, look, permit};
use super::special;

pub(super) const SPEC: Is = Is::Object(&[&[
    free("Name", Is::Text),
    free("Labels", TEXT_MAP),
    free("TaskTemplate", Is::Object(&[TASK])),
    free("Mode", MODE),
    free("UpdateConfig", UPDATE),
    free("RollbackConfig", UPDATE),
    NETWORKS,
    free("EndpointSpec", ENDPOINT),
]]);

const TASK: &[Field] = &[
    free("ContainerSpec", Is::Object(&[CONTAINER])),
    full("PluginSpec"),            // runs with root's rights
    full("NetworkAttachmentSpec"), // a container of another engine
    free("Resources", RESOURCES),
    free("RestartPolicy", RESTART_POLICY),
    free("Placement", PLACEMENT),
    NETWORKS,
    look("LogDriver", LOG_DRIVER, special::log_config),
    free("ForceUpdate", Is::Whole),
    look("Runtime", Is::Text, special::task_runtime),
];

/// A service's networks are given by their IDs or the beginnings of these, and the host's is one of them.
const NETWORKS: Field = permit(
    "Networks",
    Is::List(&Is::Object(&[&[
        free("Target", Is::Text),
        free("Aliases", TEXTS),
        permit("DriverOpts", TEXT_MAP, Switch::NetworkOptions),
    ]])),
    Switch::HostNetwork,
);

const CONTAINER: &[Field] = &[
    free("Image", Is::Text),
    free("Labels", TEXT_MAP),
    free("Command", TEXTS),
    free("Args", TEXTS),
    free("Hostname", Is::Text),
    free("Env", TEXTS),
    free("Dir", Is::Text),
    free("User", Is::Text),
    free("Groups", TEXTS),
    permit("Privileges", PRIVILEGES, Switch::SecurityOpt),
    free("Init", Is::Flag),
    free("StopSignal", Is::Text),
    free("TTY", Is::Flag),
    free("OpenStdin", Is::Flag),
    free("ReadOnly", Is::Flag),
    look("Mounts", Is::List(&MOUNT), special::mounts),
    free("StopGracePeriod", Is::Whole),
    free("Healthcheck", HEALTHCHECK),
    free("Hosts", TEXTS),
    free("DNSConfig", DNS),
    permit("Secrets", SECRETS, Switch::Secrets),
    permit("Configs", CONFIGS, Switch::Secrets),
    free("Isolation", Is::Text), // of Windows
    permit("Sysctls", TEXT_MAP, Switch::Sysctls),
    look("CapabilityAdd", TEXTS, special::capabilities),
    free("CapabilityDrop", TEXTS),
    permit("Ulimits", ULIMITS, Switch::Limits),
    look("OomScoreAdj", Is::Whole, special::oom_score),
];

const PRIVILEGES: Is = Is::Object(&[&[
    free(
        "CredentialSpec",
        Is::Object(&[&[
            free("Config", Is::Text),
            free("File", Is::Text),
            free("Registry", Is::Text),
        ]]),
    ),
    free(
        "SELinuxContext",
        Is::Object(&[&[
            free("Disable", Is::Flag),
            free("User", Is::Text),
            free("Role", Is::Text),
            free("Type", Is::Text),
            free("Level", Is::Text),
        ]]),
    ),
    free("Seccomp", MODE_AND_PROFILE),
    free("AppArmor", MODE_AND_PROFILE),
    free("NoNewPrivileges", Is::Flag),
]]);

const MODE_AND_PROFILE: Is = Is::Object(&[&[free("Mode", Is::Text), free("Profile", Is::Text)]]);

const DNS: Is = Is::Object(&[&[
    free("Nameservers", TEXTS),
    free("Search", TEXTS),
    free("Options", TEXTS),
]]);

const SECRETS: Is = Is::List(&Is::Object(&[&[
    free("File", REFERENCE_FILE),
    free("SecretID", Is::Text),
    free("SecretName", Is::Text),
]]));

const CONFIGS: Is = Is::List(&Is::Object(&[&[
    free("File", REFERENCE_FILE),
    free("Runtime", Is::Object(&[])),
    free("ConfigID", Is::Text),
    free("ConfigName", Is::Text),
]]));

const REFERENCE_FILE: Is = Is::Object(&[&[
    free("Name", Is::Text),
    free("UID", Is::Text),
    free("GID", Is::Text),
    free("Mode", Is::Whole),
]]);

const RESOURCES: Is = Is::Object(&[&[
    free(
        "Limits",
        Is::Object(&[&[
            free("NanoCPUs", Is::Whole),
            free("MemoryBytes", Is::Whole),
            free("Pids", Is::Whole),
        ]]),
    ),
    free(
        "Reservations",
        Is::Object(&[&[
            free("NanoCPUs", Is::Whole),
            free("MemoryBytes", Is::Whole),
            permit("GenericResources", GENERIC_RESOURCES, Switch::Devices), // GPUs
        ]]),
    ),
    free("SwapBytes", Is::Whole),
    free("MemorySwappiness", Is::Whole),
]]);

const GENERIC_RESOURCES: Is = Is::List(&Is::Object(&[&[
    free(
        "NamedResourceSpec",
        Is::Object(&[&[free("Kind", Is::Text), free("Value", Is::Text)]]),
    ),
    free(
        "DiscreteResourceSpec",
        Is::Object(&[&[free("Kind", Is::Text), free("Value", Is::Whole)]]),
    ),
]]));

const RESTART_POLICY: Is = Is::Object(&[&[
    free("Condition", Is::Text),
    free("Delay", Is::Whole),
    free("MaxAttempts", Is::Whole),
    free("Window", Is::Whole),
]]);

const PLACEMENT: Is = Is::Object(&[&[
    free("Constraints", TEXTS),
    free(
        "Preferences",
        Is::List(&Is::Object(&[&[free(
            "Spread",
            Is::Object(&[&[free("SpreadDescriptor", Is::Text)]]),
        )]])),
    ),
    free("MaxReplicas", Is::Whole),
    free(
        "Platforms",
        Is::List(&Is::Object(&[&[
            free("Architecture", Is::Text),
            free("OS", Is::Text),
        ]])),
    ),
]]);

const LOG_DRIVER: Is = Is::Object(&[&[free("Name", Is::Text), free("Options", TEXT_MAP)]]);

const MODE: Is = Is::Object(&[&[
    free("Replicated", Is::Object(&[&[free("Replicas", Is::Whole)]])),
    free("Global", Is::Object(&[])),
    free(
        "ReplicatedJob",
        Is::Object(&[&[
            free("MaxConcurrent", Is::Whole),
            free("TotalCompletions", Is::Whole),
        ]]),
    ),
    free("GlobalJob", Is::Object(&[])),
]]);

const UPDATE: Is = Is::Object(&[&[
    free("Parallelism", Is::Whole),
    free("Delay", Is::Whole),
    free("FailureAction", Is::Text),
    free("Monitor", Is::Whole),
    free("MaxFailureRatio", Is::Number),
    free("Order", Is::Text),
]]);

const ENDPOINT: Is = Is::Object(&[&[
    free("Mode", Is::Text),
    free(
        "Ports",
        Is::List(&Is::Object(&[&[
            free("Name", Is::Text),
            free("Protocol", Is::Text),
            free("TargetPort", Is::Whole),
            free("PublishedPort", Is::Whole),
            free("PublishMode", Is::Text),
        ]])),
    ),
]]);
