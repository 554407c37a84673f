//! Who starts services: by what each is known, and the files that tell it of the agent.

use super::account::{self, Account, DOCKER};
use super::tree::Tree;
use super::{CONFIG, Error, failed, step};
use crate::config::{Init, in_name};
use std::net::SocketAddr;

/// The unit.
pub const UNIT: &str = "/etc/systemd/system/haven-agent.service";
/// Its port, where systemd keeps that.
pub const SOCKET: &str = "/etc/systemd/system/haven-agent.socket";
/// OpenRC's and procd's.
pub const SCRIPT: &str = "/etc/init.d/haven-agent";
/// runit's directory of the service.
pub const RUNIT: &str = "/etc/sv/haven-agent";
const RUNIT_RUN: &str = "/etc/sv/haven-agent/run";
const RUNIT_LOG: &str = "/etc/sv/haven-agent/log/run";
/// The user of an image, and its configuration's group, made when the image is started
/// (sysusers.d(5), tmpfiles.d(5)).
const SYSUSERS: &str = "/etc/sysusers.d/haven-agent.conf";
const TMPFILES: &str = "/etc/tmpfiles.d/haven-agent.conf";
const OPENRC_LOG: &str = "/var/log/haven-agent.log";

/// A file with the text that it is made of, and its mode.
type File = (&'static str, &'static str, u32);

/// Who starts services.
pub struct Starter {
    /// By name.
    pub init: Init,
    /// By what it is known: where it runs, or is to run.
    signs: &'static [&'static str],
    /// A command of its own, without which it cannot be told of the agent.
    command: &'static str,
    /// What `install` may write. The first makes a service of the agent.
    files: &'static [File],
}

/// In the order in which they are looked for.
pub static STARTERS: [Starter; 4] = [
    Starter {
        init: Init::Systemd,
        signs: &["/run/systemd/system"],
        command: "systemctl",
        files: &[
            (UNIT, include_str!("unit.service"), 0o644),
            (SOCKET, include_str!("unit.socket"), 0o644),
            (SYSUSERS, include_str!("sysusers.conf"), 0o644),
            (TMPFILES, include_str!("tmpfiles.conf"), 0o644),
        ],
    },
    Starter {
        init: Init::Procd,
        signs: &["/sbin/procd"],
        command: "procd",
        files: &[(SCRIPT, include_str!("procd.sh"), 0o755)],
    },
    Starter {
        init: Init::OpenRc,
        signs: &["/sbin/openrc-run", "/usr/sbin/openrc-run"],
        command: "rc-update",
        files: &[(SCRIPT, include_str!("openrc.sh"), 0o755)],
    },
    Starter {
        init: Init::Runit,
        signs: &["/etc/runit", "/usr/bin/runsvdir", "/bin/runsvdir"],
        command: "runsvdir",
        files: &[
            (RUNIT_RUN, include_str!("runit.sh"), 0o755),
            (RUNIT_LOG, include_str!("runit-log.sh"), 0o755),
        ],
    },
];
/// Where systemd is, though it does not run.
const SYSTEMD: [&str; 2] = ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"];

/// Links by which the service is enabled, each with the file that is enabled.
pub const LINKS: [(&str, &str); 8] = [
    (
        "/etc/systemd/system/multi-user.target.wants/haven-agent.service",
        UNIT,
    ),
    (
        "/etc/systemd/system/sockets.target.wants/haven-agent.socket",
        SOCKET,
    ),
    ("/etc/runlevels/default/haven-agent", SCRIPT),
    ("/etc/rc.d/S99haven-agent", SCRIPT),
    ("/etc/rc.d/K10haven-agent", SCRIPT),
    ("/var/service/haven-agent", RUNIT_RUN),
    ("/etc/service/haven-agent", RUNIT_RUN),
    ("/service/haven-agent", RUNIT_RUN),
];

/// The first systemd with `Type=notify-reload`.
const NOTIFY_RELOAD: u32 = 253;
/// The first that knows `@system-service`, without which the unit's filter lets nothing through.
const OLDEST_SYSTEMD: u32 = 239;
/// In a service's file: that `install` made the user a member of Docker's group.
const JOINED: &str = "# Its user was added to the group docker, which uninstall takes back.\n";

impl Starter {
    /// The entry of `init`.
    pub fn of(init: Init) -> &'static Starter {
        // Each has one; the first is never taken.
        STARTERS
            .iter()
            .find(|starter| starter.init == init)
            .unwrap_or(&STARTERS[0])
    }

    /// Who starts services in this system.
    ///
    /// # Errors
    /// Nobody that is known.
    pub fn detect(tree: &Tree) -> Result<&'static Starter, Error> {
        match STARTERS.iter().find(|starter| starter.is_here(tree)) {
            Some(starter) => Ok(starter),
            None if SYSTEMD.iter().any(|systemd| tree.has(systemd)) => {
                Ok(Starter::of(Init::Systemd))
            }
            None => failed(
                "who starts services here? say it by --init systemd, openrc, procd or runit"
                    .to_owned(),
            ),
        }
    }

    /// Whether it starts services in this system.
    pub fn is_here(&self, tree: &Tree) -> bool {
        self.signs.iter().any(|sign| tree.has(sign))
    }

    /// Whether its commands can be run: systemd's not in an image that is made by commands inside of it.
    pub fn can_act(&self, tree: &Tree) -> bool {
        tree.is_own() && (self.init != Init::Systemd || self.is_here(tree))
    }

    /// Whether `install` has made a service of the agent for it.
    pub fn has_service(&self, tree: &Tree) -> bool {
        let service = self.files.first();
        service.is_some_and(|(path, ..)| tree.is_marked(path))
    }

    /// Removes what `install` may have written for it, the service last: as long as that is there, the rest is known to be
    /// ours.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self, tree: &Tree) -> Result<(), Error> {
        let mut files = self.files.iter().rev();
        files.try_for_each(|(path, ..)| remove(tree, path))
    }
}

/// A service that `install` has made.
pub struct Installed {
    /// Who starts it.
    pub starter: &'static Starter,
    /// Whom it runs as.
    pub user: String,
    /// Whether that user was made a member of Docker's group for it.
    pub joined: bool,
}

/// Those that are there: more than one where `install` was told of another [`Init`] since.
///
/// # Errors
/// A file cannot be read.
pub fn installed(tree: &Tree) -> Result<Vec<Installed>, Error> {
    let mut all = Vec::new();
    for starter in &STARTERS {
        let Some((path, template, _)) = starter.files.first() else {
            continue;
        };
        let text = tree.read_text(path)?;
        if let Some(user) = user_of(&text, template)
            && tree.is_marked(path)
        {
            all.push(Installed {
                starter,
                user: user.to_owned(),
                joined: text.contains(JOINED),
            });
        }
    }
    Ok(all)
}

/// The user in a service's file, which stands where the template has it.
fn user_of<'a>(text: &'a str, template: &str) -> Option<&'a str> {
    let (before, _) = template.split_once("@USER@")?;
    let (_, before) = before.rsplit_once('\n')?;
    let behind = text.lines().find_map(|line| line.strip_prefix(before))?;
    let user = behind.split(|character| !in_name(character)).next()?;
    (!user.is_empty()).then_some(user)
}

/// What the service is to be.
pub struct Service {
    /// Who starts it.
    pub starter: &'static Starter,
    /// Whom it runs as.
    pub account: Account,
    /// Whether that user was made a member of Docker's group for it before.
    pub joined: bool,
    /// Where systemd opens the port, if it does.
    pub listen: Option<SocketAddr>,
}

/// What is no longer as it was.
#[derive(Clone, Copy, Default)]
pub struct Changed {
    /// Anything that a running agent does not know of.
    pub any: bool,
    /// Where systemd opens the port.
    pub socket: bool,
}

impl Service {
    /// Refuses to write what nobody would start, and over what somebody else has made, but for the one file that
    /// `makes_room`.
    ///
    /// # Errors
    /// Who is to start it is not here, or too old; such a file is.
    pub fn check(&self, tree: &Tree, makes_room: Option<&str>) -> Result<(), Error> {
        let command = self.starter.command;
        if tree.is_own() && !tree.has_command(command) {
            return failed(format!(
                "there is no {command} here; nothing was done: say by --init who starts services"
            ));
        }
        let version = version(tree);
        if self.starter.init == Init::Systemd && (1..OLDEST_SYSTEMD).contains(&version) {
            return failed(format!(
                "systemd {version} is too old for the unit, which needs {OLDEST_SYSTEMD}; nothing was done"
            ));
        }
        let mut files = self.files(tree);
        let Some((path, ..)) =
            files.find(|(path, ..)| makes_room != Some(path) && tree.is_foreign(path))
        else {
            return Ok(());
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let (how, name) = match tree.is_own() && tree.is_link(path, "/dev/null") {
            true => ("systemctl unmask ", name),
            false => ("remove it", ""),
        };
        failed(format!(
            "{path} is there, and not install's; nothing was done: {how}{name}"
        ))
    }

    /// Writes the files; says what of them was not there or another.
    ///
    /// # Errors
    /// One cannot be written.
    pub fn write(&self, tree: &Tree) -> Result<Changed, Error> {
        let account = &self.account;
        let (user, group) = (&*account.user, &*account.group_name);
        let joined = self.is_by_membership() && (account::join_docker(tree, user)? || self.joined);
        let listen = self.listen.map(|listen| listen.to_string());
        let listen = listen.unwrap_or_default();
        let words = self.words(version(tree), joined, &listen);
        let mut changed = Changed::default();
        for (path, template, mode) in self.files(tree) {
            let text = filled(template, &words);
            let written = tree.write(path, text.as_bytes(), *mode, 0)?;
            let how = if written {
                "written"
            } else {
                "as it should be"
            };
            step(format_args!("service: {path}, {how}"));
            changed.any |= written;
            changed.socket |= written && *path == SOCKET;
        }
        if !account.docker && user != "root" {
            step(format_args!(
                "to be done: there is no group {DOCKER}; the agent needs the right to use Docker's socket \
                 (install it again once Docker is there)"
            ));
        }
        if account.group.is_none() && self.starter.init != Init::Systemd {
            step(format_args!(
                "to be done in the image: make the system user {user}, and the configuration its group's \
                 (chgrp {group} {CONFIG})"
            ));
        }
        Ok(changed)
    }

    /// Whether the user may use Docker's socket as a member of its group alone; else the service's file says it.
    pub fn is_by_membership(&self) -> bool {
        matches!(self.starter.init, Init::OpenRc | Init::Procd)
    }

    /// What it consists of.
    fn files(&self, tree: &Tree) -> impl Iterator<Item = &'static File> {
        let socket = self.listen.is_some();
        let user = self.account.group.is_none() && !tree.is_own();
        self.starter
            .files
            .iter()
            .filter(move |(path, ..)| match *path {
                SOCKET => socket,
                SYSUSERS | TMPFILES => user,
                _ => true,
            })
    }

    /// What the words between `@` of the texts mean. `version`: systemd's.
    fn words<'a>(&'a self, version: u32, joined: bool, listen: &'a str) -> [(&'a str, &'a str); 7] {
        let account = &self.account;
        let kind = if version >= NOTIFY_RELOAD {
            "Type=notify-reload"
        } else {
            "Type=notify\nExecReload=/bin/kill -HUP $MAINPID"
        };
        // A group that is not there would keep the service from starting.
        let (supplementary, groups) = if account.docker {
            ("SupplementaryGroups=docker\n", "@GROUP@:docker")
        } else {
            ("", "@GROUP@")
        };
        [
            ("@TYPE@", kind),
            ("@DOCKER@\n", supplementary),
            ("@JOINED@\n", if joined { JOINED } else { "" }),
            ("@LISTEN@", listen),
            ("@GROUPS@", groups),
            ("@GROUP@", &account.group_name),
            ("@USER@", &account.user),
        ]
    }
}

/// A template with its words replaced by what they mean.
fn filled(template: &str, words: &[(&str, &str)]) -> String {
    let mut text = template.to_owned();
    for (word, means) in words {
        text = text.replace(word, means);
    }
    text
}

/// systemd's version, the first number that it says; 0, which has the least, where that cannot be known.
fn version(tree: &Tree) -> u32 {
    let said = tree.run("systemctl", &["--version"]).unwrap_or_default();
    let digits = said.bytes().skip_while(|byte| !byte.is_ascii_digit());
    let digits = digits.take_while(u8::is_ascii_digit);
    digits.fold(0, |number: u32, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    })
}

/// Removes a file that `install` has made, with the links to it and what is kept beside it. What is somebody else's stays,
/// with its links.
///
/// # Errors
/// It cannot be removed.
pub fn remove(tree: &Tree, file: &str) -> Result<(), Error> {
    if tree.is_foreign(file) {
        step(format_args!("left: {file}, which install did not write"));
        return Ok(());
    }
    let linked = file.strip_suffix("/run").unwrap_or(file);
    for (link, _) in LINKS.iter().filter(|(_, linked)| *linked == file) {
        // A package's is enabled by a link of the same name.
        if tree.is_link(link, linked) {
            tree.remove(link)?;
        }
    }
    if file == SCRIPT && tree.has(file) {
        tree.remove(OPENRC_LOG)?;
    }
    tree.remove(file)?;
    if let Some(directory) = file.strip_suffix("/run") {
        // runit's, with what its supervisor keeps there.
        for name in ["control", "lock", "ok", "pid", "stat", "status"] {
            tree.remove(&format!("{directory}/supervise/{name}"))?;
        }
        tree.remove_directory(&format!("{directory}/supervise"));
        tree.remove_directory(directory);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(init: Init, docker: bool) -> Service {
        Service {
            starter: Starter::of(init),
            account: Account {
                user: "we_b-1.x".to_owned(),
                group: Some(7),
                group_name: "group".to_owned(),
                docker,
            },
            joined: false,
            listen: Some("[::1]:9".parse().unwrap()),
        }
    }

    /// The text of each file.
    fn texts(service: &Service, version: u32) -> Vec<String> {
        let words = service.words(version, true, "[::1]:9");
        let files = service.starter.files.iter();
        files
            .map(|(_, template, _)| filled(template, &words))
            .collect()
    }

    #[test]
    fn the_unit_suits_the_version_of_systemd_and_the_groups_there_are() {
        for (version, docker) in [(0, true), (252, false), (253, true), (257, false)] {
            let texts = texts(&service(Init::Systemd, docker), version);
            let has = |line: &str| texts[0].lines().any(|known| known == line);
            assert_eq!(has("Type=notify-reload"), version >= 253);
            assert_eq!(has("Type=notify"), version < 253);
            assert_eq!(has("ExecReload=/bin/kill -HUP $MAINPID"), version < 253);
            assert_eq!(has("SupplementaryGroups=docker"), docker);
            assert!(has("User=we_b-1.x") && texts[1].contains("\nListenStream=[::1]:9\n"));
        }
    }

    #[test]
    fn each_word_of_a_template_is_filled_in_and_the_user_is_found_again() {
        for starter in &STARTERS {
            let text = texts(&service(starter.init, true), 257).swap_remove(0);
            for other in &STARTERS {
                let expected = (other.init == starter.init).then_some("we_b-1.x");
                let (_, template, _) = other.files[0];
                assert_eq!(user_of(&text, template), expected, "{:?}", starter.init);
                assert_eq!(user_of(template, template), None);
            }
            let systemd_s_own = text
                .replace("=@system-service", "")
                .replace("=~@privileged @resources", "");
            assert!(!systemd_s_own.contains('@'), "{text}");
        }
    }
}
