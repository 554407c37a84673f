//! The user that the agent runs as: in `/etc/passwd` and `/etc/group` (passwd(5), group(5)).

use super::tree::Tree;
use super::{Error, MARK, failed, step};
use crate::sys::process;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// The group whose members may use Docker's socket.
pub const DOCKER: &str = "docker";
/// The users (passwd(5)): their names, numbers, own groups' numbers, comments.
const USERS: &str = "/etc/passwd";
const USER_NUMBER: usize = 2;
const USER_GROUP: usize = 3;
const USER_COMMENT: usize = 4;
/// The groups (group(5)): their names, numbers, and members besides those whose own group it is.
const GROUPS: &str = "/etc/group";
const GROUP_NUMBER: usize = 2;
const GROUP_MEMBERS: usize = 3;
/// In both.
const NAME: usize = 0;

/// A user as the system knows it.
pub struct Account {
    /// Its name.
    pub user: String,
    /// The number of its own group; none: there is no such user yet.
    pub group: Option<u32>,
    /// The name of that group.
    pub group_name: String,
    /// Whether Docker's group is there.
    pub docker: bool,
}

/// The number of a user of this system; none: its files know no such user.
pub fn number(user: &str) -> Option<u32> {
    let own = Tree::new("/".into());
    let number = field(&own, USERS, (NAME, user), USER_NUMBER).ok()?;
    number?.parse().ok()
}

impl Account {
    /// Finds the user, who may be none yet.
    ///
    /// # Errors
    /// The tables of users and groups cannot be read.
    pub fn find(tree: &Tree, user: &str) -> Result<Account, Error> {
        // There may be others than those of the file.
        let number = field(tree, USERS, (NAME, user), USER_GROUP)?
            .or_else(|| tree.run("id", &["-g", user]).ok())
            .unwrap_or_default();
        let number = number.trim();
        let group = number.parse().ok();
        let group_name = match group {
            Some(_) => field(tree, GROUPS, (GROUP_NUMBER, number), NAME)?,
            None => Some(user.to_owned()),
        };
        Ok(Account {
            user: user.to_owned(),
            group,
            group_name: group_name.unwrap_or_else(|| number.to_owned()),
            docker: has_group(tree, DOCKER)?,
        })
    }

    /// Makes the user, where there is none and commands can be run.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(&mut self, tree: &Tree) -> Result<(), Error> {
        if self.group.is_none() && tree.is_own() {
            make(tree, &self.user)?;
            step(format_args!("user: {}, made", self.user));
            *self = Account::find(tree, &self.user)?;
            if self.group.is_none() {
                return failed(format!(
                    "the user {} was made, and is not to be found in /etc/passwd",
                    self.user
                ));
            }
        }
        Ok(())
    }
}

/// Whose a file of root's and this group's is, as it is told: an ordinary user, who makes an image, keeps it.
pub fn owner(group: &str) -> String {
    match process::effective_uid() {
        0 => format!(" root:{group}"),
        _ => String::new(),
    }
}

/// Whether the line of [`USERS`] is one of a user that [`Account::make`] has made, known by its comment.
fn is_made(line: &&str) -> bool {
    line.split(':').nth(USER_COMMENT) == Some(MARK)
}

/// Whether a file is such a user's, or its group's.
///
/// # Errors
/// The table of users cannot be read.
pub fn is_made_s(tree: &Tree, file: &Metadata) -> Result<bool, Error> {
    let is =
        |line: &str, place, number: u32| line.split(':').nth(place) == Some(&number.to_string());
    let users = tree.read_text(USERS)?;
    let mut made = users.lines().filter(is_made);
    Ok(made.any(|line| is(line, USER_NUMBER, file.uid()) || is(line, USER_GROUP, file.gid())))
}

/// Removes the users that [`Account::make`] has made.
///
/// # Errors
/// One cannot be removed.
pub fn remove_made(tree: &Tree) -> Result<(), Error> {
    for line in tree.read_text(USERS)?.lines().filter(is_made) {
        let user = line.split(':').next().unwrap_or_default();
        if !tree.is_own() {
            step(format_args!(
                "left: the user {user}, which no command can be run to remove"
            ));
            continue;
        }
        tree.run(either(tree, "userdel", "deluser"), &[user])?;
        // Where that leaves the user's own group behind.
        if has_group(tree, user)? {
            tree.run(either(tree, "groupdel", "delgroup"), &[user])?;
        }
        step(format_args!("removed: the user {user}"));
    }
    Ok(())
}

/// Lets the user use Docker's socket, where the service's file cannot say so; says whether it could not yet.
///
/// # Errors
/// It cannot be made a member of the group.
pub fn join_docker(tree: &Tree, user: &str) -> Result<bool, Error> {
    let is_member = |members: String| members.split(',').any(|member| member == user);
    let members = field(tree, GROUPS, (NAME, DOCKER), GROUP_MEMBERS)?;
    if user == "root" || members.is_none_or(is_member) {
        return Ok(false);
    }
    if !tree.is_own() {
        step(format_args!(
            "to be done in the image: add {user} to the group {DOCKER}"
        ));
        return Ok(false);
    }
    if tree.has_command("usermod") {
        tree.act("usermod", &["-a", "-G", DOCKER, user])?;
    } else {
        tree.act("addgroup", &[user, DOCKER])?;
    }
    Ok(true)
}

/// Undoes [`join_docker`].
pub fn leave_docker(tree: &Tree, user: &str) {
    if tree.has_command("gpasswd") {
        tree.attempt("gpasswd", &["-d", user, DOCKER]);
    } else {
        // BusyBox's: of the group, not the group.
        tree.attempt("delgroup", &[user, DOCKER]);
    }
}

/// The command of shadow's, or else BusyBox's.
fn either(tree: &Tree, shadow: &'static str, busybox: &'static str) -> &'static str {
    if tree.has_command(shadow) {
        shadow
    } else {
        busybox
    }
}

fn make(tree: &Tree, user: &str) -> Result<(), Error> {
    let shells = ["/usr/sbin/nologin", "/sbin/nologin"];
    let shell = shells
        .into_iter()
        .find(|shell| tree.has(shell))
        .unwrap_or("/bin/false");
    let has_group = has_group(tree, user)?;
    if tree.has_command("useradd") {
        let group: &[&str] = if has_group {
            &["--gid", user]
        } else {
            &["--user-group"]
        };
        let rest = [
            "--system",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            shell,
            "--comment",
            MARK,
            user,
        ];
        tree.run("useradd", &[group, &rest].concat())?;
    } else if tree.has_command("adduser") {
        // BusyBox's: where Debian's is, useradd is as well.
        if !has_group {
            tree.run("addgroup", &["-S", user])?;
        }
        tree.run(
            "adduser",
            &[
                "-S",
                "-D",
                "-H",
                "-h",
                "/nonexistent",
                "-s",
                shell,
                "-G",
                user,
                "-g",
                MARK,
                user,
            ],
        )?;
    } else {
        return failed(format!(
            "there is no user {user}, and neither useradd nor adduser to make it: make it, or name one that is \
             there (-u root)"
        ));
    }
    Ok(())
}

fn has_group(tree: &Tree, name: &str) -> Result<bool, Error> {
    Ok(field(tree, GROUPS, (NAME, name), NAME)?.is_some())
}

/// Of the line of a table that has a field of this place and text, the field at `wanted`.
fn field(
    tree: &Tree,
    table: &str,
    (place, text): (usize, &str),
    wanted: usize,
) -> Result<Option<String>, Error> {
    let lines = tree.read_text(table)?;
    let line = lines
        .lines()
        .find(|line| line.split(':').nth(place) == Some(text));
    Ok(line
        .and_then(|line| line.split(':').nth(wanted))
        .map(str::to_owned))
}
