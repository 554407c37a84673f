//! The user that the agent runs as: in `/etc/passwd` and `/etc/group` (passwd(5), group(5)).

use super::tree::Tree;
use super::{Error, MARK, failed, step};

/// The group whose members may use Docker's socket.
pub const DOCKER: &str = "docker";

/// A user as the system knows it.
pub struct Account {
    /// The number of its own group; none: it is made when the image is started.
    pub group: Option<u32>,
    /// The name of that group.
    pub group_name: String,
    /// Whether Docker's group is there.
    pub docker: bool,
}

/// The number of a user of this system; none: its files know no such user.
pub fn number(user: &str) -> Option<u32> {
    let users = Tree::new("/".into()).read_text("/etc/passwd").ok()?;
    let mut line = users.lines().find(|line| named(line, user))?.split(':');
    line.nth(2)?.parse().ok()
}

/// Finds the user, or makes it where commands can be run.
///
/// # Errors
/// It cannot be made.
pub fn prepare(tree: &Tree, user: &str) -> Result<Account, Error> {
    let docker = group_named(tree, DOCKER)?.is_some();
    if let Some(group) = find(tree, user)? {
        return Ok(Account {
            group_name: name_of_group(tree, group)?.unwrap_or_else(|| group.to_string()),
            group: Some(group),
            docker,
        });
    }
    if tree.is_own() {
        make(tree, user)?;
        step(format_args!("user: {user}, made"));
    }
    let group = find(tree, user)?;
    if group.is_none() && tree.is_own() {
        return failed(format!(
            "the user {user} was made, and is not to be found in /etc/passwd"
        ));
    }
    Ok(Account {
        group,
        group_name: user.to_owned(),
        docker,
    })
}

/// Removes the users that [`prepare`] has made, known by their comment.
///
/// # Errors
/// One cannot be removed.
pub fn remove_made(tree: &Tree) -> Result<(), Error> {
    for line in tree.read_text("/etc/passwd")?.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let (Some(user), Some(&comment)) = (fields.first(), fields.get(4)) else {
            continue;
        };
        if comment != MARK {
            continue;
        }
        if !tree.is_own() {
            step(format_args!(
                "left: the user {user}, which no command can be run to remove"
            ));
            continue;
        }
        let command = if tree.has_command("userdel") {
            "userdel"
        } else {
            "deluser"
        };
        tree.run(command, &[user])?;
        // Where that leaves the user's own group behind.
        if group_named(tree, user)?.is_some() {
            let command = if tree.has_command("groupdel") {
                "groupdel"
            } else {
                "delgroup"
            };
            tree.run(command, &[user])?;
        }
        step(format_args!("removed: the user {user}"));
    }
    Ok(())
}

/// Lets the user use Docker's socket, where the service's file cannot say so.
///
/// # Errors
/// It cannot.
pub fn join_docker(tree: &Tree, user: &str) -> Result<(), Error> {
    let member = |line: &str| {
        let members = line.rsplit(':').next().unwrap_or_default();
        members.split(',').any(|member| member == user)
    };
    let groups = tree.read_text("/etc/group")?;
    let line = groups.lines().find(|line| named(line, DOCKER));
    if user == "root" || line.is_none_or(member) {
        return Ok(());
    }
    if !tree.is_own() {
        step(format_args!(
            "to be done in the image: add {user} to the group {DOCKER}"
        ));
    } else if tree.has_command("usermod") {
        tree.run("usermod", &["-a", "-G", DOCKER, user])?;
    } else {
        tree.run("addgroup", &[user, DOCKER])?;
    }
    Ok(())
}

fn make(tree: &Tree, user: &str) -> Result<(), Error> {
    let shells = ["/usr/sbin/nologin", "/sbin/nologin"];
    let shell = shells
        .into_iter()
        .find(|shell| tree.has(shell))
        .unwrap_or("/bin/false");
    let has_group = group_named(tree, user)?.is_some();
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
            "there is no user {user}, and neither useradd nor adduser to make it: add it to /etc/passwd \
             and /etc/group, or run the agent as a user that is there (-u root)"
        ));
    }
    Ok(())
}

/// The number of the user's group, by the files and, in this system, by whatever else knows users.
fn find(tree: &Tree, user: &str) -> Result<Option<u32>, Error> {
    let users = tree.read_text("/etc/passwd")?;
    let line = users.lines().find(|line| named(line, user));
    if let Some(group) = line.and_then(|line| line.split(':').nth(3)) {
        return Ok(group.parse().ok());
    }
    if !tree.has_command("id") {
        return Ok(None);
    }
    let asked = tree.run("id", &["-g", user]);
    Ok(asked.ok().and_then(|said| said.trim().parse().ok()))
}

fn group_named(tree: &Tree, name: &str) -> Result<Option<String>, Error> {
    let groups = tree.read_text("/etc/group")?;
    Ok(groups
        .lines()
        .find(|line| named(line, name))
        .map(str::to_owned))
}

fn name_of_group(tree: &Tree, number: u32) -> Result<Option<String>, Error> {
    let number = number.to_string();
    let groups = tree.read_text("/etc/group")?;
    let mut lines = groups.lines().map(|line| line.split(':'));
    Ok(lines.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    }))
}

/// Whether a line of one of the two files is about `name`.
fn named(line: &str, name: &str) -> bool {
    line.split(':').next() == Some(name)
}
