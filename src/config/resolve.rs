//! From texts with origins to a typed, validated [`Config`].

use super::error::ConfigError;
use super::options::{self, Id, Kind, OPTIONS};
use super::raw::{RawConfig, Setting};
use super::{Config, Limits, Sandbox, Task, TimeFormat, echo, files, place};
use crate::auth::{DEFAULT_USER, NOBODY, Users};
use crate::docker::Endpoint;
use crate::policy::{FULL, Policies};
use crate::secret::Secret;
use crate::tls::{self, ClientAuth};
use log::LevelFilter;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Makes the texts mean something. `pid1`: whether this is process 1, a container's only one.
///
/// # Errors
/// A text means nothing, or does not fit another setting.
pub fn config(task: Task, mut raw: RawConfig, pid1: bool) -> Result<Config, ConfigError> {
    let mut warnings = std::mem::take(&mut raw.warnings);
    let docker = docker(&raw)?;
    let (listen, listen_why) = listen(&raw, &docker)?;
    let root_path = root_path(&raw)?;
    let users = users(&raw, &mut warnings)?;
    let exit_on_stale_socket = switched(&raw, Id::ExitOnStaleSocket)?.unwrap_or(pid1);
    let config = Config {
        task,
        operands: Vec::new(),
        level: level(&raw)?,
        masters: parsed(&raw, Id::Master, place::masters)?.unwrap_or_default(),
        secret: secret(&raw, &mut warnings)?,
        interval: seconds(&raw, Id::Timeout)?,
        address: address(&raw, listen, &docker, &mut warnings)?,
        time_format: parsed(&raw, Id::TimeFormat, time_format)?.unwrap_or(TimeFormat::Auto),
        workers: number(&raw, Id::Workers)? as usize,
        tls: tls::Settings {
            cert: file(&raw, Id::TlsCert)?,
            key: file(&raw, Id::TlsKey)?,
            root_cert: file(&raw, Id::RootCert)?,
            root_key: file(&raw, Id::RootKey)?,
            client_ca: file(&raw, Id::ClientCa)?,
            client_auth: client_auth(&raw)?,
            client_crl: file(&raw, Id::ClientCrl)?,
            names: parsed(&raw, Id::Names, place::names)?.unwrap_or_default(),
            resolve: switched(&raw, Id::Resolve)?.unwrap_or(true),
            host_root: root_path.clone(),
        },
        ca: file(&raw, Id::Ca)?,
        allow_from: parsed(&raw, Id::AllowFrom, place::networks)?.unwrap_or_default(),
        allow_origin: parsed(&raw, Id::AllowOrigin, place::origins)?.unwrap_or_default(),
        policies: Arc::new(policies(&raw, &users, &mut warnings)?),
        users,
        limits: limits(&raw)?,
        sandbox: sandbox(&raw)?,
        named: named(&raw),
        exit_on_stale_socket,
        arguments: echo::arguments(&raw, &docker, listen.is_some(), exit_on_stale_socket),
        origins: origins(&raw),
        watched: watched(&raw),
        files: std::mem::take(&mut raw.files),
        root_path,
        docker,
        listen,
        listen_why,
        warnings,
    };
    together(&raw, Id::TlsCert, Id::TlsKey)?;
    together(&raw, Id::RootCert, Id::RootKey)?;
    needs(&raw, Id::ClientCrl, Id::ClientCa)?;
    Ok(config)
}

/// Where those settings were read that a later error may be about.
fn origins(raw: &RawConfig) -> Vec<(&'static str, String)> {
    [
        ("tls_cert", Id::TlsCert),
        ("tls_key", Id::TlsKey),
        ("root_cert", Id::RootCert),
        ("root_key", Id::RootKey),
        ("client_ca", Id::ClientCa),
        ("client_crl", Id::ClientCrl),
        ("ca", Id::Ca),
        ("names", Id::Names),
    ]
    .into_iter()
    .filter_map(|(name, id)| Some((name, raw.get(id)?.origin.to_string())))
    .collect()
}

/// Certificates, keys, users, policies and hashes: what is renewed by others, and in files.
fn watched(raw: &RawConfig) -> Vec<PathBuf> {
    [
        Id::TlsCert,
        Id::TlsKey,
        Id::RootCert,
        Id::RootKey,
        Id::ClientCa,
        Id::ClientCrl,
        Id::Users,
        Id::Policies,
        Id::AdminPasswordFile,
    ]
    .into_iter()
    .filter_map(|id| Some(PathBuf::from(&given(raw, id)?.value)))
    .collect()
}

/// The setting of `id`, unless it is empty, which is the same as none for all but
/// `admin_password`.
fn given(raw: &RawConfig, id: Id) -> Option<&Setting> {
    raw.get(id).filter(|setting| !setting.value.is_empty())
}

fn wrong<T>(setting: &Setting, problem: impl ToString) -> Result<T, ConfigError> {
    let origin = setting.origin.clone();
    Err(ConfigError::Value(origin, problem.to_string()))
}

/// What `parse` makes of a text, if there is one.
fn parsed<T>(
    raw: &RawConfig,
    id: Id,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    let setting = given(raw, id);
    let parsed =
        setting.map(|setting| parse(&setting.value).or_else(|problem| wrong(setting, problem)));
    parsed.transpose()
}

/// A number within the table's bounds; `None`: neither given nor a default.
fn optional_number(raw: &RawConfig, id: Id) -> Result<Option<u32>, ConfigError> {
    let option = options::entry(id);
    let Kind::Number { min, max, unit } = option.kind else {
        return Ok(None);
    };
    let Some(setting) = raw.get(id) else {
        return Ok(option.default.parse().ok());
    };
    let text = setting.value.as_str();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(number) if digits && (min..=max).contains(&number) => Ok(Some(number)),
        _ => {
            let text = text.escape_debug();
            wrong(
                setting,
                format!("`{text}` is not a number from {min} to {max} ({unit})"),
            )
        }
    }
}

/// A number that has a default (a test shows that each does).
fn number(raw: &RawConfig, id: Id) -> Result<u32, ConfigError> {
    Ok(optional_number(raw, id)?.unwrap_or_default())
}

fn seconds(raw: &RawConfig, id: Id) -> Result<Duration, ConfigError> {
    Ok(Duration::from_secs(number(raw, id)?.into()))
}

/// What a switch's text says.
pub fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn switched(raw: &RawConfig, id: Id) -> Result<Option<bool>, ConfigError> {
    parsed(raw, id, |text| {
        let problem = || format!("`{}` is neither on nor off", text.escape_debug());
        switch(text).ok_or_else(problem)
    })
}

fn file(raw: &RawConfig, id: Id) -> Result<Option<PathBuf>, ConfigError> {
    given(raw, id).map(files::readable).transpose()
}

/// Two files of which neither is any good alone.
fn together(raw: &RawConfig, one: Id, other: Id) -> Result<(), ConfigError> {
    needs(raw, one, other)?;
    needs(raw, other, one)
}

/// A setting that is no good without another.
fn needs(raw: &RawConfig, one: Id, other: Id) -> Result<(), ConfigError> {
    if let (Some(setting), None) = (given(raw, one), given(raw, other)) {
        let missing = options::entry(other).key;
        return wrong(setting, format!("needs {missing} as well"));
    }
    Ok(())
}

/// Who has to show a certificate. Who says whose certificates are good, and no more, means to let
/// in nobody without one: a password beside it is a second door, to be opened on purpose.
fn client_auth(raw: &RawConfig) -> Result<ClientAuth, ConfigError> {
    let parse = |text: &str| match text {
        "off" => Ok(ClientAuth::Off),
        "optional" => Ok(ClientAuth::Optional),
        "required" => Ok(ClientAuth::Required),
        _ => Err(format!(
            "`{}` is neither off nor optional nor required",
            text.escape_debug()
        )),
    };
    let auth = parsed(raw, Id::ClientAuth, parse)?;
    if auth.is_some_and(|auth| auth != ClientAuth::Off) {
        needs(raw, Id::ClientAuth, Id::ClientCa)?;
    }
    Ok(match (auth, given(raw, Id::ClientCa)) {
        (Some(auth), _) => auth,
        (None, Some(_)) => ClientAuth::Required,
        (None, None) => ClientAuth::Off,
    })
}

fn level(raw: &RawConfig) -> Result<LevelFilter, ConfigError> {
    Ok(match number(raw, Id::LogLevel)? {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    })
}

fn docker(raw: &RawConfig) -> Result<Endpoint, ConfigError> {
    let parse = |text: &str| text.parse::<Endpoint>().map_err(|error| error.to_string());
    let docker = parsed(raw, Id::Docker, parse)?;
    Ok(docker.unwrap_or_else(Endpoint::default_endpoint))
}

/// Where the proxy listens, and why. The Python agent's users gave Docker's TCP address, opened no
/// port and registered that address; nobody else does without asking for it.
fn listen(raw: &RawConfig, docker: &Endpoint) -> Result<(Option<SocketAddr>, String), ConfigError> {
    if let Some(setting) = given(raw, Id::Listen) {
        let listen = place::listen(&setting.value).or_else(|problem| wrong(setting, problem))?;
        let why = match listen {
            Some(address) => format!("The proxy is on, at {address}: {} says so", setting.origin),
            None => format!("The proxy is off: {} says so", setting.origin),
        };
        return Ok((listen, why));
    }
    let default = place::listen(options::entry(Id::Listen).default);
    let listen = default.unwrap_or_default();
    let at = listen.map_or_else(String::new, |address| address.to_string());
    let wanted = OPTIONS.iter().find_map(|option| {
        let setting = raw.get(option.id)?;
        (option.wants_proxy || setting.spring).then_some(setting)
    });
    Ok(match (docker, wanted) {
        (Endpoint::Unix(_), _) => {
            let why = format!("The proxy is on, at {at}: the default for {docker}");
            (listen, why)
        }
        (Endpoint::Tcp { .. }, Some(setting)) => {
            let why = format!("The proxy is on, at {at}: {} is given", setting.origin);
            (listen, why)
        }
        (Endpoint::Tcp { .. }, None) => {
            let why = format!(
                "The proxy is off, and Docker's own address is registered: the default for {docker} \
                 where no setting speaks of a proxy (listen = {at} switches it on)"
            );
            (None, why)
        }
    })
}

fn address(
    raw: &RawConfig,
    listen: Option<SocketAddr>,
    docker: &Endpoint,
    warnings: &mut Vec<String>,
) -> Result<Option<String>, ConfigError> {
    let parse = |text: &str| place::given_address(text, listen.is_some());
    if let Some(address) = parsed(raw, Id::Address, parse)? {
        return Ok(Some(address));
    }
    let address = match listen {
        // Which port that will be is known when it is bound.
        Some(listen) if listen.port() == 0 => return Ok(None),
        Some(listen) => Some(place::proxy_address(listen)),
        None => docker.authority(),
    };
    if address.is_none() && given(raw, Id::Master).is_some() {
        warnings.push(format!(
            "the proxy is off and Docker listens at {docker} alone: the master is told no address \
             of this node (set listen, docker or address)"
        ));
    }
    Ok(address)
}

fn root_path(raw: &RawConfig) -> Result<PathBuf, ConfigError> {
    let Some(setting) = given(raw, Id::RootPath) else {
        return Ok(PathBuf::from(options::entry(Id::RootPath).default));
    };
    let path = PathBuf::from(&setting.value);
    match std::fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => Ok(path),
        Ok(_) => wrong(setting, format!("{} is not a directory", path.display())),
        Err(error) => Err(ConfigError::Unreadable(setting.origin.clone(), path, error)),
    }
}

fn time_format(text: &str) -> Result<TimeFormat, String> {
    match text {
        "auto" => Ok(TimeFormat::Auto),
        "offset" => Ok(TimeFormat::Offset),
        "local" => Ok(TimeFormat::Local),
        _ => Err(format!(
            "`{}` is neither auto nor offset nor local",
            text.escape_debug()
        )),
    }
}

/// The secret from its setting or its file, fit to be a header field's value (RFC 9110 §5.5).
fn secret(raw: &RawConfig, warnings: &mut Vec<String>) -> Result<Option<Secret>, ConfigError> {
    let (setting, text) = match (given(raw, Id::Secret), given(raw, Id::SecretFile)) {
        (Some(setting), _) => (setting, setting.value.clone()),
        (None, Some(setting)) => (setting, files::secret_line(setting, warnings)?),
        (None, None) => return Ok(None),
    };
    if text.chars().any(char::is_control) {
        return wrong(
            setting,
            "the secret holds a line break or another control character",
        );
    }
    if text.trim() != text {
        return wrong(
            setting,
            "the secret begins or ends with white space, which HTTP would drop",
        );
    }
    Ok(Some(Secret::new(text)))
}

/// Who may use the proxy: admin with the given or the default password, and those of the file.
fn users(raw: &RawConfig, warnings: &mut Vec<String>) -> Result<Users, ConfigError> {
    let file = given(raw, Id::Users);
    let mut users = match (
        raw.get(Id::AdminPassword),
        given(raw, Id::AdminPasswordFile),
    ) {
        (Some(setting), _) if setting.value.is_empty() => {
            if let Some(file) = file {
                let (one, other) = (setting.origin.clone(), file.origin.clone());
                return Err(ConfigError::Exclusive(one, other));
            }
            return Ok(Users::open());
        }
        (Some(setting), _) => admin(setting, &setting.value)?,
        (None, Some(setting)) => admin(setting, &files::secret_line(setting, warnings)?)?,
        (None, None) => Users::built_in(),
    };
    let Some(file) = file else { return Ok(users) };
    for (name, hash) in files::users(file)? {
        users
            .add(&name, &hash)
            .or_else(|error| wrong(file, error))?;
    }
    Ok(users)
}

fn admin(setting: &Setting, hash: &str) -> Result<Users, ConfigError> {
    Users::with(DEFAULT_USER, hash).or_else(|error| wrong(setting, error))
}

/// Who may do what: as the settings say; else [`FULL`] for admin, and for everybody where nobody is
/// asked for a password; else what [`Policies`] has for those it does not know.
fn policies(
    raw: &RawConfig,
    users: &Users,
    warnings: &mut Vec<String>,
) -> Result<Policies, ConfigError> {
    let mut policies = Policies::built_in();
    if let Some(setting) = given(raw, Id::Policies) {
        files::policies(setting, &mut policies)?;
    }
    if let Some(setting) = given(raw, Id::Policy) {
        for part in setting.value.split([',', '\n']).map(str::trim) {
            if !part.is_empty() {
                let unknown = assign(part, users, &mut policies);
                let unknown = unknown.or_else(|problem| wrong(setting, problem))?;
                let unknown = unknown.map(|user| format!("{}: {user}", setting.origin));
                warnings.extend(unknown);
            }
        }
    }
    let first = if users.is_open() {
        NOBODY
    } else {
        DEFAULT_USER
    };
    if !policies.is_assigned(first) {
        // It is built in.
        let _ = policies.assign(first, FULL);
    }
    Ok(policies)
}

/// One `USER:POLICY`; what is odd about it, if anything. A password's user has no colon in the name
/// (RFC 7617 §2), a certificate's has one, and no policy has; whom certificates will name is not known
/// beforehand.
///
/// Who is no user is no error: they were taken out of `users`, and are to be out, at a reload as at the
/// next start.
fn assign(part: &str, users: &Users, policies: &mut Policies) -> Result<Option<String>, String> {
    let Some((user, policy)) = part.rsplit_once(':') else {
        let part = part.escape_debug();
        return Err(format!("`{part}` is not of the form USER:POLICY"));
    };
    let (user, policy) = (user.trim_end(), policy.trim_start());
    let assigned = policies.assign(user, policy);
    assigned.map_err(|error| error.to_string())?;
    if users.has(user) || tls::is_certified(user) {
        return Ok(None);
    }
    let user = user.escape_debug();
    match users.is_open() {
        true => Err(format!(
            "`{user}` is no user: nobody is asked who they are, and all are `{NOBODY}`"
        )),
        false => Ok(Some(format!("`{user}` is no user: the policy is nobody's"))),
    }
}

fn sandbox(raw: &RawConfig) -> Result<Sandbox, ConfigError> {
    let on = switched(raw, Id::Sandbox)?.unwrap_or(true);
    Ok(Sandbox {
        on,
        landlock: on && switched(raw, Id::Landlock)?.unwrap_or(true),
        seccomp: on && switched(raw, Id::Seccomp)?.unwrap_or(true),
    })
}

/// The file of each setting that names one.
fn named(raw: &RawConfig) -> Vec<PathBuf> {
    let files = OPTIONS.iter().filter(|option| option.kind == Kind::File);
    let given = files.filter_map(|option| given(raw, option.id));
    given.map(|setting| PathBuf::from(&setting.value)).collect()
}

fn limits(raw: &RawConfig) -> Result<Limits, ConfigError> {
    Ok(Limits {
        max_connections: optional_number(raw, Id::MaxConnections)?.map(|number| number as usize),
        max_connections_per_address: optional_number(raw, Id::MaxConnectionsPerAddress)?
            .map(|number| number as usize),
        max_requests_per_connection: number(raw, Id::MaxRequestsPerConnection)?,
        max_head: number(raw, Id::MaxHead)? as usize,
        max_fields: number(raw, Id::MaxFields)? as usize,
        max_judged_body: number(raw, Id::MaxJudgedBody)? as usize,
        handshake_timeout: seconds(raw, Id::HandshakeTimeout)?,
        head_timeout: seconds(raw, Id::HeadTimeout)?,
        body_timeout: seconds(raw, Id::BodyTimeout)?,
        idle_timeout: seconds(raw, Id::IdleTimeout)?,
        grace: seconds(raw, Id::Grace)?,
    })
}
