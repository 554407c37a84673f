//! Bodies as clients send them, and as somebody who wants to be root would.

use super::*;

/// What docker 20.10 sends for `docker run busybox true`.
const RUN_20: &str = include_str!("tests/run-20.json");
/// The same of docker 28.
const RUN_28: &str = include_str!("tests/run-28.json");
/// `docker create` of 28 with most of what is harmless.
const HARMLESS: &str = include_str!("tests/create-harmless.json");
/// `docker create` with all that is not.
const DANGEROUS: &str = include_str!("tests/create-dangerous.json");
/// `docker service create` with most of what there is.
const SERVICE: &str = include_str!("tests/service.json");
/// `docker update` of 20.10.
const UPDATE: &str = include_str!("tests/update.json");

fn permits(lines: &[&str]) -> Permits {
    let mut permits = Permits::default();
    for (number, line) in (1..).zip(lines) {
        permits.add(line, number).unwrap();
    }
    permits
}

fn judged(kind: Kind, lines: &[&str], body: &str) -> Result<(), String> {
    judge(kind, &permits(lines), body.as_bytes()).map_err(|refusal| refusal.to_string())
}

fn created(lines: &[&str], body: &str) -> Result<(), String> {
    judged(Kind::ContainerCreate, lines, body)
}

#[test]
fn plain_requests_of_both_clients_pass_without_a_permit() {
    for (kind, body) in [
        (Kind::ContainerCreate, RUN_20),
        (Kind::ContainerCreate, RUN_28),
        (Kind::ContainerCreate, HARMLESS),
        (Kind::ContainerUpdate, UPDATE),
        (
            Kind::ExecCreate,
            r#"{"User":"","Privileged":false,"Tty":false,"AttachStdin":false,"AttachStderr":true,"AttachStdout":true,"Detach":false,"DetachKeys":"","Env":null,"WorkingDir":"","Cmd":["ls"]}"#,
        ),
        (
            Kind::ExecStart,
            r#"{"Detach":false,"Tty":true,"ConsoleSize":[24,80]}"#,
        ),
        (
            Kind::VolumeCreate,
            r#"{"Driver":"local","DriverOpts":{},"Labels":{},"Name":"v"}"#,
        ),
        (
            Kind::NetworkCreate,
            r#"{"CheckDuplicate":true,"Driver":"bridge","Scope":"","EnableIPv6":false,"IPAM":{"Driver":"default","Options":{},"Config":[]},"Internal":false,"Attachable":false,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,"Options":{},"Labels":{},"Name":"n"}"#,
        ),
        (
            Kind::NetworkConnect,
            r#"{"Container":"x","EndpointConfig":{"IPAMConfig":{},"Links":null,"Aliases":null}}"#,
        ),
        (
            Kind::ServiceCreate,
            r#"{"Name":"s","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"busybox:latest","Init":false,"DNSConfig":{}},"Resources":{"Limits":{},"Reservations":{}},"Placement":{},"ForceUpdate":0},"Mode":{"Replicated":{}},"EndpointSpec":{"Mode":"vip"}}"#,
        ),
    ] {
        assert_eq!(judged(kind, &[], body), Ok(()), "{kind:?}");
    }
}

/// A part of a HostConfig, the permit that it needs, and what a refusal says of it.
const HOST_CONFIGS: &[(&str, &str, &str)] = &[
    (
        r#""Privileged":true"#,
        "privileged",
        "Privileged needs \"permit privileged\"",
    ),
    (
        r#""NetworkMode":"host""#,
        "host-network",
        "NetworkMode needs \"permit host-network\"",
    ),
    (
        r#""PidMode":"host""#,
        "host-pid",
        "PidMode needs \"permit host-pid\"",
    ),
    (
        r#""IpcMode":"host""#,
        "host-ipc",
        "IpcMode needs \"permit host-ipc\"",
    ),
    (
        r#""UTSMode":"host""#,
        "host-uts",
        "UTSMode needs \"permit host-uts\"",
    ),
    (
        r#""UsernsMode":"host""#,
        "host-userns",
        "UsernsMode needs \"permit host-userns\"",
    ),
    (
        r#""CgroupnsMode":"host""#,
        "host-cgroupns",
        "CgroupnsMode needs \"permit host-cgroupns\"",
    ),
    (
        r#""NetworkMode":"container:x""#,
        "container-namespaces",
        "NetworkMode needs \"permit container-namespaces\"",
    ),
    (
        r#""PidMode":"container:x""#,
        "container-namespaces",
        "PidMode needs \"permit container-namespaces\"",
    ),
    (
        r#""IpcMode":"container:x""#,
        "container-namespaces",
        "IpcMode needs \"permit container-namespaces\"",
    ),
    (
        r#""Cgroup":"container:x""#,
        "container-namespaces",
        "Cgroup needs \"permit container-namespaces\"",
    ),
    (
        r#""CapAdd":["NET_RAW","CAP_net_admin"]"#,
        "capabilities net_raw,NET_ADMIN",
        "CapAdd needs \"permit capabilities NET_RAW\"",
    ),
    (
        r#""CapAdd":"ALL""#,
        "capabilities ALL",
        "CapAdd needs \"permit capabilities ALL\"",
    ),
    (
        r#""Devices":[{"PathOnHost":"/dev/sda"}]"#,
        "devices",
        "Devices needs \"permit devices\"",
    ),
    (
        r#""DeviceCgroupRules":["a *:* rwm"]"#,
        "devices",
        "DeviceCgroupRules needs \"permit devices\"",
    ),
    (
        r#""DeviceRequests":[{"Count":-1,"Capabilities":[["gpu"]]}]"#,
        "devices",
        "DeviceRequests needs \"permit devices\"",
    ),
    (
        r#""BlkioDeviceReadBps":[{"Path":"/dev/sda","Rate":1}]"#,
        "devices",
        "BlkioDeviceReadBps needs \"permit devices\"",
    ),
    (
        r#""SecurityOpt":["no-new-privileges","apparmor=unconfined"]"#,
        "security-opt",
        "SecurityOpt needs \"permit security-opt\"",
    ),
    (
        r#""MaskedPaths":[]"#,
        "security-opt",
        "MaskedPaths needs \"permit security-opt\"",
    ),
    (
        r#""ReadonlyPaths":[]"#,
        "security-opt",
        "ReadonlyPaths needs \"permit security-opt\"",
    ),
    (
        r#""Binds":["/etc:/x"]"#,
        "binds /etc",
        "Binds needs \"permit binds /etc\"",
    ),
    (
        r#""Binds":["v:/y","/etc/:/x:ro"]"#,
        "binds /etc:ro",
        "Binds needs \"permit binds /etc/:ro\"",
    ),
    (
        r#""Mounts":[{"Type":"bind","Source":"/etc","Target":"/x"}]"#,
        "binds /*",
        "Mounts needs \"permit binds /etc\"",
    ),
    (
        r#""Mounts":[{"Target":"/x","ReadOnly":true,"Source":"/etc/a","Type":"bind"}]"#,
        "binds /etc/**:ro",
        "Mounts needs \"permit binds /etc/a:ro\"",
    ),
    (
        r#""Mounts":[{"Type":"volume","Source":"v","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"o":"bind"}}}}]"#,
        "volume-options",
        "Mounts[0].VolumeOptions.DriverConfig.Options needs \"permit volume-options\"",
    ),
    (
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"nfs"}}}]"#,
        "volume-options",
        "Mounts[0].VolumeOptions.DriverConfig.Name needs \"permit volume-options\"",
    ),
    (
        r#""VolumeDriver":"nfs""#,
        "volume-options",
        "VolumeDriver needs \"permit volume-options\"",
    ),
    (
        r#""VolumesFrom":["x"]"#,
        "volumes-from",
        "VolumesFrom needs \"permit volumes-from\"",
    ),
    (
        r#""Sysctls":{"kernel.msgmax":"1"}"#,
        "sysctls",
        "Sysctls needs \"permit sysctls\"",
    ),
    (
        r#""Runtime":"other""#,
        "runtime",
        "Runtime needs \"permit runtime\"",
    ),
    (
        r#""Annotations":{"run.oci.hooks":"x"}"#,
        "runtime",
        "Annotations needs \"permit runtime\"",
    ),
    (
        r#""CgroupParent":"/x""#,
        "cgroup-parent",
        "CgroupParent needs \"permit cgroup-parent\"",
    ),
    (r#""Links":["x"]"#, "links", "Links needs \"permit links\""),
    (
        r#""LogConfig":{"Type":"gelf","Config":{"gelf-address":"udp://a"}}"#,
        "log-driver",
        "LogConfig needs \"permit log-driver\"",
    ),
    (
        r#""LogConfig":{"Type":"","Config":{"gelf-address":"udp://a"}}"#,
        "log-driver",
        "LogConfig needs \"permit log-driver\"",
    ),
    (
        r#""OomScoreAdj":-1"#,
        "limits",
        "OomScoreAdj needs \"permit limits\"",
    ),
    (
        r#""OomKillDisable":true"#,
        "limits",
        "OomKillDisable needs \"permit limits\"",
    ),
    (
        r#""Ulimits":[{"Name":"nofile","Hard":1,"Soft":1}]"#,
        "limits",
        "Ulimits needs \"permit limits\"",
    ),
    (
        r#""StorageOpt":{"size":"1"}"#,
        "limits",
        "StorageOpt needs \"permit limits\"",
    ),
    (
        r#""CpuRealtimeRuntime":1"#,
        "limits",
        "CpuRealtimeRuntime needs \"permit limits\"",
    ),
];

#[test]
fn each_danger_needs_its_permit_and_passes_with_it() {
    for (part, permit, refusal) in HOST_CONFIGS {
        for (body, place) in [
            (
                format!("{{\"Image\":\"x\",\"HostConfig\":{{{part}}}}}"),
                "HostConfig.",
            ),
            (format!("{{\"Image\":\"x\",{part}}}"), ""),
        ] {
            assert_eq!(
                created(&[], &body),
                Err([place, refusal].concat()),
                "{body}"
            );
            assert_eq!(created(&[permit], &body), Ok(()), "{body}");
            let name = permit.split(' ').next().unwrap();
            for (other, switch) in permits::SWITCHES {
                let with_words = matches!(switch, Switch::Capabilities | Switch::Binds);
                if *other != name && !with_words {
                    assert!(created(&[other], &body).is_err(), "{other}: {body}");
                }
            }
        }
    }
}

#[test]
fn what_others_do_to_get_around_it_is_refused() {
    for (body, says) in [
        // dockerd embeds HostConfig in the same struct.
        (
            r#"{"Image":"x","Privileged":true,"Binds":["/:/h"],"PidMode":"host"}"#,
            "Privileged needs \"permit privileged\"",
        ),
        // Go folds these.
        (
            r#"{"Image":"x","HoſtConfig":{"Privileged":true}}"#,
            "Ho\\u{17f}tConfig is a key not of plain ASCII",
        ),
        (
            r#"{"Image":"x","HostConfig":{"Networ\u212aMode":"host"}}"#,
            "Networ\\\\u212aMode is a key not of plain ASCII",
        ),
        (
            r#"{"Image":"x","hostconfig":{"Privileged":true}}"#,
            "hostconfig is not known here",
        ),
        (
            r#"{"Image":"x","HostConfig":{"privileged":true}}"#,
            "HostConfig.privileged is not known here",
        ),
        (
            r#"{"Image":"x","HostConfig":{},"HostConfig":{"Privileged":true}}"#,
            "HostConfig comes twice",
        ),
        (
            r#"{"Image":"x","HostConfig":{}}{"HostConfig":{"Privileged":true}}"#,
            "byte 29 of the body: more than one value",
        ),
        (
            r#"{"HostConfig":[{"Privileged":true}]}"#,
            "HostConfig is not an object",
        ),
        (
            r#"{"HostConfig":{"Privileged":"true"}}"#,
            "HostConfig.Privileged is not true or false",
        ),
        (
            r#"{"HostConfig":{"Memory":1e9}}"#,
            "HostConfig.Memory is not a whole number of 64 bits",
        ),
        (
            r#"{"HostConfig":{"Memory":99999999999999999999}}"#,
            "HostConfig.Memory is not a whole number of 64 bits",
        ),
        (
            r#"{"HostConfig":{"Binds":"/:/x"}}"#,
            "HostConfig.Binds is not a list",
        ),
        (
            r#"{"HostConfig":{"Binds":[1]}}"#,
            "HostConfig.Binds[0] is not a string",
        ),
        (
            r#"{"HostConfig":{"PidMode":"Host"}}"#,
            "HostConfig.PidMode has a value that is not known here",
        ),
        (
            r#"{"HostConfig":{"Mounts":[{"Source":"/","Target":"/x"}]}}"#,
            "HostConfig.Mounts has a value that is not known here",
        ),
        (
            r#"{"HostConfig":{"Mounts":[{"Type":"BIND","Source":"/","Target":"/x"}]}}"#,
            "HostConfig.Mounts has a value that is not known here",
        ),
        (
            r#"{"HostConfig":{"Mounts":[{"Type":"npipe","Source":"/","Target":"/x"}]}}"#,
            "HostConfig.Mounts has a value that is not known here",
        ),
        (
            r#"{"HostConfig":{"Mounts":[{"Type":"cluster","Source":"x","Target":"/x"}]}}"#,
            "HostConfig.Mounts has a value that is not known here",
        ),
        // With these the mount below is changed: a directory of the host that is read-only, or all of the
        // host's file system.
        (
            r#"{"HostConfig":{"Binds":["v:/x"],"Tmpfs":{"/x/":"rw,remount"}}}"#,
            "HostConfig.Tmpfs has a value that is not known here",
        ),
        (
            r#"{"HostConfig":{"Tmpfs":{"/x":"size=1m,bind"}}}"#,
            "HostConfig.Tmpfs has a value that is not known here",
        ),
        (
            r#"{"HostConfig":{"Mounts":[{"Type":"tmpfs","Target":"/x/","TmpfsOptions":{"Options":[["size","1,remount"]]}}]}}"#,
            "HostConfig.Mounts has a value that is not known here",
        ),
        (
            r#"{"NetworkingConfig":{"EndpointsConfig":{"host":{}}}}"#,
            "NetworkingConfig.EndpointsConfig needs \"permit host-network\"",
        ),
        (
            r#"{"HostConfig":{"LogConfig":{"type":"gelf"}}}"#,
            "HostConfig.LogConfig.type is not known here",
        ),
        ("null", "the body is not an object"),
        ("[]", "the body is not an object"),
        ("", "byte 0 of the body: it is empty"),
    ] {
        assert_eq!(created(&[], body), Err(says.to_string()), "{body}");
    }
    assert!(created(&[], DANGEROUS).is_err());
}

#[test]
fn directories_of_the_host_are_those_that_are_named() {
    let lines = ["binds /srv/web /data/*", "binds /var/log/**:ro"];
    for (bind, good) in [
        ("/srv/web:/x", true),
        ("/srv/web/:/x:rw,z", true),
        ("/srv/web:/x:ro", true),
        ("/srv/web/a:/x", false),
        ("/srv:/x", false),
        ("/data/a:/x", true),
        ("/data:/x", false),
        ("/data/a/b:/x", false),
        ("/var/log:/x:ro", true),
        ("/var/log/a/b:/x:ro", true),
        ("/var/log/a:/x", false),
        ("/var/log/a:/x:ro,Z", false),
        ("/var/log/a:/x:ro,shared", false),
        ("/var/log/../../etc:/x:ro", false),
        ("/var/log/./a:/x:ro", false),
        ("/var/log//a:/x:ro", false),
        ("//srv/web:/x", false),
        ("/:/x", false),
        ("/srv/web:/x:rw:ro", false),
        ("volume:/x", true),
        ("/anonymous", true),
        ("volume:/x:shared", false),
    ] {
        let body = format!(r#"{{"HostConfig":{{"Binds":["{bind}"]}}}}"#);
        assert_eq!(created(&lines, &body).is_ok(), good, "{bind}");
    }
    for (mount, good) in [
        (r#""Source":"/srv/web""#, true),
        (
            r#""Source":"/srv/web","BindOptions":{"Propagation":"rslave"}"#,
            true,
        ),
        (
            r#""Source":"/srv/web","BindOptions":{"Propagation":"rshared"}"#,
            false,
        ),
        (r#""Source":"/var/log/a","ReadOnly":true"#, true),
        (
            r#""Source":"/var/log/a","ReadOnly":true,"BindOptions":{"ReadOnlyNonRecursive":true}"#,
            false,
        ),
        (r#""Source":"/var/log/a","ReadOnly":null"#, false),
        (r#""Source":"srv/web""#, false),
        // swarmkit takes it for a template: here for `/data/../etc`.
        (r#""Source":"/data/{{printf `..%cetc` 47}}""#, false),
    ] {
        let body = format!(r#"{{"HostConfig":{{"Mounts":[{{"Type":"bind",{mount}}}]}}}}"#);
        assert_eq!(created(&lines, &body).is_ok(), good, "{mount}");
    }
}

#[test]
fn a_line_of_permits_is_read_strictly() {
    for (line, problem) in [
        (
            "",
            "`` cannot be permitted: there are privileged, host-network",
        ),
        ("Privileged", "`Privileged` cannot be permitted"),
        (
            "privileged yes",
            "`yes`: nothing stands behind `privileged`",
        ),
        (
            "capabilities",
            "which? `permit capabilities NET_ADMIN,SYS_TIME`",
        ),
        ("binds # none", "which? `permit binds"),
        ("binds srv", "`srv`: not an absolute path"),
        ("binds /", "`/`: not an absolute path"),
        ("binds /srv/", "`/srv/`: not an absolute path"),
        ("binds /srv/../etc", "not an absolute path"),
        ("binds /srv/a*", "a * stands for a whole segment"),
        // A symbolic link made in the one leads out of the other.
        (
            "binds /srv/**",
            "what `/srv/**` lets a container write to holds what `/srv/**` lets it mount",
        ),
        (
            "binds /srv /srv/a:ro",
            "what `/srv` lets a container write to holds what `/srv/a:ro`",
        ),
        ("binds /srv/* /srv/a/b", "what `/srv/*` lets"),
    ] {
        let told = Permits::default().add(line, 1).unwrap_err();
        assert!(told.contains(problem), "{line}: {told}");
    }
    let good = permits(&["binds /srv/* /srv/a /var/log/**:ro # why", "sysctls"]);
    assert!(good.has(Switch::Sysctls) && !good.has(Switch::Privileged));
}

#[test]
fn services_are_judged_as_containers_are() {
    let all = [
        "binds /etc",
        "volume-options",
        "host-network",
        "capabilities NET_ADMIN",
        "sysctls",
        "limits",
        "log-driver",
        "devices",
    ];
    assert_eq!(judged(Kind::ServiceCreate, &all, SERVICE), Ok(()));
    for left_out in 0..all.len() {
        let lines: Vec<&str> = (0..all.len())
            .filter(|n| *n != left_out)
            .map(|n| all[n])
            .collect();
        let told = judged(Kind::ServiceUpdate, &lines, SERVICE).unwrap_err();
        let name = all[left_out].split(' ').next().unwrap();
        assert!(told.contains(&format!("permit {name}")), "{name}: {told}");
    }
    for (task, says) in [
        (
            r#""PluginSpec":{"Name":"x"}"#,
            "PluginSpec is for the policy full alone",
        ),
        (
            r#""Runtime":"plugin""#,
            "Runtime is for the policy full alone",
        ),
        (
            r#""ContainerSpec":{"Privileges":{"Seccomp":{"Mode":"unconfined"}}}"#,
            "ContainerSpec.Privileges needs \"permit security-opt\"",
        ),
        (
            r#""ContainerSpec":{"Secrets":[{"SecretID":"x"}]}"#,
            "ContainerSpec.Secrets needs \"permit secrets\"",
        ),
        (
            r#""ContainerSpec":{"Mounts":[{"Source":"/"}]}"#,
            "ContainerSpec.Mounts has a value that is not known here",
        ),
    ] {
        let body = format!(r#"{{"TaskTemplate":{{{task}}}}}"#);
        let expected = format!("TaskTemplate.{says}");
        assert_eq!(judged(Kind::ServiceCreate, &[], &body), Err(expected));
    }
}

#[test]
fn the_smaller_bodies_need_their_permits() {
    for (kind, body, permit) in [
        (
            Kind::ExecCreate,
            r#"{"Privileged":true,"Cmd":["id"]}"#,
            "privileged",
        ),
        (
            Kind::VolumeCreate,
            r#"{"DriverOpts":{"o":"bind"}}"#,
            "volume-options",
        ),
        (Kind::VolumeCreate, r#"{"Driver":"nfs"}"#, "volume-options"),
        (
            Kind::NetworkCreate,
            r#"{"Driver":"macvlan"}"#,
            "network-options",
        ),
        (
            Kind::NetworkCreate,
            r#"{"Options":{"parent":"eth0"}}"#,
            "network-options",
        ),
        (
            Kind::NetworkCreate,
            r#"{"ConfigFrom":{"Network":"x"}}"#,
            "network-options",
        ),
        // The node sends there what it would send to the true one.
        (
            Kind::NetworkCreate,
            r#"{"IPAM":{"Config":[{"Subnet":"192.0.2.0/24"}]}}"#,
            "network-options",
        ),
        (
            Kind::NetworkConnect,
            r#"{"EndpointConfig":{"DriverOpts":{"a":"b"}}}"#,
            "network-options",
        ),
        (
            Kind::ContainerUpdate,
            r#"{"Devices":[{"PathOnHost":"/dev/sda"}]}"#,
            "devices",
        ),
    ] {
        let told = judged(kind, &[], body).unwrap_err();
        assert!(
            told.ends_with(&format!("needs \"permit {permit}\"")),
            "{told}"
        );
        assert_eq!(judged(kind, &[permit], body), Ok(()), "{body}");
    }
    for (kind, body) in [
        (Kind::VolumeCreate, r#"{"ClusterVolumeSpec":{"Group":"x"}}"#),
        (Kind::ExecStart, r#"{"Privileged":true}"#),
        (Kind::ContainerUpdate, r#"{"Privileged":true}"#),
        (Kind::ExecCreate, r#"{"cmd":["id"]}"#),
    ] {
        assert!(
            judged(kind, &["privileged", "volume-options"], body).is_err(),
            "{body}"
        );
    }
}

#[test]
fn queries_are_judged_too() {
    let said = |kind, lines: &[&str], query| {
        judge_query(kind, &permits(lines), query).map_err(|refusal| refusal.to_string())
    };
    let plain_20 = "?buildargs=%7B%7D&cachefrom=%5B%5D&cgroupparent=&cpuperiod=0&cpuquota=0&cpusetcpus=&cpusetmems=&cpushares=0&dockerfile=Dockerfile&labels=%7B%7D&memory=0&memswap=0&networkmode=default&rm=1&shmsize=0&t=x&target=&ulimits=null&version=1";
    for query in [
        plain_20,
        "?dockerfile=Dockerfile&t=x&t=y&version=1",
        "",
        "?",
    ] {
        assert_eq!(said(Kind::Build, &[], query), Ok(()), "{query}");
    }
    for (query, permit) in [
        ("?networkmode=host", "host-network"),
        ("?networkmode=%68ost", "host-network"),
        ("?networkmode=container:x", "container-namespaces"),
        ("?cgroupparent=/x", "cgroup-parent"),
        ("?securityopt=seccomp%3Dunconfined", "security-opt"),
        ("?ulimits=%5B1%5D", "limits"),
    ] {
        let told = said(Kind::Build, &[], query).unwrap_err();
        assert!(
            told.ends_with(&format!("needs \"permit {permit}\"")),
            "{told}"
        );
        assert_eq!(said(Kind::Build, &[permit], query), Ok(()));
    }
    for (kind, query) in [
        (Kind::Build, "?remote=http%3A%2F%2Fa"),
        (Kind::Build, "?version=2"),
        (Kind::Build, "?session=x"),
        (Kind::Build, "?outputs=x"),
        (Kind::Build, "?entitlements=x"),
        (Kind::Build, "?networkmode=default&networkmode=host"),
        (Kind::Build, "?network%6dode=host"),
        (Kind::Build, "?NetworkMode=host"),
        (Kind::Build, "?t=%ff"),
        (Kind::ImageCreate, "?fromSrc=http://a"),
        (Kind::ImageCreate, "?fromSrc=0"),
        (Kind::ImageCreate, "?fromSrc=null"),
        (Kind::ServiceUpdate, "?version=1&rollback=previous"),
        (Kind::ContainerUpdate, "?a=b"),
    ] {
        assert!(said(kind, &["privileged"], query).is_err(), "{query}");
    }
    for (kind, query) in [
        (Kind::ContainerCreate, "?name=x&platform="),
        (Kind::ServiceUpdate, "?registryAuthFrom=spec&version=5"),
        (Kind::ExecResize, "?h=24&w=80"),
        (Kind::ImageCreate, "?fromImage=busybox&tag=latest"),
    ] {
        assert_eq!(said(kind, &[], query), Ok(()), "{query}");
    }
}

#[test]
fn each_judged_request_is_known_by_its_route() {
    for (route, kind) in [
        ("/containers/create", Some(Kind::ContainerCreate)),
        ("/containers/a/b/update", Some(Kind::ContainerUpdate)),
        ("/containers/a/b/exec", Some(Kind::ExecCreate)),
        ("/exec/a/b/start", Some(Kind::ExecStart)),
        ("/services/x/update", Some(Kind::ServiceUpdate)),
        ("/build", Some(Kind::Build)),
        ("/build/prune", None),
        ("/containers/x/start", None),
    ] {
        assert_eq!(Kind::of("POST", route), kind, "{route}");
        assert_eq!(Kind::of("GET", route), None);
    }
}

#[test]
fn what_is_shown_of_a_peers_words_is_short_and_plain() {
    let body = format!("{{\"{}\":1}}", "k".repeat(500));
    let told = created(&[], &body).unwrap_err();
    assert!(told.len() < 130, "{told}");
    let told = created(&[], "{\"a\u{1b}[2J\":1}").unwrap_err();
    assert!(told.chars().all(|c| !c.is_control()), "{told}");
}
